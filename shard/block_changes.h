// Internal: what a block of writes does to the records of a shard.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "shard/record.h"
#include "shard/record_table.h"

namespace annulus {

/// What becomes of one key.
struct BlockChange {
  Slot slot;
  Token token;
  const RecordView* record;  ///< the newest of the block
  bool fresh;                ///< the key has no slot yet; `slot` is the one it will get
  bool primary;
};

/// The changes of a block by key, of which there are no more than kMost. O(1), allocates nothing.
template <std::size_t kMost>
class ChangeOfKey {
 public:
  explicit ChangeOfKey(const std::vector<BlockChange>& changes) : changes_(changes) { places_.fill(kNone); }

  /// Which of the changes is of `key`, or changes.size(): then the next one will be.
  std::size_t find_or_add(Token token, KeyView key) {
    std::size_t at = token % places_.size();
    for (; places_[at] != kNone; at = (at + 1) % places_.size()) {
      const BlockChange& change = changes_[places_[at]];
      if (change.token == token && change.record->key == key) return places_[at];
    }
    places_[at] = static_cast<std::uint16_t>(changes_.size());
    return changes_.size();
  }

 private:
  static constexpr std::uint16_t kNone = UINT16_MAX;
  static_assert(kMost < kNone);

  const std::vector<BlockChange>& changes_;
  std::array<std::uint16_t, 4 * kMost> places_;
};

}  // namespace annulus
