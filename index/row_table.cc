#include "index/row_table.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <string>
#include <utility>

#include "core/error.h"

namespace annulus {

std::optional<RowTable> RowTable::restore(std::vector<VectorId> ids, std::vector<RowState> states, RowNumbers numbers) {
  const auto in_place = [&](std::size_t i) {
    return states[i] == RowState::kFree || (states[i] == RowState::kLive && ids[i] == i);
  };
  bool by_id = numbers == RowNumbers::kIds;
  for (std::size_t i = 0; by_id && i < ids.size(); ++i) by_id = in_place(i);
  RowTable table(by_id ? RowNumbers::kIds : RowNumbers::kInOrder);
  if (by_id) {
    table.states_.reserve((ids.size() + 3) / 4);
    for (std::size_t i = 0; i < ids.size(); ++i) table.append(i, states[i]);
    table.live_ = static_cast<std::size_t>(std::count(states.begin(), states.end(), RowState::kLive));
    table.greatest_ = ids.empty() ? 0 : ids.size() - 1;
    return table;
  }
  const VectorId greatest = ids.empty() ? 0 : *std::max_element(ids.begin(), ids.end());
  table.reserve(ids.size(), greatest);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    switch (states[i]) {
      case RowState::kFree: break;
      case RowState::kDead: ++table.dead_; break;
      case RowState::kLive:
        if (table.find(ids[i])) return std::nullopt;
        table.map(ids[i], static_cast<Row>(i));
        ++table.live_;
        break;
      default: return std::nullopt;
    }
    table.append(ids[i], states[i]);
  }
  for (std::size_t i = ids.size(); i-- > 0;) {
    if (states[i] != RowState::kFree) continue;
    table.low_[i] = table.free_;
    table.free_ = static_cast<Row>(i);
  }
  return table;
}

bool RowTable::stays_by_id(std::size_t count, VectorId greatest) const noexcept {
  return by_id_ && greatest < kMaxRows && (always_ || greatest < rows_ || dense(greatest, live_ + count));
}

// Makes what room it can make without a change of anything that find() and id() read; says whether that was all.
bool RowTable::reserve_beside_searches(std::size_t count, VectorId greatest) {
  if (by_id_ && !stays_by_id(count, greatest)) return false;
  states_.reserve((by_id_ ? greatest + 1 : rows() + count) / 4 + 1);
  if (!by_id_) low_.reserve(rows() + count);
  if (wide_) high_.reserve(rows() + count);
  greatest_ = std::max(greatest_, greatest);
  if (by_id_) return true;
  if (greatest >> 32 != 0 && !wide_) return false;
  if (!hashed_) return greatest < dense_.size();
  return row_of_.size() + count <= static_cast<std::size_t>(static_cast<float>(row_of_.bucket_count()) * row_of_.max_load_factor());
}

void RowTable::reserve(std::size_t count, VectorId greatest) {
  reserve(count, greatest, [](const std::function<void()>& step) { step(); });
}

void RowTable::reserve(std::size_t count, VectorId greatest, const WhileAlone& alone) {
  if (always_ && greatest >= kMaxRows) {
    throw Error(ErrorCode::kResourceExhausted, "row " + std::to_string(greatest) + " of an index that can hold " +
                                                   std::to_string(kMaxRows) + "; use more shards");
  }
  if (by_id_ && !stays_by_id(count, greatest)) look_up(alone);
  if (greatest >> 32 != 0 && !wide_) widen(alone);
  if (reserve_beside_searches(count, greatest)) return;
  if (!hashed_) {
    if (dense(greatest, live_ + count)) {
      grow_dense(greatest + 1, alone);
    } else {
      to_hashed(live_ + count, alone);
    }
  } else if (dense(greatest_, live_ + count)) {
    to_dense(alone);
  } else {
    grow_hashed(std::max(row_of_.size() + count, 2 * row_of_.size()), alone);
  }
}

// From rows that have their ids' numbers to rows that are looked up.
void RowTable::look_up(const WhileAlone& alone) {
  ChunkedArray<std::uint32_t> low;
  ChunkedArray<Row> array;
  low.resize(rows_, 0);
  array.resize(rows_, kNoRow);
  Row free = kNoRow;
  for (auto row = static_cast<Row>(rows_); row-- > 0;) {
    if (is_live(row)) {
      low[row] = row;
      array[row] = row;
    } else {
      low[row] = free;
      free = row;
    }
  }
  alone([&] {
    std::swap(low_, low);
    std::swap(dense_, array);
    free_ = free;
    by_id_ = false;
  });
}

void RowTable::widen(const WhileAlone& alone) {
  high_.prepare(rows(), 0);
  alone([&] {
    high_.grow_to_prepared(rows());
    wide_ = true;
  });
}

void RowTable::grow_dense(std::size_t size, const WhileAlone& alone) {
  dense_.prepare(size, kNoRow);
  alone([&] { dense_.grow_to_prepared(size); });
}

void RowTable::to_hashed(std::size_t count, const WhileAlone& alone) {
  HashedRows hashed;
  hashed.reserve(count);
  for (VectorId id = 0; id < dense_.size(); ++id) {
    if (dense_[id] != kNoRow) hashed.emplace(id, dense_[id]);
  }
  ChunkedArray<Row> former;  // freed when searches go on
  alone([&] {
    row_of_.swap(hashed);
    std::swap(dense_, former);
    hashed_ = true;
  });
}

void RowTable::to_dense(const WhileAlone& alone) {
  ChunkedArray<Row> array;
  array.resize(greatest_ + 1, kNoRow);
  for (const auto& [id, row] : row_of_) array[id] = row;
  HashedRows former;
  alone([&] {
    std::swap(dense_, array);
    row_of_.swap(former);
    hashed_ = false;
  });
}

void RowTable::grow_hashed(std::size_t count, const WhileAlone& alone) {
  HashedRows grown;
  grown.reserve(count);
  for (const auto& [id, row] : row_of_) grown.emplace(id, row);
  alone([&] { row_of_.swap(grown); });
}

void RowTable::map(VectorId id, Row row) noexcept {
  if (hashed_) {
    row_of_[id] = row;
  } else {
    dense_[id] = row;
  }
}

void RowTable::unmap(VectorId id) noexcept {
  if (hashed_) {
    row_of_.erase(id);
  } else {
    dense_[id] = kNoRow;
  }
}

void RowTable::set_state(Row row, RowState state) noexcept {
  const unsigned shift = row % 4 * 2;
  std::uint8_t& byte = states_[row / 4];
  byte = static_cast<std::uint8_t>((byte & ~(3U << shift)) | static_cast<unsigned>(state) << shift);
}

void RowTable::set_id(Row row, VectorId id) noexcept {
  low_[row] = static_cast<std::uint32_t>(id);
  if (wide_) high_[row] = static_cast<std::uint32_t>(id >> 32);
}

void RowTable::append(VectorId id, RowState state) noexcept {
  const auto row = static_cast<Row>(rows_++);
  if (states_.size() * 4 == row) states_.push_back(0);
  set_state(row, state);
  if (by_id_) return;
  low_.push_back(0);
  if (wide_) high_.push_back(0);
  set_id(row, id);
}

void RowTable::assign(VectorId id, Row row) {
  if (const std::optional<Row> former = find(id)) {
    if (*former == row) return;
    set_state(*former, RowState::kDead);
    ++dead_;
    --live_;
  }
  if (by_id_) {
    assert(row == id);
    while (rows_ <= row) append(rows_, RowState::kFree);
    set_state(row, RowState::kLive);
    ++live_;
    return;
  }
  if (row == rows()) {
    append(id, RowState::kLive);
  } else {
    assert(row == free_);
    free_ = low_[row];
    set_id(row, id);
    set_state(row, RowState::kLive);
  }
  map(id, row);
  ++live_;
}

void RowTable::append_dead() {
  append(0, RowState::kDead);
  ++dead_;
}

void RowTable::release(VectorId id, RowState state) {
  const Row row = *find(id);
  if (by_id_) {
    assert(state == RowState::kFree);
    set_state(row, state);
    --live_;
    return;
  }
  unmap(id);
  --live_;
  set_id(row, 0);
  set_state(row, state);
  if (state == RowState::kDead) ++dead_;
  if (state == RowState::kFree) {
    low_[row] = free_;
    free_ = row;
  }
}

void RowTable::release_swapping_last(VectorId id) {
  const Row row = *find(id);
  const auto last = static_cast<Row>(rows() - 1);
  const VectorId moved = this->id(last);
  set_id(row, moved);
  map(moved, row);
  unmap(id);
  low_.pop_back();
  if (wide_) high_.pop_back();
  if (last % 4 == 0) states_.pop_back();
  --rows_;
  --live_;
}

std::size_t RowTable::memory_bytes() const noexcept {
  return low_.memory_bytes() + high_.memory_bytes() + states_.memory_bytes() + dense_.memory_bytes() +
         row_of_.bucket_count() * (sizeof(std::pair<VectorId, Row>) + sizeof(std::uint64_t));
}

}  // namespace annulus
