// Internal: memory in pieces of one size, and lists made of them. Start at ListTables.
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

/// Entries of one size by number, which never move. If it is a multiple of 64 bytes, they are aligned so.
/// Thread safety: as ChunkedArray's.
class EntryTable {
 public:
  /// bytes >= 1.
  explicit EntryTable(std::size_t bytes) noexcept : bytes_(bytes) {}

  std::size_t bytes() const noexcept { return bytes_; }
  std::uint8_t* operator[](std::size_t entry) noexcept { return address(entry); }
  const std::uint8_t* operator[](std::size_t entry) const noexcept { return address(entry); }

  /// Entries below `end` may be written to. Touches no memory.
  void make_room(std::size_t end);

  /// The same; and entries [begin, end) will be written before long.
  void reserve(std::size_t begin, std::size_t end);

 private:
  static constexpr ChunkLayout kLayout{64};

  std::uint8_t* address(std::size_t entry) const noexcept {
    return const_cast<std::uint8_t*>(chunks_[kLayout.chunk_of(entry)].data()) + kLayout.offset_of(entry) * bytes_;
  }

  std::size_t bytes_;
  std::array<AlignedBuffer<std::uint8_t>, ChunkLayout::kMostChunks> chunks_;
  std::size_t chunk_count_ = 0;
};

/// Pieces of one size, which stay where they are until they are given back; aligned as an EntryTable's.
/// Thread safety: as ChunkedArray's.
class Pieces {
 public:
  /// bytes >= 4.
  explicit Pieces(std::size_t bytes) noexcept : pieces_(bytes) {}

  std::size_t bytes() const noexcept { return pieces_.bytes(); }
  std::uint8_t* operator[](std::uint32_t piece) noexcept { return pieces_[piece]; }
  const std::uint8_t* operator[](std::uint32_t piece) const noexcept { return pieces_[piece]; }

  /// The next `count` calls of take() cannot throw. Touches no memory; they will before long.
  void reserve(std::size_t count) {
    if (count > free_count_) pieces_.reserve(taken_, taken_ + (count - free_count_));
  }

  /// Until more than `most` pieces are in use at a time, take() cannot throw. Touches no memory.
  void make_room(std::size_t most) { pieces_.make_room(most); }

  /// A piece with anything in it: one that was given back, or the next.
  std::uint32_t take();
  void give_back(std::uint32_t piece) noexcept;

  std::size_t in_use() const noexcept { return taken_ - free_count_; }

  /// Of all pieces that were ever taken.
  std::size_t memory_bytes() const noexcept { return taken_ * bytes(); }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  EntryTable pieces_;
  std::size_t taken_ = 0;       ///< pieces that were ever taken are 0 to taken_ - 1
  std::uint32_t free_ = kNone;  ///< given back last; the number of the one before is in its first bytes
  std::size_t free_count_ = 0;
};

/// Sizes of lists, and for each a table that says where its entries are: a number for each 2^shift of them. What it means is the
/// business of who keeps the entries. A table that grows is copied beside readers.
/// Thread safety: const calls from any threads at once; `enlarged` beside them; other calls exclude all else.
class ListTables {
 public:
  /// A longer table for one list; exchange() puts it in place.
  class Room;

  ListTables(std::size_t lists, unsigned shift) : shift_(shift), headers_(lists) {}

  std::size_t lists() const noexcept { return headers_.size(); }
  std::size_t size(std::size_t list) const noexcept { return headers_[list].size; }
  std::size_t length(std::size_t list) const noexcept { return length_of(headers_[list].size); }  ///< of its table
  std::size_t length() const noexcept { return length_; }                                         ///< of all tables together
  std::uint32_t operator()(std::size_t list, std::size_t i) const noexcept { return headers_[list].table[i]; }

  /// Asks for what has to be read before a list's entries can be: its header; and, when that has come, its table.
  void prefetch_header(std::size_t list) const noexcept { annulus::prefetch(&headers_[list]); }
  void prefetch_table(std::size_t list) const noexcept { annulus::prefetch(headers_[list].table.get()); }

  /// By how much `more` entries in a list make its table longer.
  std::size_t growth(std::size_t list, std::size_t more) const noexcept { return length_of(size(list) + more) - length(list); }

  /// A longer copy of the list's table if `more` entries need it; else nothing (an empty Room).
  Room enlarged(std::size_t list, std::size_t more) const;

  /// Gives the list its longer table. Nothing was changed in the list since; O(1). Afterwards `room` holds the old one.
  void exchange(Room& room) noexcept;

  /// The next push to the list has room in its table.
  void make_room(std::size_t list);

  /// One entry more, which lies where `last` says: the last number of the table, or a new one. There is room for it.
  void push(std::size_t list, std::uint32_t last) noexcept {
    length_ -= length(list);
    ++headers_[list].size;
    length_ += length(list);
    move_last(list, last);
  }
  /// One entry less, the last.
  void pop(std::size_t list) noexcept {
    length_ -= length(list);
    --headers_[list].size;
    length_ += length(list);
  }
  /// Its last entries lie elsewhere.
  void move_last(std::size_t list, std::uint32_t last) noexcept { headers_[list].table[length(list) - 1] = last; }

  std::size_t memory_bytes() const noexcept { return headers_.capacity() * sizeof(Header) + entries_ * sizeof(std::uint32_t); }

 private:
  struct Header {
    std::unique_ptr<std::uint32_t[]> table;
    std::uint32_t size = 0;
    std::uint32_t capacity = 0;  ///< of the table
  };
  static_assert(sizeof(Header) == 16);

  std::size_t length_of(std::size_t entries) const noexcept { return (entries + (std::size_t{1} << shift_) - 1) >> shift_; }

  unsigned shift_;
  std::vector<Header> headers_;
  std::size_t length_ = 0;
  std::size_t entries_ = 0;  ///< that the tables have room for
};

class ListTables::Room {
 public:
  explicit operator bool() const noexcept { return header_.table != nullptr; }

 private:
  friend class ListTables;
  std::size_t list_ = 0;
  Header header_;
};

/// Growable lists of plain entries of one size, behind one another in pieces of about 1 KiB. Positions in a list are 0 to size - 1.
/// An entry stays where it is while others are appended: nothing is copied but a list's table of pieces, and a list has less than
/// one piece for nothing. Pieces that lists gave back wait for the next that grows.
/// Thread safety: const calls from any threads at once; `reserve` and `enlarged` beside them; other calls exclude all else.
class EntryLists {
 public:
  /// entry_bytes >= 1.
  EntryLists(std::size_t lists, std::size_t entry_bytes);

  std::size_t entry_bytes() const noexcept { return entry_bytes_; }
  std::size_t size(std::size_t list) const noexcept { return tables_.size(list); }
  const std::uint8_t* entry(std::size_t list, std::size_t position) const noexcept {
    return pieces_[tables_(list, position >> shift_)] + place(position) * entry_bytes_;
  }

  /// How many entries lie behind one another from `position` on, of which the list may have fewer.
  std::size_t run(std::size_t position) const noexcept { return mask() + 1 - place(position); }

  /// Until the tables are longer by more than `growth` than they are, no list needs memory for entries.
  void reserve(std::size_t growth) { pieces_.reserve(growth); }
  ListTables& tables() noexcept { return tables_; }

  void append(std::size_t list, const std::uint8_t* entry);

  /// The last entry moves to `position`.
  void take_out(std::size_t list, std::size_t position) noexcept;

  std::size_t memory_bytes() const noexcept { return pieces_.memory_bytes() + tables_.memory_bytes(); }

 private:
  std::size_t mask() const noexcept { return (std::size_t{1} << shift_) - 1; }
  std::size_t place(std::size_t position) const noexcept { return position & mask(); }
  std::uint8_t* mutable_entry(std::size_t list, std::size_t position) noexcept {
    return pieces_[tables_(list, position >> shift_)] + place(position) * entry_bytes_;
  }

  std::size_t entry_bytes_;
  unsigned shift_;  ///< of the entries in a piece
  Pieces pieces_;
  ListTables tables_;
};

}  // namespace annulus
