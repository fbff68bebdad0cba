// Internal: the float vectors of an IVF's rows. Start at RowVectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "core/chunked_array.h"
#include "index/pieces.h"
#include "index/row_table.h"
#include "index/vector_index.h"

namespace annulus {

/// An entry of one size for each row that was given one. It lies at its row's number, which is all there is to know of it, while
/// few numbers are of rows that have none. Then a table of 4 bytes a row says where entries lie, and those of rows that went
/// serve others.
/// Thread safety: const calls from any threads at once; `reserve` beside them; other calls exclude all else.
class RowVectors {
 public:
  /// bytes >= 4. `expected`: so many rows, and others beside, will have an entry before long, in any order. Until expect_no_more()
  /// what is missing of them counts for used, and so does, once more, each that raises the greatest number.
  RowVectors(std::size_t bytes, std::size_t expected) noexcept : bytes_(bytes), expected_(expected), entries_(bytes) {}

  /// Of a row that has one.
  const std::uint8_t* operator[](Row row) const noexcept { return entries_[entry_of(row)]; }
  std::uint8_t* operator[](Row row) noexcept { return entries_[entry_of(row)]; }

  /// The next `count` calls of add(), for rows below `end`, cannot throw. `has(row)` says which rows have an entry. O(count)
  /// amortised, and once O(rows), of which one step is done while `alone`. What is thrown leaves all entries as they were.
  void reserve(std::size_t end, std::size_t count, const std::function<bool(Row)>& has, const WhileAlone& alone);

  void expect_no_more() noexcept { expected_ = 0; }

  /// Gives `row`, which has none, an entry with anything in it. There is room for it.
  void add(Row row) noexcept;

  /// Takes the entry from `row`, which has one.
  void remove(Row row) noexcept;

  /// Of entries that were ever written, and of the table.
  std::size_t memory_bytes() const noexcept { return (end_ - untouched_) * bytes_ + table_.memory_bytes(); }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  bool wasteful(std::size_t end, std::size_t held) const noexcept;
  void make_table(const std::function<bool(Row)>& has, const WhileAlone& alone);
  std::size_t entry_of(Row row) const noexcept { return by_table_ ? table_[row] : row; }

  std::size_t bytes_;
  std::size_t expected_;
  EntryTable entries_;
  std::size_t promised_ = 0;   ///< the greatest `end` that reserve() was given
  std::size_t end_ = 0;        ///< entries that ever were a row's are below it
  std::size_t held_ = 0;       ///< rows that have one
  std::size_t untouched_ = 0;  ///< entries below end_ that probably were never written
  bool by_table_ = false;
  ChunkedArray<std::uint32_t> table_;  ///< the entry of each row, if by_table_
  std::uint32_t free_ = kNone;         ///< then the entry that serves next; each has the number of the one behind in its first bytes
  std::size_t free_count_ = 0;
};

}  // namespace annulus
