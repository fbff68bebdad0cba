// A cache node in this process's memory: least recently used goes first. Start at InMemoryCacheNode.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/cache_node.h"

namespace annulus {

/// Bounds of a node. Both hold at any time.
struct CacheCapacity {
  std::size_t items = 0;  ///< > 0 and < 2^32; tombstones count
  std::size_t bytes = 0;  ///< > 0; of keys, values, and InMemoryCacheNode::kEntryOverheadBytes an entry
};

/// Least recently used entries go first, for room in items or in bytes. A get or a put is a use.
///
/// The table is split among locks by the keys' hash, 1 to 64 of them by capacity (1 below 1024 items or 8 MiB), and the bounds
/// with it: the order of use, and so who goes first, is each part's own. An entry that costs more than a part may hold is
/// rejected; parts hold at least 4 MiB where the node does, so a node for larger values wants 64 times their size.
/// Versions of what was evicted or expired are remembered by hash (16 bytes for about each item of the capacity, at most 16 MiB): a
/// copy may be refused because of another key's, which costs a miss.
/// Entries past their time are forgotten when they are asked for, or as the least recently used.
/// Thread-safe; never out of reach. O(1) a key.
class InMemoryCacheNode final : public CacheNode {
 public:
  static constexpr std::size_t kEntryOverheadBytes = 96;

  /// `now` tells the time (tests); nothing: the system's. Throws Error(kInvalidArgument) for an empty or too long id, and for a
  /// capacity of 0 items or bytes, or of 2^32 items or more.
  InMemoryCacheNode(std::string id, CacheCapacity capacity, std::function<CacheTime()> now = {});
  ~InMemoryCacheNode() override;

  const CacheCapacity& capacity() const noexcept { return capacity_; }

  const std::string& id() const noexcept override { return id_; }
  std::optional<CacheEntry> get(KeyView key) override;
  void get(std::span<const KeyView> keys, std::vector<std::optional<CacheEntry>>& entries) override;
  CacheOutcome write(const CacheWrite& write, std::optional<std::uint64_t> only_in = std::nullopt) override;
  void write(std::span<const CacheWrite> writes, std::vector<CacheOutcome>& outcomes,
             std::optional<std::uint64_t> only_in = std::nullopt) override;
  std::uint64_t forget(std::span<const KeyView> keys) override;
  void scan(CacheCursor& cursor, std::size_t limit, std::vector<std::string>& page) override;
  std::uint64_t generation() const noexcept override { return generation_.load(std::memory_order_seq_cst); }
  void invalidate() override;
  CacheNodeStats stats() const override;

 private:
  struct Shards;
  CacheTime now() const { return now_ ? now_() : CacheClock::now(); }

  const std::string id_;
  const CacheCapacity capacity_;
  const std::function<CacheTime()> now_;
  std::mutex invalidation_mutex_;
  std::atomic<std::uint64_t> generation_{2};  // odd while shards are being cleared
  std::unique_ptr<Shards> shards_;
};

}  // namespace annulus
