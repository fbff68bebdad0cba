// Private to cache/: one lock's part of an InMemoryCacheNode.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/cache_node.h"
#include "cache/slot_index.h"
#include "cache/spinning_mutex.h"
#include "ring/token.h"

namespace annulus::internal {

/// Key and value of an entry, side by side in one allocation.
class EntryBytes {
 public:
  EntryBytes() = default;
  EntryBytes(KeyView key, std::string_view value);

  KeyView key() const noexcept { return {data_.get(), key_bytes_}; }
  std::string_view value() const noexcept { return {data_.get() + key_bytes_, value_bytes_}; }
  std::size_t size() const noexcept { return std::size_t{key_bytes_} + value_bytes_; }
  explicit operator bool() const noexcept { return data_ != nullptr; }

 private:
  std::unique_ptr<char[]> data_;
  std::uint32_t value_bytes_ = 0;
  std::uint32_t key_bytes_ = 0;
};

/// A least-recently-used table of entries and tombstones under one mutex. What it loses it remembers as a version floor: the
/// newest version among the keys of a bucket, below which nothing is taken for a key that is not in the table. That version
/// itself may come back: it is the very write that was lost.
/// Calls lock; sections are short: allocating and freeing bytes is done outside them.
class LruShard {
 public:
  struct Limits {
    std::size_t items = 1;
    std::size_t bytes = 1;
    std::size_t floors = 1;  ///< buckets, a power of two
  };
  /// What an entry costs beside its key and value: its slot, its place in the index (at most half full), the allocator's header.
  static constexpr std::size_t kOverheadBytes = 64 + 16 + 16;

  void set_limits(const Limits& limits);
  static std::size_t cost_of(std::size_t bytes) noexcept { return bytes + kOverheadBytes; }
  bool has_room_for(std::size_t bytes) const noexcept { return cost_of(bytes) <= limits_.bytes; }

  /// `now` is called for entries that expire. Counts a hit or a miss.
  template <typename Clock>
  std::optional<CacheEntry> get(KeyView key, Token token, Clock&& now);

  /// `bytes`: the write's key and value, or nothing if they are more than the shard has room for. They are swapped with what is
  /// to be freed. `generation`: of the node, compared with `only_in` under the lock; odd while shards are being cleared, when
  /// nothing that carries a generation is taken: what it may have been overtaken by may just have been cleared.
  CacheOutcome write(const CacheWrite& write, Token token, EntryBytes& bytes, const std::atomic<std::uint64_t>& generation,
                     std::optional<std::uint64_t> only_in);

  /// Without a floor. Returns whether it held an entry that was live at `now`.
  bool forget(KeyView key, Token token, CacheTime now);

  /// Forgets all, floors included, while the generation is odd.
  void clear();

  /// Appends the keys of live entries from slot `from` on, until the page has `limit` keys; returns the slot to go on with, or
  /// nothing at the end. An entry keeps its slot as long as it is there.
  std::optional<std::uint32_t> scan(std::uint32_t from, std::size_t limit, CacheTime now, std::vector<std::string>& page) const;

  void add_stats(CacheNodeStats& sum) const;

 private:
  static constexpr std::uint32_t kNone = SlotIndex::kNone;

  struct Slot {  // one cache line
    std::uint64_t clock = 0;
    CacheTime expires = kNeverExpires;
    EntryBytes bytes;  // empty: the slot is free, and `next` the next free one
    Token token = 0;
    std::uint32_t writer = 0;
    std::uint32_t newer = kNone;  // neighbours in the order of use
    std::uint32_t older = kNone;
    CacheWriteKind kind = CacheWriteKind::kPut;

    Version version() const noexcept { return {clock, writer}; }
  };
  static_assert(sizeof(Slot) <= 64);

  /// Bytes whose turn it is to be freed, which happens outside the lock for as many as fit.
  struct Discarded {
    std::array<EntryBytes, 8> bytes;
    std::size_t count = 0;
    void add(EntryBytes&& taken) noexcept {
      if (count < bytes.size()) bytes[count++] = std::move(taken);
    }
  };

  std::uint32_t find(KeyView key, Token token) const noexcept;
  Version& floor_of(Token token) noexcept { return floors_[(token >> 12) & (floors_.size() - 1)]; }
  void raise_floor(Token token, const Version& version) noexcept;
  void unlink(std::uint32_t slot) noexcept;
  void link_first(std::uint32_t slot) noexcept;
  void lose(std::uint32_t slot, Discarded& discarded) noexcept;  // the floor remembers it
  void remove(std::uint32_t slot, Discarded& discarded) noexcept;
  std::uint32_t take_slot();

  mutable SpinningMutex mutex_;
  Limits limits_;
  SlotIndex index_;
  std::vector<Slot> slots_;
  std::vector<Version> floors_;
  std::uint32_t first_ = kNone;  // used last
  std::uint32_t last_ = kNone;
  std::uint32_t free_ = kNone;  // linked by `older`
  std::size_t entries_ = 0;     // tombstones included
  CacheNodeStats stats_;        // items: live ones
};

template <typename Clock>
std::optional<CacheEntry> LruShard::get(KeyView key, Token token, Clock&& now) {
  std::optional<CacheEntry> found;
  Discarded discarded;  // freed after the lock
  std::lock_guard lock(mutex_);
  const std::uint32_t at = find(key, token);
  if (at == kNone || slots_[at].kind == CacheWriteKind::kErase) {
    ++stats_.misses;
    return found;
  }
  Slot& slot = slots_[at];
  if (slot.expires != kNeverExpires && slot.expires <= now()) {
    lose(at, discarded);
    ++stats_.expired;
    ++stats_.misses;
    return found;
  }
  found.emplace(CacheEntry{std::string(slot.bytes.value()), slot.version(), slot.expires});
  if (at != first_) {
    unlink(at);
    link_first(at);
  }
  ++stats_.hits;
  return found;
}

}  // namespace annulus::internal
