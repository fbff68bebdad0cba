// One cache over many nodes: who holds a key, what happens when a node is missing, and when the ring changes. Start here.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/cache_node.h"
#include "core/key.h"
#include "core/version.h"
#include "ring/hash_ring.h"
#include "ring/placement.h"

namespace annulus {

using CacheTtl = std::chrono::milliseconds;

/// What entries are taken for that nodes hold when they are attached before the first write of a cache: of a Redis that was there
/// before this process, say.
enum class CacheStart : std::uint8_t {
  kAnew,  ///< they may be older than what was written last: nodes are invalidated before they are used
  /// They are used. Right if every process that wrote them had these nodes, this ring and number of replicas since its rebalancer
  /// (or drop_former) had dropped the layouts before, and no node was behind when it ended (`waits_for_invalidation` in the
  /// statistics).
  kWarm,
};

struct DistributedCacheOptions {
  std::size_t replicas = 1;  ///< R: nodes that hold each key
  RingOptions ring = {};     ///< one probe: a ring of several has no arcs to warm up
  std::uint32_t writer = 0;  ///< number of this process, part of versions: different for processes that share nodes
  /// How long the tombstone of an erase is kept. Longer than any copy between nodes is under way. What takes longer to compute is
  /// not kept.
  std::chrono::milliseconds tombstone_life = std::chrono::minutes(10);
  CacheStart start = CacheStart::kAnew;
  std::function<CacheTime()> now = {};  ///< tells the time (tests); nothing: the system's
};

/// One entry to put. Views: the caller keeps them alive during the call.
struct CacheItem {
  KeyView key;
  std::string_view value;
  std::optional<CacheTtl> ttl = std::nullopt;  ///< > 0; nothing: until it is evicted
};

/// Counts since the cache was made.
struct DistributedCacheStats {
  std::uint64_t hits = 0;  ///< keys found, at whichever replica
  std::uint64_t misses = 0;
  std::uint64_t node_failures = 0;  ///< calls to a node that failed, or were not made because it is out of reach
  std::uint64_t repairs = 0;        ///< entries written to a replica that lacked them, because a read found them at another
  std::uint64_t computations = 0;   ///< calls of a `compute`
  std::uint64_t joined = 0;         ///< callers of get_or_compute who waited for another's computation
  struct Node {
    std::string id;
    bool waits_for_invalidation = false;  ///< missed a write: holds nothing that is used, until it can be told to start anew
    CacheNodeStats stats;
  };
  std::vector<Node> nodes;  ///< every member, sorted by id
};

/// Places cache entries (model responses, embeddings) on nodes by a consistent-hash ring.
///
/// A cache forgets, and never lies: a read that begins after a put or an erase of its key returned gives that value or a newer
/// one, or a miss. A dead node costs misses and a counter, never an error. How: docs/cache.md.
/// - A write goes to every owner, and as an erase to former owners that may still hold the key (see below). A node that missed a
///   write is not used again before all it holds has been invalidated.
/// - A read asks the owners in rank order, and writes what it found to those before, unless they learned of something newer.
/// - Membership changes hold at once. What former owners hold stays correct, because writes reach them, and is read by
///   CacheRebalancer alone, which warms up the new owners and then has it dropped; `drop_former()` does without the warm-up.
///   The last kMaxFormerLayouts layouts are remembered; older ones are dropped by the change that pushes them out.
/// Thread-safe. Routing costs one lookup and no lock. Throws Error(kInvalidArgument) for an empty or too long key, a value over
/// kMaxCacheValueBytes, a TTL that is not > 0, before anything is written.
class DistributedCache {
 public:
  static constexpr std::size_t kMaxFormerLayouts = 4;

  /// Throws Error(kInvalidArgument) for bad options, Error(kUnimplemented) for a ring with several probes.
  explicit DistributedCache(DistributedCacheOptions options = {});
  ~DistributedCache();
  DistributedCache(const DistributedCache&) = delete;
  DistributedCache& operator=(const DistributedCache&) = delete;

  const DistributedCacheOptions& options() const noexcept;

  // --- membership: holds when the call returns, for operations that begin later. Waits for operations that are under way, as
  // long as their calls to nodes take; so nodes, and a `progress` of drop_former(), must not call these

  /// A node that joins after the first write of this cache is invalidated before it is used, since it may have missed any; before,
  /// CacheStart says whether.
  /// Throws Error(kAlreadyExists) if the id is taken (also by a node that was detached and not yet dropped, unless it is the same
  /// object: then it comes back with what it holds); what ConsistentHasher::add_node throws.
  void attach_node(std::shared_ptr<CacheNode> node, double weight = 1.0, std::string zone = {});
  void detach_node(std::string_view id);                ///< Throws Error(kNotFound).
  void set_weight(std::string_view id, double weight);  ///< Throws Error(kNotFound), Error(kInvalidArgument).
  void set_replicas(std::size_t replicas);              ///< Throws Error(kInvalidArgument) for 0.

  ConsistentHasher ring() const;
  std::size_t replicas() const;

  /// The ids of the nodes that own `key`, the primary first.
  std::vector<std::string> placement(KeyView key) const;
  /// The same by any ring, of this cache or not: a clone from before a change, or one that is only considered.
  std::vector<std::string> placement_with_ring(KeyView key, const ConsistentHasher& ring) const;

  // --- entries

  std::optional<std::string> get(KeyView key);
  /// Returns how many owners took it; 0 if none was in reach or had room.
  std::size_t put(KeyView key, std::string_view value, std::optional<CacheTtl> ttl = std::nullopt);
  void erase(KeyView key);

  /// The cached value, or compute()'s, which is then put. One computation a key at a time in this process: callers that come
  /// meanwhile wait for it and get its value, or its exception. A put or an erase of the key that begins during a computation
  /// wins over its result: that is still returned to those who had asked before, and not kept; nor is it if the ring changed.
  /// Throws what compute throws; Error(kFailedPrecondition) if compute asks for its own key, also by way of other computations.
  std::string get_or_compute(KeyView key, const std::function<std::string()>& compute, std::optional<CacheTtl> ttl = std::nullopt);

  /// Batches: one call a node, nodes in parallel where they are remote. Result i is of keys[i].
  std::vector<std::optional<std::string>> get(std::span<const KeyView> keys);
  /// Of equal keys the last one wins. Returns how many items at least one owner took.
  std::size_t put(std::span<const CacheItem> items);
  void erase(std::span<const KeyView> keys);

  DistributedCacheStats stats() const;

  // --- for CacheRebalancer

  /// Layouts that ended, the oldest first, whose nodes may hold what is not theirs any more. Empty when nothing is to be dropped.
  std::vector<std::shared_ptr<const Layout>> former_layouts() const;
  std::shared_ptr<const Layout> layout() const;
  /// A member: owner now, or formerly. Null if there is none. Not for writes: those would pass the cache's checks by.
  std::shared_ptr<CacheNode> node(std::string_view id) const;
  /// Whether a member may be read and copied to; tries to invalidate one that missed a write.
  bool usable(std::string_view id);
  /// Copies entries from one node to others, each only where it is newer than what is known there. Entries that are gone from
  /// the source, expired, or not to be had are missed. The TTL that is left goes with them. Never throws for a node.
  struct CopyResult {
    std::size_t copied = 0;         ///< (key, target) pairs that the target took
    std::size_t already_there = 0;  ///< pairs of which the target knows as new or newer
    std::size_t missed = 0;         ///< pairs that the source does not hold any more, or that a node could not give or take
    std::uint64_t bytes = 0;        ///< keys and values sent, once for each target
  };
  CopyResult copy(std::span<const KeyView> keys, std::string_view from, std::span<const std::string> to);
  /// Ends the former layouts: waits for operations that still use them, then drops from every node what it does not own (also if
  /// there is no former layout: what nodes brought with them), and lets nodes go that left the ring; those are invalidated. Nodes
  /// out of reach are invalidated before they are used again. Returns the entries dropped; `progress` is called with each step's
  /// count. O(entries).
  std::uint64_t drop_former(const std::function<void(std::uint64_t dropped)>& progress = {});
  /// The same for some of the former layouts: what nodes own in the others stays, until those are dropped.
  std::uint64_t drop_former(const std::vector<std::shared_ptr<const Layout>>& ending,
                            const std::function<void(std::uint64_t dropped)>& progress);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace annulus
