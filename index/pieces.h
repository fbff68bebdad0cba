// Internal: memory in pieces of one size, and lists made of them. Start at PieceLists.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/chunked_array.h"
#include "core/prefetch.h"
#include "index/aligned_buffer.h"

namespace annulus {

/// Pieces of one size, which stay where they are until they are given back. If it is a multiple of 64 bytes, they are aligned so.
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

/// Growable lists of entries, so many to a piece. Positions in a list are 0 to size - 1. An entry stays where it is while others
/// are appended: nothing is copied but a list's table of pieces, and a list has less than one piece for nothing. Pieces that lists
/// gave back wait for the next that grows.
/// What an entry is, and how it lies in its piece, is the business of who has the lists.
/// Thread safety: const calls from any threads at once; `reserve` and `enlarged` beside them; other calls exclude all else.
class PieceLists {
 public:
  /// A longer table of pieces for one list; exchange() puts it in place.
  class Room;

  /// Pieces of 2^shift entries.
  PieceLists(std::size_t lists, std::size_t piece_bytes, unsigned shift) : shift_(shift), pieces_(piece_bytes), headers_(lists) {}

  std::size_t lists() const noexcept { return headers_.size(); }
  std::size_t size(std::size_t list) const noexcept { return headers_[list].size; }
  std::size_t piece_bytes() const noexcept { return pieces_.bytes(); }
  std::size_t pieces(std::size_t list) const noexcept { return pieces_of(headers_[list].size); }

  /// Piece number `i` of a list, and the piece that has the entry at `position`.
  const std::uint8_t* piece(std::size_t list, std::size_t i) const noexcept { return pieces_[headers_[list].table[i]]; }
  const std::uint8_t* piece_at(std::size_t list, std::size_t position) const noexcept { return piece(list, position >> shift_); }
  std::uint8_t* piece_at(std::size_t list, std::size_t position) noexcept {
    return pieces_[headers_[list].table[position >> shift_]];
  }
  /// Of the entry at `position`, in its piece.
  std::size_t place(std::size_t position) const noexcept { return position & mask(); }

  /// Asks for what has to be read before a list's pieces can be: its header; and, when that has come, its table.
  void prefetch_header(std::size_t list) const noexcept { annulus::prefetch(&headers_[list]); }
  void prefetch_table(std::size_t list) const noexcept { annulus::prefetch(headers_[list].table.get()); }

  /// The pieces that `more` entries in the list want beyond those it has.
  std::size_t pieces_for(std::size_t list, std::size_t more) const noexcept { return pieces_of(size(list) + more) - pieces(list); }

  /// Pushing into `count` new pieces cannot throw, to lists whose tables have room for them.
  void reserve(std::size_t count) { pieces_.reserve(count); }

  /// A longer copy of the list's table if `more` entries need it; else nothing (an empty Room).
  Room enlarged(std::size_t list, std::size_t more) const;

  /// Gives the list its longer table. Nothing was changed in the list since; O(1). Afterwards `room` holds the old one.
  void exchange(Room& room) noexcept;

  /// One entry more, with anything in it. Returns its position.
  std::size_t push(std::size_t list);
  /// One entry less, the last.
  void pop(std::size_t list) noexcept;

  std::size_t memory_bytes() const noexcept {
    return pieces_.memory_bytes() + headers_.capacity() * sizeof(Header) + table_entries_ * sizeof(std::uint32_t);
  }

 private:
  struct Header {
    std::unique_ptr<std::uint32_t[]> table;
    std::uint32_t size = 0;      ///< in entries
    std::uint32_t capacity = 0;  ///< of the table
  };
  static_assert(sizeof(Header) == 16);

  std::size_t mask() const noexcept { return (std::size_t{1} << shift_) - 1; }
  std::size_t pieces_of(std::size_t entries) const noexcept { return (entries + mask()) >> shift_; }

  unsigned shift_;
  Pieces pieces_;
  std::vector<Header> headers_;
  std::size_t table_entries_ = 0;  ///< that the tables have room for
};

class PieceLists::Room {
 public:
  explicit operator bool() const noexcept { return header_.table != nullptr; }

 private:
  friend class PieceLists;
  std::size_t list_ = 0;
  Header header_;
};

/// Lists of plain entries of one size, behind one another in pieces of about 1 KiB.
/// Thread safety: as PieceLists.
class EntryLists {
 public:
  /// entry_bytes >= 1.
  EntryLists(std::size_t lists, std::size_t entry_bytes);

  std::size_t entry_bytes() const noexcept { return entry_bytes_; }
  std::size_t size(std::size_t list) const noexcept { return pieces_.size(list); }
  const std::uint8_t* entry(std::size_t list, std::size_t position) const noexcept {
    return pieces_.piece_at(list, position) + pieces_.place(position) * entry_bytes_;
  }

  /// How many entries lie behind one another from `position` on, of which the list may have fewer.
  std::size_t run(std::size_t position) const noexcept { return pieces_.piece_bytes() / entry_bytes_ - pieces_.place(position); }

  /// Where they lie, to make room.
  PieceLists& pieces() noexcept { return pieces_; }

  void append(std::size_t list, const std::uint8_t* entry);

  /// The last entry moves to `position`.
  void take_out(std::size_t list, std::size_t position) noexcept;

  std::size_t memory_bytes() const noexcept { return pieces_.memory_bytes(); }

 private:
  std::uint8_t* mutable_entry(std::size_t list, std::size_t position) noexcept {
    return pieces_.piece_at(list, position) + pieces_.place(position) * entry_bytes_;
  }

  std::size_t entry_bytes_;
  PieceLists pieces_;
};

}  // namespace annulus
