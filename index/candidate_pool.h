// Internal: the best rows that a scan of lists has met, at the cost of an append each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "index/distance_key.h"
#include "index/int8_blocks.h"
#include "index/row_store.h"

namespace annulus {

/// Keeps the search.k nearest accepted rows of one query. They are appended, and whenever the room is full what is farther than the
/// k-th goes: cheaper than a heap, and no id is looked up before the end. Rows that lists hold are live, so none is asked.
class CandidatePool {
 public:
  /// Keys that a pool for k rows wants.
  static constexpr std::size_t room(std::size_t k) noexcept { return 2 * k + 16; }

  /// `keys`: room(search.k) of them, which outlive the pool.
  CandidatePool(const RowSearch& search, std::size_t query, std::uint64_t* keys) noexcept
      : search_(&search),
        shared_(search.bounds.empty() ? nullptr : &search.bounds[query]),
        tally_(search.tallies.empty() ? nullptr : &search.tallies[query]),
        keys_(keys) {}

  /// No row farther than this is of use any more.
  float bound() const noexcept { return shared_ == nullptr ? limit_ : std::min(limit_, shared_->get()); }

  /// Takes what an earlier scan gave of the same index, at most k. The first call.
  void begin_with(std::span<const Candidate> found) {
    for (const Candidate& candidate : found) keys_[size_++] = distance_key(candidate.distance, *search_->rows.find(candidate.id));
    if (size_ >= search_->k) drop_farther();
  }

  /// Takes rows at positions of `blocks`.
  void take(const Int8BlockLists& lists, kernels::Blocks blocks, std::span<const kernels::BlockHit> hits) {
    for (const kernels::BlockHit& hit : hits) {
      if (hit.distance > limit_) continue;
      const Row row = lists.row_in(blocks[hit.position / kernels::kBlockRows], hit.position % kernels::kBlockRows);
      if (search_->filter != nullptr) {
        const bool accepted = search_->filter->accept(search_->rows.id(row));
        if (tally_ != nullptr) tally_->count(accepted);
        if (!accepted) continue;
      }
      keys_[size_++] = distance_key(hit.distance, row);
      if (size_ == room(search_->k)) drop_farther();
    }
  }

  /// Writes the at most k nearest, sorted by the order of answers; returns how many. The last call.
  std::size_t finish(Candidate* out);

 private:
  void drop_farther();
  void keep_in_order();
  Candidate candidate(std::uint64_t key) const noexcept { return {search_->rows.id(key_number(key)), key_distance(key)}; }

  const RowSearch* search_;
  SharedBound* shared_;
  FilterTally* tally_;
  std::uint64_t* keys_;
  std::size_t size_ = 0;
  float limit_ = std::numeric_limits<float>::infinity();
};

}  // namespace annulus
