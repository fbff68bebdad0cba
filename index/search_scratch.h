// Internal: per-thread memory that searches reuse, so that none allocates in proportion to the index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "index/row_table.h"
#include "index/search_types.h"

namespace annulus {

/// A set of rows that is emptied in O(1): a row is in it if its stamp is the current one.
class VisitedRows {
 public:
  /// Empties the set and makes room for rows 0 to n - 1.
  void clear(std::size_t n) {
    if (stamps_.size() < n) stamps_.resize(n, 0);
    if (++stamp_ == 0) {
      stamps_.assign(stamps_.size(), 0);
      stamp_ = 1;
    }
  }

  /// Whether `row` was new.
  bool insert(Row row) noexcept {
    if (stamps_[row] == stamp_) return false;
    stamps_[row] = stamp_;
    return true;
  }

 private:
  std::vector<std::uint16_t> stamps_;
  std::uint16_t stamp_ = 0;
};

/// A row that a graph walk has yet to expand.
struct Frontier {
  float distance;
  Row row;
};

struct SearchScratch {
  VisitedRows visited;
  std::vector<Frontier> frontier;
  std::vector<Row> neighbours;
  std::vector<float> distances;
  std::vector<Candidate> pool;
  std::vector<float> decoded;
};

/// Borrows a scratch of this thread's for the time of a search. A filter may search in turn, so there is a stack of them.
class ScratchLease {
 public:
  ScratchLease() {
    auto& idle = idle_scratches();
    if (idle.empty()) {
      scratch_ = std::make_unique<SearchScratch>();
      idle.reserve(idle.capacity() + 1);  // so that giving it back cannot throw
    } else {
      scratch_ = std::move(idle.back());
      idle.pop_back();
    }
  }
  ~ScratchLease() { idle_scratches().push_back(std::move(scratch_)); }
  ScratchLease(const ScratchLease&) = delete;
  ScratchLease& operator=(const ScratchLease&) = delete;

  SearchScratch* operator->() const noexcept { return scratch_.get(); }
  SearchScratch& operator*() const noexcept { return *scratch_; }

 private:
  static std::vector<std::unique_ptr<SearchScratch>>& idle_scratches() {
    thread_local std::vector<std::unique_ptr<SearchScratch>> idle;
    return idle;
  }

  std::unique_ptr<SearchScratch> scratch_;
};

}  // namespace annulus
