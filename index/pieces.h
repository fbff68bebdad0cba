// Internal: memory in pieces of one size, and lists made of them. Start at PieceLists.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/chunked_array.h"
#include "index/aligned_buffer.h"

namespace annulus {

/// Pieces of one size, which stay where they are until they are given back. The first is aligned to 64 bytes, the others follow it.
/// Thread safety: as ChunkedArray's.
class Pieces {
 public:
  /// bytes >= 4.
  explicit Pieces(std::size_t bytes) noexcept : bytes_(bytes) {}

  std::size_t bytes() const noexcept { return bytes_; }
  std::uint8_t* operator[](std::uint32_t piece) noexcept { return address(piece); }
  const std::uint8_t* operator[](std::uint32_t piece) const noexcept { return address(piece); }

  /// The next `count` calls of take() cannot throw. Touches no memory; they will before long.
  void reserve(std::size_t count);

  /// A piece with anything in it: one that was given back, or the next.
  std::uint32_t take();
  void give_back(std::uint32_t piece) noexcept;

  /// Of all pieces that were ever taken.
  std::size_t memory_bytes() const noexcept { return taken_ * bytes_; }

 private:
  static constexpr ChunkLayout kLayout{64};
  static constexpr std::uint32_t kNone = UINT32_MAX;

  std::uint8_t* address(std::uint32_t piece) const noexcept {
    return const_cast<std::uint8_t*>(chunks_[kLayout.chunk_of(piece)].data()) + kLayout.offset_of(piece) * bytes_;
  }

  std::size_t bytes_;
  std::array<AlignedBuffer<std::uint8_t>, ChunkLayout::kMostChunks> chunks_;
  std::size_t chunk_count_ = 0;
  std::size_t taken_ = 0;       ///< pieces that were ever taken are 0 to taken_ - 1
  std::uint32_t free_ = kNone;  ///< given back last; the number of the one before is in its first bytes
  std::size_t free_count_ = 0;
};

/// Growable lists of entries of one size. Positions in a list are 0 to size - 1. An entry stays where it is while others are
/// appended: nothing is copied, and what a list has room for beyond its entries is less than one piece, of about 2 KiB. Append and
/// take_out cost O(entry).
/// Thread safety: const calls from any threads at once; `reserve` and `enlarged` beside them; other calls exclude all else.
class PieceLists {
 public:
  /// A longer table of pieces for one list; exchange() puts it in place.
  struct Room {
    std::size_t list = 0;
    std::vector<std::uint32_t> pieces;
    explicit operator bool() const noexcept { return pieces.capacity() != 0; }
  };

  /// entry_bytes >= 4.
  PieceLists(std::size_t lists, std::size_t entry_bytes);

  std::size_t entry_bytes() const noexcept { return entry_bytes_; }
  std::size_t size(std::size_t list) const noexcept { return lists_[list].size; }
  const std::uint8_t* entry(std::size_t list, std::size_t position) const noexcept {
    return pieces_[lists_[list].pieces[position >> shift_]] + (position & mask()) * entry_bytes_;
  }

  /// How many entries lie behind one another from `position` on, of which the list may have fewer.
  std::size_t run(std::size_t position) const noexcept { return mask() + 1 - (position & mask()); }

  /// The pieces that `more` entries in the list want beyond those it has.
  std::size_t pieces_for(std::size_t list, std::size_t more) const noexcept;

  /// Appending into `count` new pieces cannot throw, to lists whose tables have room for them.
  void reserve(std::size_t count) { pieces_.reserve(count); }

  /// A longer copy of the list's table if `more` entries need it; else nothing (an empty Room).
  Room enlarged(std::size_t list, std::size_t more) const;

  /// Gives the list its longer table. Nothing was changed in the list since; O(1). Afterwards `room` holds the old one.
  void exchange(Room& room) noexcept { lists_[room.list].pieces.swap(room.pieces); }

  void append(std::size_t list, const std::uint8_t* entry);

  /// The last entry moves to `position`.
  void take_out(std::size_t list, std::size_t position) noexcept;

  std::size_t memory_bytes() const noexcept;

 private:
  struct List {
    std::vector<std::uint32_t> pieces;
    std::size_t size = 0;
  };

  std::size_t mask() const noexcept { return (std::size_t{1} << shift_) - 1; }

  std::size_t entry_bytes_;
  unsigned shift_;  ///< a piece has 2^shift_ entries
  Pieces pieces_;
  std::vector<List> lists_;
};

}  // namespace annulus
