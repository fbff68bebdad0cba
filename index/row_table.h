// Internal: which id is in which row of the FAISS container.
#pragma once

#include <tsl/robin_map.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/chunked_array.h"
#include "index/vector_index.h"

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

/// Which rows a table gives to ids.
enum class RowNumbers : std::uint8_t {
  kInOrder,    ///< the next row, or one that is free
  kIds,        ///< the row of the id's number, while ids are dense; then as kInOrder
  kIdsAlways,  ///< the row of the id's number: whoever gives the ids keeps them dense
};

/// Ids and states of rows 0 to rows() - 1, and the row of each live id.
///
/// As long as ids are dense (below 4 times their number, plus 4096), the row of an id is looked up in an array; a greater id turns
/// it into a hash map, until the map grows and finds them dense again. Memory: 8.25 bytes a row with dense ids; 4 bytes more with
/// ids from 2^32. While rows have the numbers of their ids, there is nothing to look up: 0.25 bytes a row.
class RowTable {
 public:
  explicit RowTable(RowNumbers numbers = RowNumbers::kInOrder) noexcept
      : by_id_(numbers != RowNumbers::kInOrder), always_(numbers == RowNumbers::kIdsAlways) {}

  /// From saved arrays of equal size. Nothing if an id is live twice or a state is unknown.
  static std::optional<RowTable> restore(std::vector<VectorId> ids, std::vector<RowState> states,
                                         RowNumbers numbers = RowNumbers::kInOrder);

  /// Whether rows have the numbers of their ids. Then no row is dead, and a free one is taken by its id alone.
  bool by_id() const noexcept { return by_id_; }

  std::size_t rows() const noexcept { return rows_; }
  std::size_t live() const noexcept { return live_; }
  std::size_t dead() const noexcept { return dead_; }
  /// The id of a live row; of a dead one the id it had, or 0; of a free one anything.
  VectorId id(Row row) const noexcept { return by_id_ ? row : low_[row] | (wide_ ? VectorId{high_[row]} << 32 : 0); }
  RowState state(Row row) const noexcept { return static_cast<RowState>(states_[row / 4] >> (row % 4 * 2) & 3); }
  bool is_live(Row row) const noexcept { return state(row) == RowState::kLive; }

  std::optional<Row> find(VectorId id) const noexcept {
    if (by_id_) return id < rows_ && is_live(static_cast<Row>(id)) ? std::optional<Row>(static_cast<Row>(id)) : std::nullopt;
    if (hashed_) {
      const auto it = row_of_.find(id);
      return it == row_of_.end() ? std::nullopt : std::optional<Row>(it->second);
    }
    return id < dense_.size() && dense_[id] != kNoRow ? std::optional<Row>(dense_[id]) : std::nullopt;
  }

  /// The free row to be reused next, and the one after `row`. Nothing if there is none. Not asked of rows that are by_id().
  std::optional<Row> first_free() const noexcept { return row_or_none(free_); }
  std::optional<Row> free_after(Row row) const noexcept { return row_or_none(low_[row]); }

  /// Makes room, so that the next `count` calls of assign, for ids up to `greatest`, cannot throw. Amortised O(count). May end
  /// by_id(): rows stay where they are. Of kIdsAlways throws Error(kResourceExhausted) for ids from kMaxRows on.
  void reserve(std::size_t count, VectorId greatest);

  /// The same beside searches; what they read changes under `alone`, which is called only if something of that has to. All work on
  /// many rows is done before: what takes the place of an array is made beside it.
  void reserve(std::size_t count, VectorId greatest, const WhileAlone& alone);

  /// All ids that are live are less.
  VectorId ids_end() const noexcept { return rows_ == 0 ? 0 : greatest_ + 1; }

  /// Makes `row` the live row of `id`. The row is rows() (a new one), first_free(), or the id's own (then nothing
  /// changes); by_id() it is that of the id's number. The id's former row, if another, becomes dead.
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

  using HashedRows = tsl::robin_map<VectorId, Row, Mix>;

  static constexpr Row kNoRow = static_cast<Row>(-1);
  static std::optional<Row> row_or_none(Row row) noexcept { return row == kNoRow ? std::nullopt : std::optional<Row>(row); }
  static bool dense(VectorId greatest, std::size_t count) noexcept { return greatest < 4 * std::uint64_t{count} + 4096; }
  bool stays_by_id(std::size_t count, VectorId greatest) const noexcept;
  bool reserve_beside_searches(std::size_t count, VectorId greatest);
  void widen(const WhileAlone& alone);
  void look_up(const WhileAlone& alone);
  void grow_dense(std::size_t size, const WhileAlone& alone);
  void to_hashed(std::size_t count, const WhileAlone& alone);
  void to_dense(const WhileAlone& alone);
  void grow_hashed(std::size_t count, const WhileAlone& alone);
  void map(VectorId id, Row row) noexcept;
  void unmap(VectorId id) noexcept;
  void set_state(Row row, RowState state) noexcept;
  void set_id(Row row, VectorId id) noexcept;
  void append(VectorId id, RowState state) noexcept;

  std::size_t rows_ = 0;
  bool by_id_ = false;  // then the arrays of ids and rows are empty
  bool always_ = false;
  ChunkedArray<std::uint32_t> low_;   // the lower halves of ids; of a free row the next free one
  ChunkedArray<std::uint32_t> high_;  // the upper halves, once an id has one
  ChunkedArray<std::uint8_t> states_;  // 2 bits a row
  Row free_ = kNoRow;
  bool wide_ = false;
  bool hashed_ = false;
  ChunkedArray<Row> dense_;                    // by id, kNoRow where there is none
  HashedRows row_of_;                          // instead of dense_, if hashed_
  VectorId greatest_ = 0;                      // that was ever made room for
  std::size_t live_ = 0;
  std::size_t dead_ = 0;
};

}  // namespace annulus
