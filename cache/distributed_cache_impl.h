// Private to cache/: the state of a DistributedCache, and what its reads and writes are made of.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/cache_membership.h"
#include "cache/distributed_cache.h"
#include "cache/single_flight.h"
#include "cache/thread_stripe.h"
#include "cache/writes_under_way.h"
#include "core/version.h"

namespace annulus {

namespace internal {

/// A member that one write goes to.
struct WriteTarget {
  CacheMember* member;
  std::uint64_t generation;  ///< read before the write's version was drawn
  bool owner;                ///< the others are erased
  bool reached;
};

/// The targets of one write, without an allocation for as many as there usually are.
class WriteTargets {
 public:
  void add(CacheMember& member, bool owner);
  std::span<WriteTarget> all() noexcept { return far_.empty() ? std::span(near_.data(), size_) : std::span(far_); }

 private:
  std::array<WriteTarget, 8> near_;  // not initialised: that would take longer than a write's routing
  std::vector<WriteTarget> far_;     // all of them, when they are more
  std::size_t size_ = 0;
};

/// What one node is asked, or told, in a batch.
struct NodeBatch {
  CacheMember* member = nullptr;
  std::uint64_t generation = 0;    ///< before anything that the writes rest on
  std::vector<std::size_t> items;  ///< positions in the batch
  std::vector<KeyView> keys;       ///< of a read
  std::vector<std::optional<CacheEntry>> entries;
  std::vector<CacheWrite> writes;  ///< of a write
  std::vector<CacheOutcome> outcomes;
  bool reached = false;
};

}  // namespace internal

class DistributedCache::Impl {
 public:
  explicit Impl(DistributedCacheOptions options);

  const DistributedCacheOptions& options() const noexcept { return options_; }
  internal::CacheMembership& membership() noexcept { return membership_; }
  const internal::CacheMembership::Domain& domain() const noexcept { return membership_.domain(); }

  std::optional<std::string> get(KeyView key);
  std::vector<std::optional<std::string>> get(std::span<const KeyView> keys);
  CopyResult copy(std::span<const KeyView> keys, std::string_view from, std::span<const std::string> to);

  std::size_t put(KeyView key, std::string_view value, std::optional<CacheTtl> ttl);
  void erase(KeyView key);
  std::size_t put(std::span<const CacheItem> items);
  void erase(std::span<const KeyView> keys);
  std::string get_or_compute(KeyView key, const std::function<std::string()>& compute, std::optional<CacheTtl> ttl);

  DistributedCacheStats stats() const;

 private:
  using Pin = internal::CacheMembership::Domain::Pin;
  using Snapshot = internal::CacheSnapshot;
  enum Counter : std::size_t { kHits, kMisses, kNodeFailures, kRepairs, kComputations, kJoined, kCounters };

  // distributed_cache.cc
  CacheTime now() const { return options_.now ? options_.now() : CacheClock::now(); }
  CacheTime time_after(std::chrono::milliseconds life) const;
  CacheTime expiry(std::optional<CacheTtl> ttl) const { return ttl ? time_after(*ttl) : kNeverExpires; }
  void count(Counter counter, std::uint64_t times = 1) noexcept { counters_.add(counter, times); }

  // cache_reads.cc
  std::optional<std::string> find(KeyView key, Token token);
  struct Lookup;  // one batch of reads
  void look_up(Lookup& lookup);
  void ask(Lookup& lookup, std::size_t rank);
  void repair(Lookup& lookup);
  void call(std::span<internal::NodeBatch> batches, const std::function<void(internal::NodeBatch&)>& run);
  void read(internal::NodeBatch& batch) noexcept;
  void copy_to(internal::NodeBatch& batch) noexcept;
  bool wait_for_writes(Token token);

  // cache_writes.cc
  void prepare(const Snapshot& snapshot, Token token, internal::WriteTargets& targets);
  std::size_t apply(const CacheWrite& write, internal::WriteTargets& targets);
  std::size_t write_now(KeyView key, Token token, std::string_view value, CacheTime expires, CacheWriteKind kind);
  std::size_t write_batch(std::span<const CacheWrite> writes);
  void write_to(internal::NodeBatch& batch) noexcept;
  std::string compute_and_keep(KeyView key, Token token, const std::function<std::string()>& compute, std::optional<CacheTtl> ttl);

  const DistributedCacheOptions options_;
  VersionClock clock_;
  internal::CacheMembership membership_;
  internal::WritesUnderWay writes_;
  internal::SingleFlight flights_;
  internal::StripedCounters<kCounters> counters_;
};

namespace internal {

/// Throw Error(kInvalidArgument).
void check_key(KeyView key);
void check_value(KeyView key, std::string_view value);
void check_ttl(KeyView key, std::optional<CacheTtl> ttl);

}  // namespace internal
}  // namespace annulus
