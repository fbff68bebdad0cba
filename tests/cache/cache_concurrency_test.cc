// Threads that read, write and compute while the ring changes and nodes fail, lose everything and come back.
#include <gtest/gtest.h>

#include <atomic>
#include <iostream>
#include <latch>
#include <random>
#include <sstream>
#include <thread>

#include "tests/cache/test_cache.h"

namespace annulus {
namespace {

using testing::FaultyCacheNode;
using testing::ManualTime;
using testing::TestCache;

using Random = std::mt19937_64;

constexpr std::size_t kKeys = 96;
constexpr std::size_t kWriters = 2;  // a key has one writer, so that its numbers only grow
constexpr std::size_t kReaders = 2;
constexpr int kChanges = 600;

/// The value of a key is a number. Its writer first raises it at the source, then puts or erases it in the cache, then
/// acknowledges. Whoever begins to read after that must not see a lower one; computations read the source.
class Traffic {
 public:
  explicit Traffic(std::uint64_t seed) : seed_(seed), cache_({.replicas = 2}) {
    for (const char* id : {"n0", "n1", "n2", "n3"}) attach(make(id));
    for (std::size_t i = 0; i < kKeys; ++i) keys_.push_back("key-" + std::to_string(i));
  }

  void run() {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kWriters; ++i) threads.emplace_back([this, i] { write(i); });
    for (std::size_t i = 0; i < kReaders; ++i) threads.emplace_back([this, i] { read(i); });
    Random random(seed_);
    for (int i = 0; i < kChanges; ++i) change(random);
    stop_ = true;
    for (std::thread& thread : threads) thread.join();
  }

  /// With all quiet and everybody back, nothing that may be read is out of date.
  void check_the_end() {
    for (auto& [id, node] : nodes_) {
      node->set_down(false);
      node->set_flaky(0);
    }
    for (const auto& state : cache_.stats().nodes) EXPECT_TRUE(cache_.usable(state.id));
    for (std::size_t i = 0; i < kKeys; ++i) {
      for (const auto& state : cache_.stats().nodes) {
        const std::string held = TestCache::held(*nodes_.at(state.id), keys_[i]);
        EXPECT_TRUE(held == "-" || held == std::to_string(source_[i])) << held << " of " << source_[i] << " at " << state.id;
      }
      cache_.put(keys_[i], "last");
      EXPECT_EQ(cache_.get(keys_[i]).value_or("-"), "last");
    }
  }

  DistributedCacheStats stats() const { return cache_.stats(); }
  std::string failure() {
    std::lock_guard lock(mutex_);
    return failure_;
  }
  std::uint64_t dropped() const { return dropped_; }
  std::uint64_t copied() const { return copied_; }

 private:
  std::shared_ptr<FaultyCacheNode> make(const std::string& id) {
    // some are too small for all of their entries
    const std::size_t items = id == "n0" || id == "n5" ? 24 : 10'000;
    auto inner = std::make_shared<InMemoryCacheNode>(id, CacheCapacity{.items = items, .bytes = std::size_t{4} << 20});
    auto node = std::make_shared<FaultyCacheNode>(std::move(inner));
    node->set_flaky(400);
    node->set_remote(id == "n1" || id == "n2" || id == "n4");
    nodes_[id] = node;
    return node;
  }
  void attach(const std::shared_ptr<FaultyCacheNode>& node) { cache_.attach_node(node); }

  void fail(const std::string& what) {
    std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = what;
    stop_ = true;
  }

  void check(std::size_t i, std::uint64_t acknowledged, const std::optional<std::string>& got, const char* how) {
    if (!got) return;
    const std::uint64_t number = std::stoull(*got);
    const std::uint64_t newest = source_[i].load();
    if (number >= acknowledged && number <= newest) return;
    std::ostringstream what;
    what << how << " of " << keys_[i] << " gave " << number << "; acknowledged before it began was " << acknowledged
         << ", the newest is " << newest;
    fail(what.str());
  }

  void write(std::size_t writer) {
    Random random(seed_ + 100 + writer);
    const auto own = [&] { return random() % (kKeys / kWriters) * kWriters + writer; };
    while (!stop_) {
      const std::uint64_t what = random() % 10;
      if (what < 8) {
        const std::size_t i = own();
        const std::uint64_t number = ++source_[i];
        if (what < 5) {
          cache_.put(keys_[i], std::to_string(number), what == 0 ? std::optional<CacheTtl>(CacheTtl(1)) : std::nullopt);
        } else {
          cache_.erase(keys_[i]);
        }
        acknowledged_[i] = number;
        continue;
      }
      std::map<std::size_t, std::string> batch;
      for (int n = 0; n < 8; ++n) batch[own()];
      std::vector<CacheItem> items;
      std::vector<KeyView> views;
      for (auto& [i, value] : batch) {
        value = std::to_string(++source_[i]);
        items.push_back({.key = keys_[i], .value = value});
        views.emplace_back(keys_[i]);
      }
      if (what == 8) {
        cache_.put(items);
      } else {
        cache_.erase(views);
      }
      for (const auto& [i, value] : batch) acknowledged_[i] = std::stoull(value);
    }
  }

  void read(std::size_t reader) {
    Random random(seed_ + 200 + reader);
    while (!stop_) {
      const std::uint64_t what = random() % 10;
      const std::size_t i = random() % kKeys;
      const std::uint64_t acknowledged = acknowledged_[i];
      if (what < 5) {
        check(i, acknowledged, cache_.get(keys_[i]), "get");
      } else if (what < 8) {
        const std::string got = cache_.get_or_compute(keys_[i], [&] {
          const std::uint64_t number = source_[i];
          for (std::uint64_t n = 0; n < number % 4; ++n) std::this_thread::yield();
          return std::to_string(number);
        });
        check(i, acknowledged, got, "get_or_compute");
      } else {
        std::vector<KeyView> views;
        std::vector<std::size_t> numbers;
        std::vector<std::uint64_t> before;
        for (int n = 0; n < 8; ++n) {
          numbers.push_back(random() % kKeys);
          before.push_back(acknowledged_[numbers.back()]);
          views.emplace_back(keys_[numbers.back()]);
        }
        const auto got = cache_.get(views);
        for (std::size_t n = 0; n < numbers.size(); ++n) check(numbers[n], before[n], got[n], "batch get");
      }
    }
  }

  void change(Random& random) {
    if (stop_) return;
    for (std::uint64_t i = 0; i < random() % 200; ++i) std::this_thread::yield();
    const std::string id = "n" + std::to_string(random() % 6);
    const bool on_ring = cache_.ring().index_of(id).has_value();
    switch (random() % 9) {
      case 0:
      case 1:
        if (on_ring && cache_.ring().num_nodes() > 2) {
          cache_.detach_node(id);
        } else if (!on_ring) {
          attach(nodes_.contains(id) ? nodes_.at(id) : make(id));
        }
        return;
      case 2:
        if (on_ring) cache_.set_weight(id, 0.5 + static_cast<double>(random() % 8) / 4);
        return;
      case 3: cache_.set_replicas(1 + random() % 3); return;
      case 4: dropped_ += cache_.drop_former(); return;
      case 5:
        if (nodes_.contains(id)) nodes_.at(id)->inner().invalidate();  // it has lost everything
        return;
      case 6:
        if (nodes_.contains(id)) nodes_.at(id)->set_down(random() % 2 == 0);
        return;
      case 7:
        for (auto& [name, node] : nodes_) node->set_down(false);
        return;
      default: warm_up();
    }
  }

  void warm_up() {
    for (const auto& layout : cache_.former_layouts()) {
      for (const std::string& key : keys_) {
        const KeyView one[] = {key};
        for (const std::string& from : cache_.placement_with_ring(key, layout->ring)) {
          copied_ += cache_.copy(one, from, cache_.placement(key)).copied;
        }
      }
    }
  }

  const std::uint64_t seed_;
  DistributedCache cache_;
  std::map<std::string, std::shared_ptr<FaultyCacheNode>> nodes_;
  std::vector<std::string> keys_;
  std::array<std::atomic<std::uint64_t>, kKeys> source_{};
  std::array<std::atomic<std::uint64_t>, kKeys> acknowledged_{};
  std::uint64_t dropped_ = 0;
  std::uint64_t copied_ = 0;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::string failure_;
};

TEST(CacheConcurrency, NoReadGoesBackBehindAnAcknowledgedWriteWhateverHappensToTheCluster) {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  Traffic traffic(seed);
  traffic.run();
  ASSERT_EQ(traffic.failure(), "");
  traffic.check_the_end();
  const DistributedCacheStats stats = traffic.stats();
  std::cout << stats.hits << " hits, " << stats.misses << " misses, " << stats.node_failures << " failures, " << stats.repairs
            << " repairs, " << stats.computations << " computations, " << stats.joined << " joined, " << traffic.copied()
            << " copied, " << traffic.dropped() << " dropped\n";
  // it was no idle run
  EXPECT_GT(stats.hits, 100u);
  EXPECT_GT(stats.misses, 100u);
  EXPECT_GT(stats.node_failures, 0u);
  EXPECT_GT(stats.repairs, 0u);
  EXPECT_GT(stats.computations, 10u);
}

TEST(CacheConcurrency, EveryKeyIsComputedOnceHoweverManyAsk) {
  constexpr std::size_t kThreads = 6;
  constexpr std::size_t kNumbers = 200;
  TestCache test(3, 2);
  std::array<std::atomic<int>, kNumbers> computations{};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  std::latch start(kThreads);
  for (std::size_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      for (std::size_t i = 0; i < kNumbers; ++i) {
        const std::string value = test.cache.get_or_compute("k" + std::to_string(i), [&] {
          ++computations[i];
          for (int n = 0; n < 10; ++n) std::this_thread::yield();
          return "v" + std::to_string(i);
        });
        if (value != "v" + std::to_string(i)) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  for (const auto& count : computations) EXPECT_EQ(count.load(), 1);
  EXPECT_EQ(test.cache.stats().computations, kNumbers);
}

TEST(CacheConcurrency, ANodeThatComesBackUnderManyWritersIsUsedAgain) {
  TestCache test(1);
  test.cache.put("k", "v");
  test.node("n0").set_down(true);
  test.cache.put("k", "w");
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int i = 0; i < 3; ++i) {
    writers.emplace_back([&, i] {
      while (!stop) test.cache.put("k" + std::to_string(i), "v");
    });
  }
  test.node("n0").set_down(false);
  // Puts that failed may make it behind once more each, and no more.
  for (int in_a_row = 0; in_a_row < 1000;) in_a_row = test.cache.get("k0") == "v" ? in_a_row + 1 : 0;
  stop = true;
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(test.cache.put("k", "x"), 1u);
  EXPECT_EQ(test.get("k"), "x");
}

// A put that a node refuses because it is being cleared must not leave the older entry there until its turn comes.
TEST(CacheConcurrency, NoOlderEntryIsReadWhileANodeIsBeingCleared) {
  const auto node = std::make_shared<InMemoryCacheNode>("n", CacheCapacity{.items = 100'000, .bytes = std::size_t{64} << 20});
  DistributedCache cache;
  cache.attach_node(node);
  std::atomic<bool> stop{false};
  std::thread clearing([&] {
    while (!stop) node->invalidate();
  });
  std::uint64_t stale = 0;
  std::uint64_t found = 0;
  for (std::uint64_t number = 1; number <= 60'000 || found == 0; ++number) {
    const std::string key = "k" + std::to_string(number % 16);
    cache.put(key, std::to_string(number));
    const std::optional<std::string> value = cache.get(key);
    found += value ? 1 : 0;
    stale += value && *value != std::to_string(number) ? 1 : 0;
  }
  stop = true;
  clearing.join();
  EXPECT_EQ(stale, 0u);
}

TEST(CacheConcurrency, AWriteWaitsForTheInvalidationOfItsNodeAndAReadDoesNot) {
  TestCache test(1, 1, nullptr, CacheStart::kWarm);
  auto& node = test.node("n0");
  test.cache.put("k", "old");
  node.set_down(true);
  test.cache.put("k", "missed");
  node.set_down(false);
  std::thread writer;
  std::atomic<bool> written{false};
  std::latch writing(1);
  node.before(testing::NodeCall::kInvalidate, [&] {
    node.before(testing::NodeCall::kInvalidate, nullptr);
    // Were the put to pass the node by, it would be behind again, and so for ever under many writers.
    writer = std::thread([&] {
      writing.count_down();
      EXPECT_EQ(test.cache.put("k", "new"), 1u);
      written = true;
    });
    std::thread([&] { EXPECT_EQ(test.cache.get("k"), std::nullopt); }).join();
    writing.wait();
    for (int i = 0; i < 10'000 && !written; ++i) std::this_thread::yield();
  });
  EXPECT_TRUE(test.cache.usable("n0"));
  writer.join();
  EXPECT_EQ(test.get("k"), "new");
  EXPECT_EQ(node.count(testing::NodeCall::kInvalidate), 1u);
}

}  // namespace
}  // namespace annulus
