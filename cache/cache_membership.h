// Private to cache/: which nodes there are, who owns what, and how that changes beside reads and writes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/cache_snapshot.h"
#include "cache/distributed_cache.h"
#include "cache/snapshot_domain.h"

namespace annulus::internal {

/// Publishes snapshots. A change from layout A to layout B takes two steps, each of which waits for the operations that hold an
/// older snapshot:
/// 1. A serves still, and writes reach owners in B as erases. So nobody reads an owner in B before all writes reach it.
/// 2. B serves, A is former, and writes reach its owners as erases, until drop() has taken from them what they do not own.
/// Not to be called by a thread that holds a pin.
class CacheMembership {
 public:
  using Domain = SnapshotDomain<CacheSnapshot>;

  /// Throws as make_layout and ConsistentHasher.
  CacheMembership(const DistributedCacheOptions& options, std::size_t most_former);

  const Domain& domain() const noexcept { return domain_; }

  /// To be called by each operation, while it holds its pin and before it reaches a node.
  void note_read() noexcept {
    if (!used_.load(std::memory_order_relaxed)) used_.store(true, std::memory_order_seq_cst);
  }
  void note_write() noexcept {
    note_read();
    if (!written_.load(std::memory_order_relaxed)) written_.store(true, std::memory_order_seq_cst);
  }

  void attach(std::shared_ptr<CacheNode> node, double weight, std::string zone);
  void detach(std::string_view id);
  void set_weight(std::string_view id, double weight);
  void set_replicas(std::size_t replicas);

  /// DistributedCache::drop_former: of `ending`, or of all that are former now.
  std::uint64_t drop_former(const std::vector<std::shared_ptr<const Layout>>* ending,
                            const std::function<void(std::uint64_t)>& progress);

  /// Calls to nodes that failed here.
  std::uint64_t node_failures() const noexcept { return node_failures_.load(std::memory_order_relaxed); }

 private:
  using Layouts = std::vector<std::shared_ptr<const Layout>>;
  using Pin = Domain::Pin;

  void change(const ConsistentHasher& ring, std::size_t replicas, const std::shared_ptr<CacheMember>& joins);
  void drop_beyond_the_most();
  std::uint64_t drop(const Layouts& ending, const std::function<void(std::uint64_t)>& progress);
  std::uint64_t drop_at(CacheMember& member, const Layouts& ending, const std::function<void(std::uint64_t)>& progress);
  bool scan_and_forget(CacheMember& member, const Layouts& ending, CacheCursor& cursor, std::uint64_t& dropped) const;
  CacheMembers end(const Layouts& ending, const CacheMembers& not_cleaned);

  const std::size_t most_former_;
  const CacheStart start_;
  Domain domain_;
  std::atomic<bool> used_{false};     // whether this cache has read or written anything at all
  std::atomic<bool> written_{false};  // whether it has written
  std::atomic<std::uint64_t> node_failures_{0};
  std::mutex change_mutex_;  // held by whoever publishes
  std::mutex drop_mutex_;    // held while nodes are scanned; taken before the other
};

}  // namespace annulus::internal
