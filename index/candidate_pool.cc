#include "index/candidate_pool.h"

#include "index/top_k.h"

namespace annulus {

/// All but the k nearest, and what is as far as the k-th.
void CandidatePool::drop_farther() {
  const std::size_t k = search_->k;
  std::nth_element(keys_, keys_ + k - 1, keys_ + size_);
  limit_ = key_distance(keys_[k - 1]);
  if (shared_ != nullptr) shared_->lower(limit_, k);
  const auto* end = std::partition(keys_ + k, keys_ + size_, [&](std::uint64_t key) { return key_distance(key) <= limit_; });
  size_ = static_cast<std::size_t>(end - keys_);
  if (size_ == room(k)) keep_in_order();
}

/// Decides between rows at equal distance too, so that k are left.
void CandidatePool::keep_in_order() {
  const NearerThan nearer{search_->order};
  const std::size_t k = search_->k;
  std::nth_element(keys_, keys_ + k - 1, keys_ + size_,
                   [&](std::uint64_t a, std::uint64_t b) { return nearer(candidate(a), candidate(b)); });
  size_ = k;
}

std::size_t CandidatePool::finish(Candidate* out) {
  if (size_ >= search_->k) drop_farther();
  if (size_ > search_->k) keep_in_order();
  for (std::size_t i = 0; i < size_; ++i) out[i] = candidate(keys_[i]);
  std::sort(out, out + size_, NearerThan{search_->order});
  return size_;
}

}  // namespace annulus
