#include "index/row_vectors.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace annulus {

/// Whether `held` entries at rows below `end` would leave more for nothing than twice what the table takes.
bool RowVectors::wasteful(std::size_t end, std::size_t held) const noexcept {
  constexpr std::size_t kLeast = std::size_t{256} << 10;  // bytes that are not worth it
  const std::size_t used = std::max(held, expected_);
  return end > used && (end - used) * bytes_ > kLeast + 2 * sizeof(std::uint32_t) * end;
}

void RowVectors::reserve(std::size_t end, std::size_t count, const std::function<bool(Row)>& has, const WhileAlone& alone) {
  const std::size_t end_then = std::max(end, end_);
  if (expected_ != 0) expected_ += std::min(count, end_then - end_);
  promised_ = std::max(promised_, end);
  if (!by_table_ && wasteful(end_then, held_ + count)) make_table(has, alone);
  if (by_table_) {
    table_.reserve(promised_);
    if (count > free_count_) entries_.reserve(end_, end_ + (count - free_count_));
  } else if (end > end_) {
    entries_.reserve(end_, end);
  }
}

void RowVectors::make_table(const std::function<bool(Row)>& has, const WhileAlone& alone) {
  ChunkedArray<std::uint32_t> table;
  table.resize(end_, 0);
  std::uint32_t free = kNone;
  for (std::size_t entry = end_; entry-- > 0;) {  // those of small numbers are the first to serve
    if (has(static_cast<Row>(entry))) {
      table[entry] = static_cast<std::uint32_t>(entry);
    } else {
      std::memcpy(entries_[entry], &free, sizeof free);
      free = static_cast<std::uint32_t>(entry);
    }
  }
  alone([&] {
    std::swap(table_, table);
    free_ = free;
    free_count_ = end_ - held_;
    untouched_ = 0;
    by_table_ = true;
  });
}

void RowVectors::add(Row row) noexcept {
  ++held_;
  if (!by_table_) {
    const std::size_t end = std::size_t{row} + 1;
    if (end > end_) {
      untouched_ += end - end_ - 1;
      end_ = end;
    } else if (untouched_ > 0) {
      --untouched_;
    }
    return;
  }
  if (row >= table_.size()) table_.resize(std::size_t{row} + 1, 0);
  if (free_ == kNone) {
    table_[row] = static_cast<std::uint32_t>(end_++);
    return;
  }
  table_[row] = free_;
  std::memcpy(&free_, entries_[free_], sizeof free_);
  --free_count_;
}

void RowVectors::remove(Row row) noexcept {
  --held_;
  if (!by_table_) return;
  std::memcpy(entries_[table_[row]], &free_, sizeof free_);
  free_ = table_[row];
  ++free_count_;
}

}  // namespace annulus
