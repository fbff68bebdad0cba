// Internal: lists of rows as int8 codes in blocks, as int8_block_kernels.h scans them. Start at Int8BlockLists.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "index/int8_block_kernels.h"
#include "index/pieces.h"
#include "index/row_table.h"
#include "index/shared_blocks.h"

namespace annulus {

/// Growable lists of (code, norm, row number); without norms, these count for nothing and are read as 0. Positions in a list are
/// 0 to size - 1. The last rows of a list, where they do not fill a block, lie in a part of one (SharedBlocks), and move to a
/// larger part when it is full, or to one that they fill when it is not; all others stay where they are. Append, overwrite and
/// take_out are O(d).
/// Thread safety: const calls from any threads at once; `reserve` and tables().enlarged beside them; other calls exclude all else.
class Int8BlockLists {
 public:
  /// Rows of a list, in one block.
  struct Part {
    const std::uint8_t* block;
    std::uint16_t lanes;  ///< bit r: lane r has one of the rows
  };

  Int8BlockLists(std::size_t lists, std::size_t d, bool norms)
      : d_(d), layout_(d, norms), blocks_(layout_), tables_(lists, kShift) {}

  std::size_t lists() const noexcept { return tables_.lists(); }
  std::size_t size(std::size_t list) const noexcept { return tables_.size(list); }
  const kernels::BlockLayout& layout() const noexcept { return layout_; }

  /// The parts of a list, of 16 rows each but for the last.
  std::size_t parts(std::size_t list) const noexcept { return tables_.length(list); }
  Part part(std::size_t list, std::size_t number) const noexcept {
    const BlockSlot slot = BlockSlot::unpacked(tables_(list, number));
    const std::size_t rows = std::min(size(list) - number * kernels::kBlockRows, kernels::kBlockRows);
    return {blocks_[slot.block], static_cast<std::uint16_t>(((1U << rows) - 1) << slot.first_lane())};
  }

  /// Until the tables are longer by more than `growth` than they are, no list needs memory for rows, whatever rows are taken out
  /// meanwhile: each of their numbers is of a part, and no block is without one.
  void reserve(std::size_t growth) { blocks_.reserve(tables_.length() + growth, growth); }
  std::size_t blocks_in_use() const noexcept { return blocks_.in_use(); }
  const ListTables& tables() const noexcept { return tables_; }
  ListTables& tables() noexcept { return tables_; }

  Row row(std::size_t list, std::size_t position) const noexcept {
    const Place place = place_of(list, position);
    return row_in(blocks_[place.block], place.lane);
  }

  /// The row number in `lane` of a block.
  Row row_in(const std::uint8_t* block, std::size_t lane) const noexcept {
    Row row;
    std::memcpy(&row, block + rows() + 4 * lane, sizeof row);
    return row;
  }

  /// Writes the code at `position` (d bytes, not interleaved); returns its norm.
  std::int32_t read(std::size_t list, std::size_t position, std::uint8_t* code) const noexcept;

  /// `code`: d bytes, of a row whose number is `row`.
  void append(std::size_t list, const std::uint8_t* code, std::int32_t norm, Row row);
  void overwrite(std::size_t list, std::size_t position, const std::uint8_t* code, std::int32_t norm, Row row) noexcept;

  /// The last entry moves to `position`.
  void take_out(std::size_t list, std::size_t position) noexcept;

  std::size_t memory_bytes() const noexcept { return blocks_.memory_bytes() + tables_.memory_bytes(); }

 private:
  static constexpr unsigned kShift = 4;
  static_assert(kernels::kBlockRows == 1U << kShift);

  struct Place {
    std::uint32_t block;
    std::size_t lane;
  };
  Place place_of(std::size_t list, std::size_t position) const noexcept {
    const BlockSlot slot = BlockSlot::unpacked(tables_(list, position >> kShift));
    return {slot.block, slot.first_lane() + position % kernels::kBlockRows};
  }

  BlockSlot slot_for_next(std::size_t list);
  void move(BlockSlot from, BlockSlot to, std::size_t rows) noexcept;

  /// Where a block's norms and rows begin; group g of its codes is at 64 g.
  std::size_t norms() const noexcept { return layout_.groups * 64; }
  std::size_t rows() const noexcept { return layout_.bytes() - 64; }

  std::size_t d_;
  kernels::BlockLayout layout_;
  SharedBlocks blocks_;
  ListTables tables_;  ///< of packed slots
};

}  // namespace annulus
