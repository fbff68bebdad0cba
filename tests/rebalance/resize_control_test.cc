// A resize that is steered, and used, from other threads.
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <mutex>
#include <thread>

#include "tests/rebalance/resize_support.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kKeys = 200;

class Steering : public ::testing::Test {
 protected:
  Steering() {
    cluster.fill(kKeys);
    before = cluster.router.ring().fingerprint();
    cluster.attach();
    rebalancer.set_progress([this](const MoveProgress& progress) {
      bytes.store(progress.bytes);
      dropping.store(progress.stage == "dropping");
      ++steps;
    });
  }
  ~Steering() override {
    if (thread.joinable()) thread.join();
  }
  void start() {
    thread = std::thread([this] { report = rebalancer.execute(); });
  }
  void wait_for_steps(std::uint64_t count) const {
    while (steps.load() < count) std::this_thread::yield();
  }

  TestCluster cluster{3, router_options(2)};
  VectorRebalancer rebalancer{cluster.router, {.max_bytes_per_second = 0, .page_records = 4, .chunk_arcs = 2}};
  std::uint64_t before = 0;
  std::atomic<std::uint64_t> steps{0}, bytes{0};
  std::atomic<bool> dropping{false};
  ResizeReport report;
  std::thread thread;
};

TEST_F(Steering, PausesAndGoesOn) {
  rebalancer.pause();
  start();
  wait_for_steps(3);  // counting, copying, the first page: there it waits
  for (int i = 0; i < 2000; ++i) std::this_thread::yield();
  EXPECT_EQ(steps.load(), 3u);
  EXPECT_EQ(cluster.router.control().stage(), ResizeStage::kCopying);
  // a paused resize holds up nobody
  for (std::size_t number = 0; number < kKeys; number += 3) ASSERT_TRUE(cluster.put(number));
  cluster.expect_agreement(kKeys);
  cluster.router.mark_down("s0");
  EXPECT_TRUE(cluster.router.bring_up("s0").up);
  rebalancer.resume();
  thread.join();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.lost, 0u);
  expect_in_order(cluster, kKeys);
}

TEST_F(Steering, AbortsInAPause) {
  rebalancer.pause();
  start();
  wait_for_steps(3);
  rebalancer.abort();
  thread.join();
  EXPECT_EQ(report.outcome, ResizeOutcome::kAborted);
  EXPECT_EQ(report.dropped, report.moved);
  EXPECT_EQ(cluster.router.ring().fingerprint(), before);
  expect_in_order(cluster, kKeys);
}

TEST_F(Steering, SendsNoMoreThanItsRateAllows) {
  rebalancer.set_max_rate(1);
  start();
  wait_for_steps(3);
  const std::uint64_t first_page = bytes.load();
  EXPECT_GT(first_page, 0u);
  for (int i = 0; i < 2000; ++i) std::this_thread::yield();
  EXPECT_EQ(bytes.load(), first_page) << "the next page waits until this one is paid for";
  rebalancer.set_max_rate(std::numeric_limits<std::uint64_t>::max());
  thread.join();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted);
  EXPECT_EQ(report.bytes, bytes.load());
  expect_in_order(cluster, kKeys);
}

TEST_F(Steering, AbortsWhileItWaitsForItsRate) {
  rebalancer.set_max_rate(1);
  start();
  wait_for_steps(3);
  rebalancer.abort();
  thread.join();
  EXPECT_EQ(report.outcome, ResizeOutcome::kAborted);
  EXPECT_GT(report.moved, 0u) << "the page that was sent is in the account";
  expect_in_order(cluster, kKeys);
}

TEST_F(Steering, RefusesASecondExecution) {
  rebalancer.pause();
  start();
  wait_for_steps(3);
  expect_error(ErrorCode::kFailedPrecondition, {"executing already"}, [&] { (void)rebalancer.execute(); });
  rebalancer.resume();
  thread.join();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted);
}

TEST_F(Steering, StartsFromAPlanThatHoldsTheRateOfItsOptions) {
  VectorRebalancer slow(cluster.router, {.max_bytes_per_second = 1, .page_records = 4, .chunk_arcs = 2});
  std::atomic<std::uint64_t> shown{0};
  slow.set_progress([&](const MoveProgress&) { ++shown; });
  thread = std::thread([&] { report = slow.execute(); });
  while (shown.load() < 3) std::this_thread::yield();
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  EXPECT_EQ(shown.load(), 3u);
  slow.abort();
  thread.join();
  EXPECT_EQ(report.outcome, ResizeOutcome::kAborted);
}

TEST_F(Steering, WaitsForAWriteThatHoldsTheOldLayout) {
  // a write began before the resize, under the old layout, and is still on its way to its owners
  const std::string key = cluster.key(1);
  const Placement placement = cluster.router.placement();
  FaultyShard& owner = cluster[placement.serving->ring.node(placement.serving->table->replicas(token_of_key(key))[0]).id];
  owner.block(Call::kUpsert);
  std::thread writer([&] { ASSERT_TRUE(cluster.put(1)); });
  owner.wait_until_blocked();
  start();
  while (cluster.router.control().stage() != ResizeStage::kCopying) std::this_thread::yield();
  for (int i = 0; i < 2000; ++i) std::this_thread::yield();
  EXPECT_EQ(steps.load(), 0u) << "nothing is copied before the write has ended: the copy would miss it";
  owner.release();
  writer.join();
  thread.join();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted);
  expect_in_order(cluster, kKeys);
}

TEST_F(Steering, DropsNothingWhileASearchHoldsTheOldLayout) {
  FaultyShard& shard = cluster["s0"];
  const Vector query = Vector::Zero(4);
  shard.block(Call::kCandidates);
  SearchResult result;
  std::thread searcher;
  // searches take turns at covers: one of them meets s0
  std::atomic<bool> met{false};
  searcher = std::thread([&] {
    while (!met.load()) {
      const std::uint64_t asked = shard.count(Call::kCandidates);
      result = cluster.router.search(query, kKeys);
      met.store(shard.count(Call::kCandidates) > asked);
    }
  });
  shard.wait_until_blocked();
  start();
  while (cluster.router.control().stage() != ResizeStage::kCopying) std::this_thread::yield();
  for (int i = 0; i < 2000; ++i) std::this_thread::yield();
  EXPECT_FALSE(dropping.load());
  shard.release();
  searcher.join();
  thread.join();
  EXPECT_EQ(hits_of(result), cluster.oracle.nearest(query, kKeys)) << "all that was there when it began";
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted);
}

// Writers and readers beside joins, leaves and re-weights. The exhaustive version of it is the stress test.
TEST(ResizeBesideTraffic, LosesNothingAndAnswersCompletely) {
  TestCluster cluster(3, router_options(2));
  cluster.fill(kKeys);
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;
  std::mutex oracle_mutex;
  for (std::size_t worker = 0; worker < 2; ++worker) {
    workers.emplace_back([&, worker] {
      std::mt19937_64 random(worker);
      while (!stop.load()) {
        // each writer has keys of its own, so that the last write is known
        const std::size_t number = worker + 2 * (random() % (kKeys / 2));
        const std::string key = cluster.key(number);
        const KeyView view = key;
        if (random() % 4 == 0) {
          ASSERT_TRUE(cluster.router.erase(std::span(&view, 1)).ok());
          ASSERT_EQ(cluster.router.get(key), std::nullopt);
          std::lock_guard lock(oracle_mutex);
          cluster.oracle.erase(key);
        } else {
          const Vector vector = random_vector(4, random);
          ASSERT_TRUE(cluster.router.upsert(std::span(&view, 1), vector).ok());
          const auto held = cluster.router.get(key);
          ASSERT_TRUE(held.has_value());
          ASSERT_EQ(*held, vector);
          std::lock_guard lock(oracle_mutex);
          cluster.oracle.put(key, vector);
        }
        const SearchResult result = cluster.router.search(random_vector(4, random), 5);
        ASSERT_EQ(result.coverage, 1.0);
        ASSERT_EQ(hits_of(result).size(), 5u);
      }
    });
  }
  for (int round = 0; round < 3; ++round) {
    cluster.attach();
    cluster.router.set_weight("s2", 1.0 + round);
    ResizeReport report = VectorRebalancer(cluster.router, {.max_bytes_per_second = 0, .page_records = 16, .chunk_arcs = 4}).execute();
    EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
    EXPECT_EQ(report.lost, 0u);
    cluster.router.detach_node("s" + std::to_string(round == 0 ? 0 : round + 2));
    report = VectorRebalancer(cluster.router).execute();
    EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
    EXPECT_EQ(report.lost, 0u);
  }
  stop.store(true);
  for (std::thread& worker : workers) worker.join();
  expect_in_order(cluster, kKeys);
}

}  // namespace
}  // namespace annulus::testing
