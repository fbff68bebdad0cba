// Internal: the k nearest of a stream of candidates, in memory of the caller's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "index/search_types.h"

namespace annulus {

/// The order of answers: distance, then the tie order.
struct NearerThan {
  const TieOrder* order;  ///< null: by number

  bool operator()(const Candidate& a, const Candidate& b) const {
    if (a.distance != b.distance) return a.distance < b.distance;
    return order == nullptr ? a.id < b.id : order->less(a.id, b.id);
  }
};

/// A bounded heap in `storage`, the farthest on top. push is O(log k).
class TopK {
 public:
  TopK(std::span<Candidate> storage, const TieOrder* order) noexcept : storage_(storage), nearer_{order} {}

  std::size_t size() const noexcept { return size_; }
  bool full() const noexcept { return size_ == storage_.size(); }

  /// Whether a candidate at this distance might enter. The cheap test before a filter is asked.
  bool admits(float distance) const noexcept { return !full() || distance <= storage_[0].distance; }

  /// The distance of the farthest that was kept; there is one.
  float farthest() const noexcept { return storage_[0].distance; }

  void push(const Candidate& candidate) {
    if (!full()) {
      storage_[size_++] = candidate;
    } else {
      if (!nearer_(candidate, storage_[0])) return;
      std::pop_heap(begin(), end(), nearer_);
      end()[-1] = candidate;
    }
    std::push_heap(begin(), end(), nearer_);
  }

  /// Sorts what was kept, nearest first, and returns it. No push after it.
  std::span<Candidate> finish() {
    std::sort_heap(begin(), end(), nearer_);
    return storage_.first(size_);
  }

 private:
  Candidate* begin() const noexcept { return storage_.data(); }
  Candidate* end() const noexcept { return storage_.data() + size_; }

  std::span<Candidate> storage_;
  NearerThan nearer_;
  std::size_t size_ = 0;
};

}  // namespace annulus
