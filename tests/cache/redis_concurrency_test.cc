#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "cache/redis_cache_node.h"
#include "tests/cache/redis_test.h"

namespace annulus::testing {
namespace {

TEST(RedisConcurrency, OneOfManyThreadsTriesAfterABackOff) {
  RedisServer server;
  RedisCacheOptions options = options_for(server);
  std::atomic<int> attempts{0};
  options.backoff_min = options.backoff_max = std::chrono::hours(1);
  options.on_step = [&](std::string_view step) { attempts += step == "connect" ? 1 : 0; };
  RedisCacheNode node("node", options);
  server.kill();
  EXPECT_NE(error_of([&] { node.get("k"); }), "");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int call = 0; call < 50; ++call) EXPECT_NE(error_of([&] { node.get("k"); }), "");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(attempts, 1);
  EXPECT_EQ(node.stats().failures, 201U);
}

TEST(RedisConcurrency, ThreadsShareAFewConnections) {
  const RedisServer server;
  RedisCacheOptions options = options_for(server);
  options.max_connections = 2;
  std::atomic<int> connections{0};
  std::atomic<int> busy{0};
  std::atomic<int> most{0};
  options.on_step = [&](std::string_view step) {
    if (step == "connect") ++connections;
    if (step == "send") {
      const int now = ++busy;
      int seen = most;
      while (seen < now && !most.compare_exchange_weak(seen, now)) {
      }
    }
    if (step == "sent") --busy;
  };
  RedisCacheNode node("node", options);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 6; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint64_t i = 1; i <= 100; ++i) {
        const std::string key = "key" + std::to_string(thread);
        const std::string value = key + ' ' + std::to_string(i);
        if (put(node, key, value, i) != CacheOutcome::kStored || value_of(node, key) != value) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(connections, 2);
  EXPECT_LE(most, 2);
}

TEST(RedisConcurrency, ThreadsNeverSeeAnOldValueWhileTheServerComesAndGoes) {
  RedisServer server({.persistence = Persistence::kSnapshot});
  RedisCacheNode node("node", options_for(server));
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> acknowledged{0};
  std::atomic<int> wrong{0};
  std::atomic<int> hits{0};
  std::thread writer([&] {
    for (std::uint64_t i = 1; !done; ++i) {
      bool stored = false;
      while (!stored && !done) {  // as DistributedCache: a write that was missed is answered for
        try {
          stored = put(node, "k", std::to_string(i), i) != CacheOutcome::kRejected;
        } catch (const Error&) {
        }
      }
      if (stored) acknowledged = i;
    }
  });
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!done) {
        const std::uint64_t least = acknowledged;
        try {
          const auto entry = node.get("k");
          if (entry) ++hits;
          if (entry && entry->version.clock < least) ++wrong;
        } catch (const Error&) {
        }
      }
    });
  }
  for (int restart = 0; restart < 10; ++restart) {
    const int before = hits;
    while (hits < before + 20) std::this_thread::yield();
    PlainClient{server}({"SAVE"});
    const std::uint64_t saved = acknowledged;
    while (acknowledged < saved + 5) std::this_thread::yield();
    server.restart();
  }
  done = true;
  writer.join();
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GE(hits, 200);
}

}  // namespace
}  // namespace annulus::testing
