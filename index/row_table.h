// Internal: which id is in which row of the FAISS container.
#pragma once

#include <tsl/robin_map.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "index/search_types.h"

namespace annulus {

/// A row of the FAISS container.
using Row = std::uint32_t;

/// FAISS's HNSW numbers rows with int.
inline constexpr std::size_t kMaxRows = (std::size_t{1} << 31) - 1;

enum class RowState : std::uint8_t {
  kFree = 0,  ///< holds nothing; may be reused
  kLive = 1,  ///< holds the vector of its id
  kDead = 2,  ///< holds a vector that is erased or overwritten, and cannot be taken out
};

/// Ids and states of rows 0 to rows() - 1, and the row of each live id.
class RowTable {
 public:
  RowTable() = default;

  /// From saved arrays of equal size. Nothing if an id is live twice or a state is unknown.
  static std::optional<RowTable> restore(std::vector<VectorId> ids, std::vector<RowState> states);

  std::size_t rows() const noexcept { return ids_.size(); }
  std::size_t live() const noexcept { return row_of_.size(); }
  std::size_t dead() const noexcept { return dead_; }
  VectorId id(Row row) const noexcept { return ids_[row]; }
  bool is_live(Row row) const noexcept { return states_[row] == RowState::kLive; }
  std::span<const VectorId> ids() const noexcept { return ids_; }
  std::span<const RowState> states() const noexcept { return states_; }

  std::optional<Row> find(VectorId id) const noexcept {
    const auto it = row_of_.find(id);
    return it == row_of_.end() ? std::nullopt : std::optional<Row>(it->second);
  }

  /// Free rows, the next to be reused at the back.
  std::span<const Row> free_rows() const noexcept { return free_; }

  /// Makes room, so that the next `count` calls of assign cannot throw.
  void reserve(std::size_t count);

  /// Makes `row` the live row of `id`. The row is rows() (a new one), the back of free_rows(), or the id's own (then nothing
  /// changes). The id's former row, if another, becomes dead.
  void assign(VectorId id, Row row);

  /// Appends a row that is dead from the start. Cannot throw after reserve.
  void append_dead();

  /// Forgets `id`, which is live; its row becomes `state` (kFree or kDead).
  void release(VectorId id, RowState state);

  /// Forgets `id`, which is live, and gives its row to the id of the last row, which disappears. All rows are live.
  void release_swapping_last(VectorId id);

  std::size_t memory_bytes() const noexcept;

 private:
  /// Ids are often consecutive or multiples of a power of two; the map wants mixed bits (the finaliser of SplitMix64).
  struct Mix {
    std::size_t operator()(VectorId id) const noexcept {
      id = (id ^ (id >> 30)) * 0xbf58476d1ce4e5b9ULL;
      id = (id ^ (id >> 27)) * 0x94d049bb133111ebULL;
      return id ^ (id >> 31);
    }
  };

  std::vector<VectorId> ids_;
  std::vector<RowState> states_;
  std::vector<Row> free_;
  tsl::robin_map<VectorId, Row, Mix> row_of_;
  std::size_t dead_ = 0;
};

}  // namespace annulus
