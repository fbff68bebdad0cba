// Internal: where the rows of IVFs lie. Start at RowHomes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <optional>

#include "index/row_places.h"
#include "index/row_vectors.h"

namespace annulus {

class IvfLists;

/// What is kept by row: in which list a row is, and its float vector if there are codes beside. Of one index; or of the two that
/// hold the groups of a shard, whose rows are of one set and each in one of them: apart, either would have room for the other's.
/// A row that is put into one of the two leaves the other's lists by that; its vector stays where it is.
/// Thread safety: as IvfLists, of both together; but rows that are put into one that is not searched yet, or go with it, change
/// nothing that searches of the other read.
class RowHomes {
 public:
  /// For `indexes` (1 or 2) of one codec. `rows`: so many are expected before long.
  RowHomes(std::size_t indexes, std::size_t rows) noexcept : indexes_(indexes), expected_rows_(rows) {}

  std::size_t indexes() const noexcept { return indexes_; }

  /// All rows that were expected are in.
  void expect_no_more() noexcept {
    expected_rows_ = 0;
    if (vectors_) vectors_->expect_no_more();
  }

 private:
  friend class IvfLists;

  std::size_t indexes_;
  std::size_t expected_rows_;
  std::array<IvfLists*, 2> lists_{};       ///< those that are there
  std::optional<RowPlaces> places_;        ///< a list of the second index has its number behind those of the first
  std::optional<RowVectors> vectors_;      ///< beside codes
  std::array<std::size_t, 2> awaited_{};   ///< rows that each index has made room for, and not put yet
  std::atomic<std::size_t> bytes_{0};      ///< of all this, which is asked for beside a write
};

}  // namespace annulus
