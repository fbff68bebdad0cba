// Warm-ups between real Redis servers, which are killed at every step.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "bench/redis_server.h"
#include "cache/redis_cache_node.h"
#include "rebalance/cache_rebalancer.h"

namespace annulus {
namespace {

constexpr int kKeys = 60;

std::string key(int i) { return "answer:" + std::to_string(i); }
std::string value(int i) { return "value of " + std::to_string(i); }

/// Three servers that are owners, and one that joins.
class RedisWarmUp : public ::testing::Test {
 protected:
  RedisWarmUp() {
    for (int i = 0; i < 4; ++i) servers_.push_back(std::make_unique<bench::RedisServer>());
  }

  /// A cache of three of them, empty at first.
  std::unique_ptr<DistributedCache> fresh_cache() {
    auto cache = std::make_unique<DistributedCache>();
    for (int i = 0; i < 3; ++i) cache->attach_node(node(i));
    for (int i = 0; i < kKeys; ++i) cache->put(key(i), value(i), std::chrono::hours(1));
    return cache;
  }
  std::shared_ptr<CacheNode> node(int i) {
    RedisCacheOptions options;
    options.port = servers_[static_cast<std::size_t>(i)]->port();
    options.backoff_min = options.backoff_max = std::chrono::milliseconds(0);
    return std::make_shared<RedisCacheNode>("redis-" + std::to_string(i), options);
  }
  static std::vector<int> moved(const DistributedCache& cache, const ConsistentHasher& before) {
    std::vector<int> moved;
    for (int i = 0; i < kKeys; ++i) {
      if (cache.placement(key(i)) != cache.placement_with_ring(key(i), before)) moved.push_back(i);
    }
    return moved;
  }
  static std::size_t hits(DistributedCache& cache, const std::vector<int>& keys) {
    std::size_t hits = 0;
    for (const int i : keys) {
      const auto found = cache.get(key(i));
      EXPECT_EQ(found.value_or(value(i)), value(i));
      hits += found ? 1 : 0;
    }
    return hits;
  }

  std::vector<std::unique_ptr<bench::RedisServer>> servers_;
};

TEST_F(RedisWarmUp, EveryMovedKeyIsAHitAfterIt) {
  const auto cache = fresh_cache();
  const ConsistentHasher before = cache->ring();
  cache->attach_node(node(3));
  const std::vector<int> changed = moved(*cache, before);
  ASSERT_GT(changed.size(), 5u);
  EXPECT_EQ(hits(*cache, changed), 0u);
  const CacheMoveReport report = CacheRebalancer(*cache).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted);
  EXPECT_EQ(report.keys, static_cast<std::uint64_t>(kKeys));
  EXPECT_EQ(report.moved, changed.size());
  EXPECT_EQ(report.lower_bound, changed.size());
  EXPECT_EQ(report.dropped, changed.size());
  EXPECT_EQ(hits(*cache, changed), changed.size());
  cache->detach_node("redis-3");
  EXPECT_EQ(CacheRebalancer(*cache).execute().missed, 0u);
  EXPECT_EQ(hits(*cache, changed), changed.size());
}

// Before step 1, 2, ... of the warm-up one of the servers is killed, and comes back, empty, at once or a step later.
TEST_F(RedisWarmUp, NothingWrongIsReadWhicheverServerDiesAtWhicheverStep) {
  for (std::size_t victim : {std::size_t{0}, std::size_t{3}}) {
    for (const bool later : {false, true}) {
      int last = 0;
      for (bool struck = true; struck; ++last) {
        SCOPED_TRACE("server " + std::to_string(victim) + " dies at step " + std::to_string(last) + (later ? ", back later" : ""));
        const auto cache = fresh_cache();
        cache->attach_node(node(3));
        CacheRebalancer rebalancer(*cache, {.page_records = 8, .chunk_arcs = 64});
        int step = 0;
        struck = false;
        rebalancer.set_progress([&](const MoveProgress&) {
          if (step == last) servers_[victim]->kill();
          if (step == last + (later ? 1 : 0)) servers_[victim]->restart();
          struck = struck || step == last;
          const int i = (7 * step++) % kKeys;
          cache->erase(key(i));
          EXPECT_EQ(cache->get(key(i)), std::nullopt);
          cache->put(key(i), value(i));
        });
        ASSERT_EQ(rebalancer.execute().outcome, ResizeOutcome::kCompleted);
        if (!servers_[victim]->running()) servers_[victim]->restart();
        for (int i = 0; i < kKeys; ++i) ASSERT_EQ(cache->get(key(i)).value_or(value(i)), value(i));
        ASSERT_FALSE(HasFailure());
      }
      EXPECT_GT(last, 10);
    }
  }
}

}  // namespace
}  // namespace annulus
