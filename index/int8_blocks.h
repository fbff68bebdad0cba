// Internal: lists of rows as int8 codes in blocks, as int8_block_kernels.h scans them. Start at Int8BlockLists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "core/prefetch.h"
#include "index/int8_block_kernels.h"
#include "index/row_table.h"

namespace annulus {

/// Growable lists of (code, norm, row number). Positions in a list are 0 to size - 1. Append, overwrite and take_out are O(d);
/// a list that is full grows by a 32nd. The headers of all lists lie side by side, 16 bytes each, and the blocks of a list in
/// one piece: what a search touches of a list that it skips or has yet to reach is one cache line.
/// Thread safety: const calls from any threads at once; `enlarged` beside them; other calls exclude all else.
class Int8BlockLists {
 public:
  /// Memory for a list that has to grow; exchange() puts it in place.
  class Room;

  Int8BlockLists(std::size_t lists, std::size_t d) : d_(d), headers_(lists) {}

  std::size_t lists() const noexcept { return headers_.size(); }
  std::size_t size(std::size_t list) const noexcept { return headers_[list].size; }
  const std::uint8_t* blocks(std::size_t list) const noexcept { return headers_[list].blocks.get(); }
  std::size_t dimension() const noexcept { return d_; }

  Row row(std::size_t list, std::size_t position) const noexcept { return row_in(blocks(list), position); }

  /// The row number at `position` of the blocks at `blocks`.
  Row row_in(const std::uint8_t* blocks, std::size_t position) const noexcept {
    Row row;
    std::memcpy(&row, blocks + place(position).row, sizeof row);
    return row;
  }

  /// Asks for the header of a list; and for part `part` of `parts` of what is worth asking for of its blocks, of which the header
  /// must be near.
  void prefetch_header(std::size_t list) const noexcept { annulus::prefetch(&headers_[list]); }
  void prefetch_blocks(std::size_t list, std::size_t part = 0, std::size_t parts = 1) const noexcept;

  /// The blocks of a list that is short enough to be asked for whole; else nothing.
  std::span<const std::uint8_t> short_blocks(std::size_t list) const noexcept;

  /// Writes the code at `position` (d bytes, not interleaved); returns its norm.
  std::int32_t read(std::size_t list, std::size_t position, std::uint8_t* code) const noexcept;

  /// `code`: d bytes, of a row whose number is `row`.
  void append(std::size_t list, const std::uint8_t* code, std::int32_t norm, Row row);
  void overwrite(std::size_t list, std::size_t position, const std::uint8_t* code, std::int32_t norm, Row row) noexcept;

  /// The last entry moves to `position`.
  void take_out(std::size_t list, std::size_t position) noexcept;

  /// A larger copy of the list if `more` rows do not fit in behind its rows; else nothing (an empty Room).
  Room enlarged(std::size_t list, std::size_t more) const;

  /// Gives the list its larger copy. Nothing was changed in the list since; O(1). Afterwards `room` holds the old memory.
  void exchange(Room& room) noexcept;

  std::size_t memory_bytes() const noexcept { return headers_.capacity() * sizeof(Header) + blocks_ * kernels::block_bytes(d_); }

 private:
  struct Free {
    void operator()(std::uint8_t* p) const noexcept { ::operator delete (p, std::align_val_t{64}); }
  };
  using Blocks = std::unique_ptr<std::uint8_t, Free>;

  struct Header {
    Blocks blocks;
    std::uint32_t size = 0;
    std::uint32_t capacity = 0;  ///< in blocks
  };
  static_assert(sizeof(Header) == 16);

  /// Where an entry's parts are, from the first block on.
  struct Place {
    std::size_t code;  ///< of the first 4 bytes; the next are 64 farther
    std::size_t norm;
    std::size_t row;
  };
  Place place(std::size_t position) const noexcept {
    const std::size_t block = position / kernels::kBlockRows * kernels::block_bytes(d_);
    const std::size_t lane = position % kernels::kBlockRows * 4;
    const std::size_t norms = block + kernels::block_groups(d_) * 64;
    return {block + lane, norms + lane, norms + 64 + lane};
  }

  std::size_t d_;
  std::vector<Header> headers_;
  std::size_t blocks_ = 0;  ///< of all lists
};

class Int8BlockLists::Room {
 public:
  explicit operator bool() const noexcept { return header_.blocks != nullptr; }

 private:
  friend class Int8BlockLists;
  std::size_t list_ = 0;
  Header header_;
};

}  // namespace annulus
