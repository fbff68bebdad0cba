// Internal: what is learnt of a filter before a search, from a few rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "index/filter_plan.h"
#include "index/row_table.h"
#include "index/search_types.h"

namespace annulus {

/// Live rows, spread evenly over a table, and what the filter says of each. Any first few of them are spread evenly too, so that
/// more may be drawn when it turns out that they are worth asking about.
class FilterSample {
 public:
  /// Rows that it has at most.
  static constexpr std::size_t kMostRows = 1024;

  /// Forgets the rows; their memory stays.
  void clear() noexcept;

  /// Asks about rows until `rows_asked` of them are in the sample, or no more are to be had.
  void draw(const Filter& filter, const RowTable& table, std::size_t rows_asked);

  std::size_t size() const noexcept { return rows_.size(); }
  std::span<const Row> rows() const noexcept { return rows_; }
  /// By row: 1 if it is accepted.
  std::span<const char> accepted() const noexcept { return accepted_; }
  std::size_t count_accepted() const noexcept { return count_accepted_; }

  /// What one question cost, of rows in no order; infinite if too few were asked to say.
  double question_ns() const noexcept { return question_ns_; }

 private:
  std::vector<Row> rows_;
  std::vector<char> accepted_;
  std::size_t count_accepted_ = 0;
  std::size_t tried_ = 0;
  double question_ns_ = std::numeric_limits<double>::infinity();
};

/// What is known of a filter before the search. `sample` begins anew, with few rows where the filter accepts many.
FilterFacts sample_filter(const Filter& filter, const RowTable& rows, FilterSample& sample);

}  // namespace annulus
