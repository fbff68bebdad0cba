// The records of one shard without their vectors, in the order of their tokens.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/chunked_array.h"
#include "core/key.h"
#include "core/prefetch.h"
#include "core/version.h"
#include "ring/arc.h"
#include "ring/token.h"
#include "shard/key_arena.h"
#include "shard/packed_set.h"

namespace annulus {

/// Number of a record in its table; free numbers are reused.
using Slot = std::uint32_t;

/// Keys, versions and tombstones of a shard, ordered by (token, key bytes): an arc is one contiguous walk, and the same
/// order finds a key. All operations are those of PackedSet, O(log n) but for the splits; nothing else moves what is there to make
/// room. Not thread-safe.
///
/// Memory: 24 bytes a record, some 8.5 of the order (the upper half of the token, and the slot; the rest is in the key), and the
/// key's bytes with 1 for its length (3 from 127 bytes on).
class RecordTable {
 public:
  /// A copy of a record; its key is the table's, valid until the record is removed.
  struct Record {
    KeyView key;
    Version version;
    std::uint64_t vector_hash = 0;
    bool deleted = false;
  };
  static constexpr Slot kNoSlot = static_cast<Slot>(-1);

  /// `token_of` gives a key's token.
  explicit RecordTable(Token (*token_of)(KeyView) noexcept = token_of_key);
  RecordTable(const RecordTable&) = delete;
  RecordTable& operator=(const RecordTable&) = delete;

  Slot find(Token token, KeyView key) const;
  /// The same for several keys: slots[i] of keys[i], whose token is tokens[i]. Their memory is waited for together.
  void find(std::span<const Token> tokens, std::span<const KeyView> keys, std::span<Slot> slots) const;
  /// Adds a record that is not there yet, with version 0; `token` is the key's. Throws Error(kResourceExhausted) beyond 2^32 - 2
  /// records or 4 GiB of keys. If it throws, nothing has changed.
  Slot insert(Token token, KeyView key);
  void remove(Slot slot);
  /// Changes all of a record but its key.
  void set(Slot slot, const Version& version, std::uint64_t vector_hash, bool deleted) noexcept;
  /// The slots that the next `count` calls of insert will give, in their order, if nothing is removed before.
  std::vector<Slot> upcoming(std::size_t count) const;

  Record operator[](Slot slot) const noexcept;
  KeyView key(Slot slot) const noexcept { return keys_[records_[slot].key]; }
  Token token(Slot slot) const noexcept { return token_of_(key(slot)); }
  /// Asks for a record; and for its key, when the record has come. Any number may be asked for.
  void prefetch(Slot slot) const noexcept {
    if (slot < records_.size()) annulus::prefetch(&records_[slot]);
  }
  void prefetch_key(Slot slot) const noexcept {
    if (slot < records_.size() && records_[slot].key != kFreeKey) keys_.prefetch(records_[slot].key);
  }
  /// Whether `slot` is that of `key`; any number may be asked about.
  bool holds(Slot slot, KeyView key) const noexcept {
    return !key.empty() && slot < records_.size() && records_[slot].key != kFreeKey && this->key(slot) == key;
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
  struct Packed {
    std::uint64_t clock;
    std::uint64_t vector_hash;  // of a free slot: the next one to be reused
    std::uint32_t writer;
    KeyRef key;  // marked, if the record is deleted
  };
  static_assert(sizeof(Packed) == 24);
  static constexpr KeyRef kFreeKey = static_cast<KeyRef>(-1);

  struct Entry {
    std::uint32_t token_above;  // the upper half
    Slot slot;
  };
  struct Probe {
    Token token;
    KeyView key;
  };
  /// Before the first entry whose token has this upper half.
  struct HalfProbe {
    std::uint32_t token_above;
  };
  struct Less {
    const RecordTable* table;
    std::uint32_t above(const Entry& entry) const { return entry.token_above; }
    std::uint32_t above(const Probe& probe) const { return upper_half(probe.token); }
    Token token(const Entry& entry) const { return table->token(entry.slot); }
    Token token(const Probe& probe) const { return probe.token; }
    KeyView key(const Entry& entry) const { return table->key(entry.slot); }
    KeyView key(const Probe& probe) const { return probe.key; }
    bool operator()(const Entry& a, const HalfProbe& b) const { return a.token_above < b.token_above; }
    bool operator()(const HalfProbe& a, const Entry& b) const { return a.token_above <= b.token_above; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      if (above(a) != above(b)) return above(a) < above(b);
      const Token of_a = token(a), of_b = token(b);
      return of_a != of_b ? of_a < of_b : key(a) < key(b);
    }
  };
  static std::uint32_t upper_half(Token token) noexcept { return static_cast<std::uint32_t>(token >> 32); }
  using Order = PackedSet<Entry, Less>;

  /// The first entry whose token has the upper half of this one, or one behind.
  Order::Iterator first_like(Token token) const { return order_.lower_bound(HalfProbe{upper_half(token)}); }
  bool is_like(Order::Iterator at, Token token) const { return at != order_.end() && at->token_above == upper_half(token); }
  Slot find_from(Order::Iterator at, Token token, KeyView key) const;

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
  bool walk_range(Order::Iterator it, Token last, Visit&& visit) const {
    const std::uint32_t above = upper_half(last);
    for (; it != order_.end() && it->token_above <= above; ++it) {
      if (it->token_above == above && token(it->slot) > last) return true;
      if (!visit(it->slot)) return false;
    }
    return true;
  }

  Token (*token_of_)(KeyView) noexcept;
  KeyArena keys_;
  ChunkedArray<Packed> records_;
  Slot free_ = kNoSlot;  // the next free slot to be reused
  Order order_;
};

}  // namespace annulus
