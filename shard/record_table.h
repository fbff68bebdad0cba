// The records of one shard without their vectors, in the order of their tokens.
#pragma once

#include <absl/container/btree_set.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/key.h"
#include "ring/arc.h"
#include "ring/token.h"
#include "core/version.h"

namespace annulus {

/// Number of a record in its table; free numbers are reused.
using Slot = std::uint32_t;

/// Keys, versions and tombstones of a shard, ordered by (token, key bytes): an arc is one contiguous walk, and the same
/// tree finds a key. All operations O(log n). Not thread-safe.
class RecordTable {
 public:
  struct Record {
    std::string key;
    Token token = 0;
    Version version;
    std::uint64_t vector_hash = 0;
    bool deleted = false;
  };
  static constexpr Slot kNoSlot = static_cast<Slot>(-1);

  RecordTable();
  RecordTable(const RecordTable&) = delete;
  RecordTable& operator=(const RecordTable&) = delete;

  Slot find(Token token, KeyView key) const;
  /// Adds a record that is not there yet. Throws Error(kResourceExhausted) beyond 2^32 - 2 records.
  Slot insert(Token token, KeyView key);
  void remove(Slot slot);
  /// The slots that the next `count` calls of insert will give, in their order, if nothing is removed before.
  std::vector<Slot> upcoming(std::size_t count) const;

  Record& operator[](Slot slot) noexcept { return records_[slot]; }
  const Record& operator[](Slot slot) const noexcept { return records_[slot]; }
  /// Whether `slot` is that of `key`; any number may be asked about.
  bool holds(Slot slot, KeyView key) const noexcept {
    return !key.empty() && slot < records_.size() && records_[slot].key == key;
  }
  std::size_t size() const noexcept { return order_.size(); }
  std::size_t memory_bytes() const noexcept;

  /// Calls visit(slot) for the records of `arc` in clockwise order until it returns false. Returns false if it did.
  template <typename Visit>
  bool walk(const Arc& arc, Visit&& visit) const {
    for (const Range& range : ranges(arc)) {
      if (!walk_range(order_.lower_bound(Probe{range.first, {}}), range.last, visit)) return false;
    }
    return true;
  }

  /// The same, for the records of `arc` clockwise behind (token, key), which lies in `arc`.
  template <typename Visit>
  bool walk_behind(const Arc& arc, Token token, KeyView key, Visit&& visit) const {
    bool reached = false;
    for (const Range& range : ranges(arc)) {
      const bool here = !reached && range.first <= token && token <= range.last;
      if (!reached && !here) continue;
      const auto from = here ? order_.upper_bound(Probe{token, key}) : order_.lower_bound(Probe{range.first, {}});
      if (!walk_range(from, range.last, visit)) return false;
      reached = true;
    }
    return true;
  }

 private:
  struct Entry {
    Token token;
    Slot slot;
  };
  struct Probe {
    Token token;
    KeyView key;
  };
  struct Less {
    using is_transparent = void;
    const std::vector<Record>* records;
    KeyView key_of(const Entry& entry) const { return (*records)[entry.slot].key; }
    KeyView key_of(const Probe& probe) const { return probe.key; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return a.token != b.token ? a.token < b.token : key_of(a) < key_of(b);
    }
  };
  using Order = absl::btree_set<Entry, Less>;

  // An arc as one or two closed token ranges that do not wrap, in clockwise order; an unused one is empty (first > last).
  struct Range {
    Token first = 1;
    Token last = 0;
  };
  static std::array<Range, 2> ranges(const Arc& arc) noexcept {
    constexpr Token kLast = std::numeric_limits<Token>::max();
    if (arc.lo < arc.hi) return {Range{arc.lo + 1, arc.hi}, Range{}};
    if (arc.lo == kLast) return {Range{0, arc.hi}, Range{}};
    return {Range{arc.lo + 1, kLast}, Range{0, arc.hi}};
  }

  template <typename Visit>
  bool walk_range(Order::const_iterator it, Token last, Visit&& visit) const {
    for (; it != order_.end() && it->token <= last; ++it) {
      if (!visit(it->slot)) return false;
    }
    return true;
  }

  std::vector<Record> records_;
  std::vector<Slot> free_;
  Order order_;
};

}  // namespace annulus
