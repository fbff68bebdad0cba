// Internal: where the rows of an IVF are, in 4 bytes each.
#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include "core/chunked_array.h"
#include "core/prefetch.h"
#include "index/row_table.h"
#include "index/vector_index.h"

namespace annulus {

/// A list, and a position in it, for each row that is anywhere. A place takes 4 bytes: the list's number takes the bits that it
/// needs, the position what is left. Once a list has more positions than that (half a million in an index of 4096 lists, half as
/// many in two of them), all places take 8.
/// Thread safety: const calls from any threads at once; `reserve` beside them; other calls exclude all else.
class RowPlaces {
 public:
  struct Place {
    std::uint32_t list;
    std::uint32_t offset;
  };

  /// For lists 0 to nlist - 1; nlist < 2^31. No list's number has ones only in its bits, so that no place reads as kNowhere.
  explicit RowPlaces(std::size_t nlist) noexcept : offset_bits_(32 - static_cast<int>(std::bit_width(nlist))) {}

  std::size_t rows() const noexcept { return packed_.size(); }  ///< all that ever were anywhere are below
  bool holds(Row row) const noexcept { return row < packed_.size() && packed_[row] != kNowhere; }

  /// Of a row that is held.
  Place operator[](Row row) const noexcept {
    const std::uint32_t packed = packed_[row];
    const std::uint32_t offset = packed & ((std::uint32_t{1} << offset_bits_) - 1);
    return {packed >> offset_bits_, wide_ ? offset | upper_[row] << offset_bits_ : offset};
  }

  /// Asks for the memory of a row's place.
  void prefetch(Row row) const noexcept { annulus::prefetch(&packed_[row]); }

  /// Memory for rows and positions below these: setting their places cannot throw. What is thrown leaves all places as they were.
  void reserve(std::size_t rows, std::size_t positions, const WhileAlone& alone) {
    packed_.reserve(rows);
    const bool widens = !wide_ && positions > std::size_t{1} << offset_bits_;
    if (wide_ || widens) upper_.reserve(std::max(rows, packed_.capacity()));  // also for rows that others made room for
    if (!widens) return;
    upper_.resize(packed_.size(), 0);
    alone([&] { wide_ = true; });
  }

  void set(Row row, Place place) {
    if (row >= packed_.size()) packed_.resize(std::size_t{row} + 1, kNowhere);
    packed_[row] = place.list << offset_bits_ | (place.offset & ((std::uint32_t{1} << offset_bits_) - 1));
    if (!wide_) return assert(place.offset >> offset_bits_ == 0);
    if (row >= upper_.size()) upper_.resize(packed_.size(), 0);
    upper_[row] = place.offset >> offset_bits_;
  }

  void forget(Row row) noexcept { packed_[row] = kNowhere; }

  std::size_t memory_bytes() const noexcept { return packed_.memory_bytes() + (wide_ ? upper_.memory_bytes() : 0); }

 private:
  static constexpr std::uint32_t kNowhere = UINT32_MAX;

  int offset_bits_;  // 1 to 31: the lower bits of a packed place
  bool wide_ = false;
  ChunkedArray<std::uint32_t> packed_;
  ChunkedArray<std::uint32_t> upper_;  // the other bits of positions, if wide_
};

}  // namespace annulus
