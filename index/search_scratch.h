// Internal: per-thread memory that searches reuse, so that none allocates in the steady state.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/reused.h"
#include "index/aligned_buffer.h"
#include "index/int8_block_kernels.h"
#include "index/row_table.h"
#include "index/search_types.h"
#include "index/sq8_scale.h"

namespace annulus {

/// A set of rows, a bit each. It is emptied at the cost of what was put in, or of the whole set where that is small.
class VisitedRows {
 public:
  /// Empties the set and makes room for rows 0 to n - 1.
  void clear(std::size_t n) {
    const std::size_t words = (n + 63) / 64;
    if (words > kSmallWords && words <= words_.size()) {
      for (const std::uint32_t word : touched_) words_[word] = 0;
    } else {
      words_.assign(std::max(words, words_.size()), 0);
    }
    touched_.clear();
    remember_ = words_.size() > kSmallWords;
  }

  /// Whether `row` was new.
  bool insert(Row row) {
    std::uint64_t& word = words_[row / 64];
    const std::uint64_t bit = std::uint64_t{1} << (row % 64);
    const bool is_new = (word & bit) == 0;
    if (remember_ && word == 0) touched_.push_back(row / 64);
    word |= bit;
    return is_new;
  }

 private:
  static constexpr std::size_t kSmallWords = 16384;  // a million rows, 128 KiB

  std::vector<std::uint64_t> words_;
  std::vector<std::uint32_t> touched_;
  bool remember_ = false;
};

/// A row that a graph walk has met.
struct MetRow {
  static constexpr Row kExpanded = Row{1} << 31;  // rows are below: kMaxRows

  float distance;
  Row row_and_mark;

  Row row() const noexcept { return row_and_mark & ~kExpanded; }
  bool expanded() const noexcept { return (row_and_mark & kExpanded) != 0; }
};

struct SearchScratch {
  VisitedRows visited;
  std::vector<MetRow> met;
  std::vector<std::uint8_t> accepted;  // of met rows, where not all are
  std::vector<Row> neighbours;
  std::vector<float> distances;
  std::vector<Candidate> pool;
  std::vector<float> decoded;
  AlignedBuffer<std::int8_t> query_codes;
  std::vector<std::uint64_t> keys;
  std::vector<kernels::BlockHit> hits;
  Sq8Query sq8_query;
};

using ScratchLease = Reused<SearchScratch>;

}  // namespace annulus
