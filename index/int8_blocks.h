// Internal: lists of rows as int8 codes in blocks, as int8_block_kernels.h scans them. Start at Int8BlockLists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "index/int8_block_kernels.h"
#include "index/pieces.h"
#include "index/row_table.h"

namespace annulus {

/// Growable lists of (code, norm, row number); without norms, these count for nothing and are read as 0. Positions in a list are
/// 0 to size - 1. A block is a piece: it stays where it is. Append, overwrite and take_out are O(d).
/// Thread safety: as PieceLists.
class Int8BlockLists {
 public:
  Int8BlockLists(std::size_t lists, std::size_t d, bool norms)
      : d_(d), layout_(d, norms), pieces_(lists, layout_.bytes(), kShift) {}

  std::size_t lists() const noexcept { return pieces_.lists(); }
  std::size_t size(std::size_t list) const noexcept { return pieces_.size(list); }
  const kernels::BlockLayout& layout() const noexcept { return layout_; }

  std::size_t blocks(std::size_t list) const noexcept { return pieces_.pieces(list); }
  const std::uint8_t* block(std::size_t list, std::size_t number) const noexcept { return pieces_.piece(list, number); }

  /// Where they lie, to make room and to ask for headers and tables.
  const PieceLists& pieces() const noexcept { return pieces_; }
  PieceLists& pieces() noexcept { return pieces_; }

  Row row(std::size_t list, std::size_t position) const noexcept {
    return row_in(pieces_.piece_at(list, position), pieces_.place(position));
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

  std::size_t memory_bytes() const noexcept { return pieces_.memory_bytes(); }

 private:
  static constexpr unsigned kShift = 4;
  static_assert(kernels::kBlockRows == 1U << kShift);

  /// Where a block's norms and rows begin; group g of its codes is at 64 g.
  std::size_t norms() const noexcept { return layout_.groups * 64; }
  std::size_t rows() const noexcept { return layout_.bytes() - 64; }

  std::size_t d_;
  kernels::BlockLayout layout_;
  PieceLists pieces_;
};

}  // namespace annulus
