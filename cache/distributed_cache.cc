#include "cache/distributed_cache.h"

#include <utility>

#include "cache/distributed_cache_impl.h"
#include "core/error.h"

namespace annulus {
namespace internal {

void check_key(KeyView key) { validate_key(key, KeyKind::kBytes); }

void check_value(KeyView key, std::string_view value) {
  if (value.size() <= kMaxCacheValueBytes) return;
  throw Error(ErrorCode::kInvalidArgument, "the value of key '" + display_key(key) + "' has " + std::to_string(value.size()) +
                                               " bytes; a cache takes at most " + std::to_string(kMaxCacheValueBytes));
}

void check_ttl(KeyView key, std::optional<CacheTtl> ttl) {
  if (!ttl || *ttl > CacheTtl::zero()) return;
  throw Error(ErrorCode::kInvalidArgument, "the TTL of key '" + display_key(key) + "' is " + std::to_string(ttl->count()) +
                                               " ms; it must be more than 0 (leave it out for an entry that does not expire)");
}

}  // namespace internal

namespace {

DistributedCacheOptions checked(DistributedCacheOptions options) {
  if (options.tombstone_life <= std::chrono::milliseconds::zero()) {
    throw Error(ErrorCode::kInvalidArgument, "tombstone_life of a cache is " + std::to_string(options.tombstone_life.count()) +
                                                 " ms; it must be longer than any copy between nodes is under way");
  }
  return options;
}

std::vector<std::string> ids_of(const ConsistentHasher& ring, std::span<const NodeIndex> nodes) {
  std::vector<std::string> ids;
  ids.reserve(nodes.size());
  for (const NodeIndex node : nodes) ids.push_back(ring.node(node).id);
  return ids;
}

}  // namespace

DistributedCache::Impl::Impl(DistributedCacheOptions options)
    : options_(checked(std::move(options))),
      clock_(options_.writer),
      membership_(options_, kMaxFormerLayouts) {}

CacheTime DistributedCache::Impl::time_after(std::chrono::milliseconds life) const {
  const CacheTime start = now();
  if (std::chrono::duration_cast<std::chrono::milliseconds>(kNeverExpires - start) <= life) return kNeverExpires;
  return start + life;
}

DistributedCacheStats DistributedCache::Impl::stats() const {
  DistributedCacheStats stats;
  stats.hits = counters_.sum(kHits);
  stats.misses = counters_.sum(kMisses);
  stats.node_failures = counters_.sum(kNodeFailures) + membership_.node_failures();
  stats.repairs = counters_.sum(kRepairs);
  stats.computations = counters_.sum(kComputations);
  stats.joined = counters_.sum(kJoined);
  const Pin snapshot(domain());
  for (const auto& member : snapshot->members) stats.nodes.push_back({member->id(), member->is_behind(), member->node().stats()});
  return stats;
}

DistributedCache::DistributedCache(DistributedCacheOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
DistributedCache::~DistributedCache() = default;

const DistributedCacheOptions& DistributedCache::options() const noexcept { return impl_->options(); }

void DistributedCache::attach_node(std::shared_ptr<CacheNode> node, double weight, std::string zone) {
  impl_->membership().attach(std::move(node), weight, std::move(zone));
}
void DistributedCache::detach_node(std::string_view id) { impl_->membership().detach(id); }
void DistributedCache::set_weight(std::string_view id, double weight) { impl_->membership().set_weight(id, weight); }
void DistributedCache::set_replicas(std::size_t replicas) { impl_->membership().set_replicas(replicas); }

ConsistentHasher DistributedCache::ring() const { return layout()->ring; }
std::size_t DistributedCache::replicas() const { return layout()->replicas; }

std::vector<std::string> DistributedCache::placement(KeyView key) const {
  internal::check_key(key);
  const auto now = layout();
  return ids_of(now->ring, now->table->replicas(token_of_key(key)));
}

std::vector<std::string> DistributedCache::placement_with_ring(KeyView key, const ConsistentHasher& ring) const {
  internal::check_key(key);
  return ids_of(ring, ring.replica_set(key, replicas()).nodes);
}

std::optional<std::string> DistributedCache::get(KeyView key) { return impl_->get(key); }
std::size_t DistributedCache::put(KeyView key, std::string_view value, std::optional<CacheTtl> ttl) {
  return impl_->put(key, value, ttl);
}
void DistributedCache::erase(KeyView key) { impl_->erase(key); }
std::string DistributedCache::get_or_compute(KeyView key, const std::function<std::string()>& compute,
                                             std::optional<CacheTtl> ttl) {
  return impl_->get_or_compute(key, compute, ttl);
}
std::vector<std::optional<std::string>> DistributedCache::get(std::span<const KeyView> keys) { return impl_->get(keys); }
std::size_t DistributedCache::put(std::span<const CacheItem> items) { return impl_->put(items); }
void DistributedCache::erase(std::span<const KeyView> keys) { impl_->erase(keys); }

DistributedCacheStats DistributedCache::stats() const { return impl_->stats(); }

std::vector<std::shared_ptr<const Layout>> DistributedCache::former_layouts() const {
  return internal::CacheMembership::Domain::Pin(impl_->domain())->former_layouts();
}

std::shared_ptr<const Layout> DistributedCache::layout() const {
  return internal::CacheMembership::Domain::Pin(impl_->domain())->serving.layout;
}

std::shared_ptr<CacheNode> DistributedCache::node(std::string_view id) const {
  const internal::CacheMembership::Domain::Pin snapshot(impl_->domain());
  const internal::CacheMember* member = snapshot->find(id);
  return member == nullptr ? nullptr : member->shared_node();
}

bool DistributedCache::usable(std::string_view id) {
  const internal::CacheMembership::Domain::Pin snapshot(impl_->domain());
  internal::CacheMember* member = snapshot->find(id);
  return member != nullptr && member->may_be_written();
}

DistributedCache::CopyResult DistributedCache::copy(std::span<const KeyView> keys, std::string_view from,
                                                    std::span<const std::string> to) {
  return impl_->copy(keys, from, to);
}

std::uint64_t DistributedCache::drop_former(const std::function<void(std::uint64_t)>& progress) {
  return impl_->membership().drop_former(nullptr, progress);
}

std::uint64_t DistributedCache::drop_former(const std::vector<std::shared_ptr<const Layout>>& ending,
                                            const std::function<void(std::uint64_t)>& progress) {
  return impl_->membership().drop_former(&ending, progress);
}

}  // namespace annulus
