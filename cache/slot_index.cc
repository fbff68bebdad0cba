#include "cache/slot_index.h"

#include <algorithm>
#include <utility>

namespace annulus::internal {

void SlotIndex::reserve_one() {
  if (2 * (size_ + 1) <= pairs_.size()) return;
  std::vector<Pair> old(std::max<std::size_t>(16, 2 * pairs_.size()));
  std::swap(old, pairs_);
  mask_ = pairs_.size() - 1;
  for (const Pair& pair : old) {
    if (pair.slot != kNone) place(pair);
  }
}

void SlotIndex::insert(Token token, std::uint32_t slot) noexcept {
  place({tag_of(token), slot});
  ++size_;
}

void SlotIndex::erase(Token token, std::uint32_t slot) noexcept {
  std::size_t hole = tag_of(token) & mask_;
  while (pairs_[hole].slot != slot) hole = (hole + 1) & mask_;
  // What follows moves up, unless that would put it before the place where its search begins.
  for (std::size_t at = (hole + 1) & mask_; pairs_[at].slot != kNone; at = (at + 1) & mask_) {
    const std::size_t home = pairs_[at].tag & mask_;
    if (((at - home) & mask_) < ((at - hole) & mask_)) continue;
    pairs_[hole] = pairs_[at];
    hole = at;
  }
  pairs_[hole] = Pair{};
  --size_;
}

void SlotIndex::clear() noexcept {
  std::fill(pairs_.begin(), pairs_.end(), Pair{});
  size_ = 0;
}

void SlotIndex::place(Pair pair) noexcept {
  std::size_t at = pair.tag & mask_;
  while (pairs_[at].slot != kNone) at = (at + 1) & mask_;
  pairs_[at] = pair;
}

}  // namespace annulus::internal
