#include "index/row_table.h"

#include <algorithm>
#include <cassert>

namespace annulus {

std::optional<RowTable> RowTable::restore(std::vector<VectorId> ids, std::vector<RowState> states) {
  RowTable table;
  table.ids_ = std::move(ids);
  table.states_ = std::move(states);
  table.row_of_.reserve(table.rows());
  for (std::size_t i = table.rows(); i-- > 0;) {
    const Row row = static_cast<Row>(i);
    switch (table.states_[row]) {
      case RowState::kFree: table.free_.push_back(row); break;
      case RowState::kDead: ++table.dead_; break;
      case RowState::kLive:
        if (!table.row_of_.emplace(table.ids_[row], row).second) return std::nullopt;
        break;
      default: return std::nullopt;
    }
  }
  return table;
}

void RowTable::reserve(std::size_t count) {
  const auto grow = [count](auto& array) {
    if (array.capacity() - array.size() < count) array.reserve(std::max(array.size() + count, 2 * array.capacity()));
  };
  grow(ids_);
  grow(states_);
  // robin_map::reserve hashes everything anew whenever it is called: only when there is no room, and then for twice as much
  const auto room = static_cast<std::size_t>(static_cast<float>(row_of_.bucket_count()) * row_of_.max_load_factor());
  if (row_of_.size() + count > room) row_of_.reserve(std::max(row_of_.size() + count, 2 * row_of_.size()));
}

void RowTable::assign(VectorId id, Row row) {
  const auto [it, inserted] = row_of_.try_emplace(id, row);
  if (!inserted) {
    if (it->second == row) return;
    states_[it->second] = RowState::kDead;
    ++dead_;
    it.value() = row;
  }
  if (row == rows()) {
    ids_.push_back(id);
    states_.push_back(RowState::kLive);
    return;
  }
  assert(!free_.empty() && free_.back() == row);
  free_.pop_back();
  ids_[row] = id;
  states_[row] = RowState::kLive;
}

void RowTable::append_dead() {
  ids_.push_back(0);
  states_.push_back(RowState::kDead);
  ++dead_;
}

void RowTable::release(VectorId id, RowState state) {
  const auto it = row_of_.find(id);
  const Row row = it->second;
  if (state == RowState::kFree) free_.push_back(row);
  if (state == RowState::kDead) ++dead_;
  ids_[row] = 0;
  states_[row] = state;
  row_of_.erase(it);
}

void RowTable::release_swapping_last(VectorId id) {
  const auto it = row_of_.find(id);
  const Row row = it->second;
  ids_[row] = ids_.back();
  row_of_.find(ids_[row]).value() = row;
  row_of_.erase(id);
  ids_.pop_back();
  states_.pop_back();
}

std::size_t RowTable::memory_bytes() const noexcept {
  return ids_.capacity() * sizeof(VectorId) + states_.capacity() * sizeof(RowState) + free_.capacity() * sizeof(Row) +
         row_of_.bucket_count() * (sizeof(std::pair<VectorId, Row>) + sizeof(std::uint64_t));
}

}  // namespace annulus
