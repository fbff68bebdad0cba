// Reads and writes of other threads beside warm-ups and resizes: nobody reads what is older than was acknowledged.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "rebalance/artifact_rebalancer.h"
#include "rebalance/cache_rebalancer.h"
#include "tests/cache/test_cache.h"
#include "tests/rebalance/artifact_support.h"

namespace annulus {
namespace {

using testing::TestCache;

/// Keys whose values are numbers that only grow; one thread writes, several read. An erased key reads as what was before.
class Ledger {
 public:
  explicit Ledger(std::size_t keys) : acknowledged_(keys) {}
  std::size_t keys() const { return acknowledged_.size(); }
  std::uint64_t acknowledged(std::size_t key) const { return acknowledged_[key].load(std::memory_order_seq_cst); }
  void acknowledge(std::size_t key, std::uint64_t number) { acknowledged_[key].store(number, std::memory_order_seq_cst); }

 private:
  std::vector<std::atomic<std::uint64_t>> acknowledged_;
};

/// Runs `write` in one thread and `read` in two, with numbers to choose by, while `change` runs in this one. It begins when all
/// of them are at work: on a busy machine it could be over before.
template <typename Write, typename Read, typename Change>
void beside(Write&& write, Read&& read, Change&& change) {
  std::atomic<bool> stop{false};
  std::atomic<int> at_work{0};
  std::atomic<std::uint64_t> done{0};
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    std::mt19937_64 random(1);
    for (std::uint64_t number = 1; !stop.load(); ++number, ++done) {
      write(random(), number);
      if (number == 1) ++at_work;
    }
  });
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937_64 random(2 + i);
      for (bool first = true; !stop.load(); first = false, ++done) {
        read(random());
        if (first) ++at_work;
      }
    });
  }
  while (at_work.load() < 3) std::this_thread::yield();
  const std::uint64_t before = done.load();
  change();
  while (done.load() < before + 10) std::this_thread::yield();
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST(CacheRebalancerBesideTraffic, NoReadIsOlderThanWhatWasAcknowledged) {
  TestCache test(3, 2);
  Ledger ledger(300);
  const auto key = [](std::size_t i) { return "k" + std::to_string(i); };
  for (std::size_t i = 0; i < ledger.keys(); ++i) test.cache.put(key(i), "0");
  std::atomic<std::uint64_t> stale{0};
  std::atomic<std::uint64_t> found{0};
  const auto write = [&](std::uint64_t choice, std::uint64_t number) {
    const std::size_t i = choice % ledger.keys();
    if (choice % 7 == 0) {
      test.cache.erase(key(i));
    } else {
      test.cache.put(key(i), std::to_string(number));
    }
    ledger.acknowledge(i, number);
  };
  const auto read = [&](std::uint64_t choice) {
    const std::size_t i = choice % ledger.keys();
    const std::uint64_t least = ledger.acknowledged(i);
    const std::optional<std::string> value = test.cache.get(key(i));
    if (!value) return;
    ++found;
    stale += std::stoull(*value) < least ? 1 : 0;
  };
  beside(write, read, [&] {
    for (int round = 0; round < 8; ++round) {
      const std::string joins = "x" + std::to_string(round);
      testing::FaultyCacheNode& node = test.attach(joins);
      if (round % 2 == 1) node.set_down(true);
      CacheRebalancer rebalancer(test.cache, {.page_records = 16, .chunk_arcs = 16});
      const auto report = rebalancer.execute();
      EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
      node.set_down(false);
      if (round % 3 == 2) test.cache.set_weight("n0", 1.0 + round);
      test.cache.detach_node(joins);
      if (round % 3 != 0) rebalancer.execute();  // the others leave their layouts to the next
    }
  });
  EXPECT_EQ(stale.load(), 0u);
  EXPECT_GT(found.load(), 0u);
}

TEST(ArtifactRebalancerBesideTraffic, NoReadIsOlderThanWhatWasAcknowledgedNorPartial) {
  testing::ArtifactCluster cluster({"a", "b", "c"});
  Ledger ledger(6);
  const auto name = [](std::size_t i) { return "model-" + std::to_string(i); };
  const auto content = [](std::uint64_t number) { return testing::bytes_of(std::to_string(number) + "|" + std::string(3000, 'x')); };
  for (std::size_t i = 0; i < ledger.keys(); ++i) cluster.store.put(name(i), content(0));
  std::atomic<std::uint64_t> wrong{0};
  const auto write = [&](std::uint64_t choice, std::uint64_t number) {
    const std::size_t i = choice % ledger.keys();
    cluster.store.put(name(i), content(number));
    ledger.acknowledge(i, number);
  };
  const auto read = [&](std::uint64_t choice) {
    const std::size_t i = choice % ledger.keys();
    const std::uint64_t least = ledger.acknowledged(i);
    const testing::Bytes got = cluster.store.get(name(i));
    const std::uint64_t number = std::stoull(std::string(reinterpret_cast<const char*>(got.data()), got.size()));
    wrong += number < least || got != content(number) ? 1 : 0;
  };
  beside(write, read, [&] {
    cluster.attach("d");
    ArtifactRebalancer rebalancer(cluster.store);
    EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kCompleted);
    cluster.store.detach_node("b");
    EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kCompleted);
    cluster.store.set_weight("d", 3.0);
    rebalancer.set_progress([&](const MoveProgress& progress) {
      if (progress.stage == "copying") rebalancer.abort();
    });
    EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kAborted);
  });
  EXPECT_EQ(wrong.load(), 0u);
  cluster.store.repair();
  testing::expect_clean(cluster.store);
}

}  // namespace
}  // namespace annulus
