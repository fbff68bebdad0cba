// Private to cache/: a node as DistributedCache knows it, and whether it may be used.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "cache/cache_node.h"
#include "core/fifo_mutex.h"

namespace annulus::internal {

/// A node that missed a write is behind: it may hold what was overwritten, and is not used before all it holds has been
/// invalidated. Misses are counted, and an invalidation answers for those counted before it began: a write that misses the node
/// while it is being invalidated keeps it behind.
class CacheMember {
 public:
  explicit CacheMember(std::shared_ptr<CacheNode> node) noexcept : node_(std::move(node)) {}

  const std::string& id() const noexcept { return node_->id(); }
  CacheNode& node() const noexcept { return *node_; }
  const std::shared_ptr<CacheNode>& shared_node() const noexcept { return node_; }

  bool is_behind() const noexcept {
    const std::uint64_t answered = answered_.load(std::memory_order_seq_cst);
    return missed_.load(std::memory_order_seq_cst) != answered;
  }

  /// A write missed the node. To be called before that write returns.
  void miss() noexcept { missed_.fetch_add(1, std::memory_order_seq_cst); }

  /// Whether it may be read; tries to invalidate it if it is behind and nobody else does: a read rather misses than waits.
  bool may_be_read() noexcept { return !is_behind() || recover(std::unique_lock(recovery_, std::try_to_lock)); }

  /// Whether it may be written. Waits for an invalidation that is under way: a write that passed the node by would undo it.
  bool may_be_written() noexcept { return !is_behind() || recover(std::unique_lock(recovery_)); }

 private:
  bool recover(std::unique_lock<FifoMutex> lock) noexcept;

  const std::shared_ptr<CacheNode> node_;
  std::atomic<std::uint64_t> missed_{0};
  std::atomic<std::uint64_t> answered_{0};  // by an invalidation
  FifoMutex recovery_;  // writers that find the node out of reach come again at once: with std::mutex others would starve
};

}  // namespace annulus::internal
