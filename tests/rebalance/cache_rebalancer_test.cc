#include "rebalance/cache_rebalancer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "tests/cache/test_cache.h"
#include "tests/core/expect_error.h"

namespace annulus {
namespace {

using std::chrono::seconds;
using testing::TestCache;

constexpr int kKeys = 600;

std::string key(int i) { return "embedding:" + std::to_string(i); }
std::string value(int i) { return "value of " + std::to_string(i); }

void fill(DistributedCache& cache, int keys = kKeys) {
  for (int i = 0; i < keys; ++i) cache.put(key(i), value(i));
}

/// Which keys have another set of owners than by `before`, at the same number of replicas.
std::vector<int> moved(const DistributedCache& cache, const ConsistentHasher& before, int keys = kKeys) {
  std::vector<int> moved;
  for (int i = 0; i < keys; ++i) {
    if (cache.placement(key(i)) != cache.placement_with_ring(key(i), before)) moved.push_back(i);
  }
  return moved;
}

std::size_t hits(DistributedCache& cache, const std::vector<int>& keys) {
  std::size_t hits = 0;
  for (const int i : keys) {
    const std::optional<std::string> found = cache.get(key(i));
    if (!found) continue;
    EXPECT_EQ(*found, value(i));
    ++hits;
  }
  return hits;
}

/// Every key is at each of its owners, with its value, and nowhere else.
void expect_on_owners_alone(TestCache& test, int keys = kKeys) {
  for (int i = 0; i < keys; ++i) {
    const std::vector<std::string> owners = test.cache.placement(key(i));
    const std::set<std::string> owning(owners.begin(), owners.end());
    for (const auto& [id, node] : test.nodes()) {
      ASSERT_EQ(TestCache::held(*node, key(i)), owning.contains(id) ? value(i) : "-") << key(i) << " at " << id;
    }
  }
}

TEST(CacheRebalancer, AfterAJoinEveryMovedKeyIsAHitWithTheWarmUpAndNoneWithout) {
  for (const bool warm : {true, false}) {
    TestCache test(4);
    fill(test.cache);
    const ConsistentHasher before = test.cache.ring();
    test.attach("n4");
    const std::vector<int> changed = moved(test.cache, before);
    ASSERT_GT(changed.size(), 50u);
    if (warm) {
      const CacheMoveReport report = CacheRebalancer(test.cache).execute();
      EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
      EXPECT_EQ(report.moved, changed.size());
      EXPECT_EQ(report.lower_bound, changed.size());
      EXPECT_EQ(report.keys, static_cast<std::uint64_t>(kKeys));
      EXPECT_EQ(report.dropped, changed.size());
      EXPECT_EQ(report.missed, 0u);
      EXPECT_DOUBLE_EQ(report.moved_fraction, static_cast<double>(changed.size()) / kKeys);
      EXPECT_EQ(report.nodes.back().id, "n4");
      EXPECT_EQ(report.nodes.back().copied_in, changed.size());
      expect_on_owners_alone(test);
    }
    EXPECT_EQ(hits(test.cache, changed), warm ? changed.size() : 0u);
  }
}

TEST(CacheRebalancer, ALeavingNodeGivesWhatItHeldAndIsForgotten) {
  for (const std::size_t replicas : {1, 2, 3}) {
    TestCache test(4, replicas);
    fill(test.cache);
    test.cache.detach_node("n2");
    const CacheMoveReport report = CacheRebalancer(test.cache).execute();
    EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted);
    EXPECT_EQ(report.moved, report.lower_bound) << replicas;
    EXPECT_GT(report.moved, 0u);
    expect_on_owners_alone(test);
    EXPECT_EQ(test.cache.node("n2"), nullptr);
    EXPECT_TRUE(test.cache.former_layouts().empty());
  }
}

TEST(CacheRebalancer, WarmsUpAllReplicasThatAChangeOfWeightsOrReplicasMakes) {
  TestCache test(5, 2);
  fill(test.cache);
  test.cache.set_replicas(3);
  CacheMoveReport report = CacheRebalancer(test.cache).execute();
  EXPECT_EQ(report.moved, static_cast<std::uint64_t>(kKeys));
  expect_on_owners_alone(test);
  test.cache.set_weight("n1", 3.0);
  report = CacheRebalancer(test.cache).execute();
  EXPECT_EQ(report.moved, report.lower_bound);
  expect_on_owners_alone(test);
  test.cache.set_replicas(1);
  report = CacheRebalancer(test.cache).execute();
  EXPECT_EQ(report.moved, 0u);
  EXPECT_EQ(report.dropped, 2u * kKeys);
  expect_on_owners_alone(test);
}

// What a drop forgot must not stand in the way of the next warm-up: not even of one key that shares a bucket with it.
TEST(CacheRebalancer, ManyChangesOneAfterTheOtherLoseNothing) {
  TestCache test(3);
  fill(test.cache, 5000);
  for (int round = 0; round < 6; ++round) {
    const std::string joins = "x" + std::to_string(round);
    test.attach(joins);
    EXPECT_EQ(CacheRebalancer(test.cache).execute().missed, 0u);
    if (round > 0) {
      test.cache.detach_node("x" + std::to_string(round - 1));
      EXPECT_EQ(CacheRebalancer(test.cache).execute().missed, 0u);
    }
    std::vector<int> all(5000);
    for (int i = 0; i < 5000; ++i) all[static_cast<std::size_t>(i)] = i;
    ASSERT_EQ(hits(test.cache, all), 5000u) << "round " << round;
  }
}

TEST(CacheRebalancer, GathersWhatSeveralChangesLeftBehind) {
  TestCache test(3);
  fill(test.cache);
  test.attach("n3");
  for (int i = 0; i < kKeys; i += 2) test.cache.put(key(i), value(i));  // at the owners of the second layout
  test.attach("n4");
  test.cache.detach_node("n0");
  EXPECT_EQ(test.cache.former_layouts().size(), 3u);
  const CacheMoveReport report = CacheRebalancer(test.cache).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted);
  expect_on_owners_alone(test);
}

// As long as it may hold older entries, a former owner is told to erase what is written: that must not keep the entry itself away.
TEST(CacheRebalancer, WhatWasPutWhileANodeWasNoOwnerComesBackToIt) {
  TestCache test(3);
  fill(test.cache);
  test.attach("n3");
  fill(test.cache);
  CacheRebalancer(test.cache).execute();
  test.cache.detach_node("n3");
  EXPECT_EQ(CacheRebalancer(test.cache).execute().missed, 0u);
  expect_on_owners_alone(test);
}

TEST(CacheRebalancer, TheTimeThatIsLeftGoesWithAnEntry) {
  TestCache test(3);
  for (int i = 0; i < kKeys; ++i) test.cache.put(key(i), value(i), seconds(100));
  test.time->now += seconds(60);
  const ConsistentHasher before = test.cache.ring();
  test.attach("n3");
  CacheRebalancer(test.cache).execute();
  const std::vector<int> changed = moved(test.cache, before);
  test.time->now += seconds(39);
  EXPECT_EQ(hits(test.cache, changed), changed.size());
  test.time->now += seconds(1);
  EXPECT_EQ(hits(test.cache, changed), 0u);
}

TEST(CacheRebalancer, ExpiredEntriesAreNotCopied) {
  TestCache test(3);
  for (int i = 0; i < kKeys; ++i) test.cache.put(key(i), value(i), seconds(i % 2 == 0 ? 10 : 1000));
  test.time->now += seconds(10);
  test.attach("n3");
  const CacheMoveReport report = CacheRebalancer(test.cache).execute();
  EXPECT_EQ(report.keys, static_cast<std::uint64_t>(kKeys / 2));
  EXPECT_EQ(report.moved, report.lower_bound);
}

TEST(CacheRebalancer, WarmsUpTheKeysThatItIsGiven) {
  TestCache test(3);
  fill(test.cache);
  const ConsistentHasher before = test.cache.ring();
  test.attach("n3");
  const std::vector<int> changed = moved(test.cache, before);
  const std::string hot = key(changed[0]);
  const std::string cold = key(changed[1]);
  const std::vector<KeyView> keys{hot, "never put"};
  CacheRebalancer rebalancer(test.cache);
  CacheMoveReport report = rebalancer.execute(keys);
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted);
  EXPECT_EQ(report.moved, 1u);
  EXPECT_EQ(report.dropped, 0u);
  EXPECT_NE(test.get(hot), "-");
  EXPECT_EQ(test.get(cold), "-");
  EXPECT_EQ(test.cache.former_layouts().size(), 1u) << "the rest can still be had";
  report = rebalancer.execute();
  EXPECT_EQ(report.already_there, 1u);
  EXPECT_EQ(report.moved, changed.size() - 1);
  expect_on_owners_alone(test);
}

TEST(CacheRebalancer, HasNothingToDoWithoutAChange) {
  TestCache test(3);
  fill(test.cache, 10);
  const CacheMoveReport report = CacheRebalancer(test.cache).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kNothingToDo);
  EXPECT_TRUE(CacheRebalancer(test.cache).plan().empty());
}

TEST(CacheRebalancer, PlansFromTheOldestLayoutThatIsNotDropped) {
  TestCache test(3);
  fill(test.cache, 10);
  const ConsistentHasher before = test.cache.ring();
  test.attach("n3");
  const RebalancePlan plan = CacheRebalancer(test.cache).plan();
  EXPECT_EQ(plan.before.fingerprint(), before.fingerprint());
  EXPECT_EQ(plan.after.fingerprint(), test.cache.ring().fingerprint());
  EXPECT_FALSE(plan.empty());
}

TEST(CacheRebalancer, StopsOnRequestAtAnyStepAndGoesOnLater) {
  for (int last = 0;; ++last) {
    SCOPED_TRACE("stopped at step " + std::to_string(last));
    TestCache test(3);
    fill(test.cache);
    test.attach("n3");
    CacheRebalancer rebalancer(test.cache, {.page_records = 16, .chunk_arcs = 8});
    int steps = 0;
    rebalancer.set_progress([&](const MoveProgress& progress) {
      if (progress.stage != "dropping" && steps++ == last) rebalancer.abort();
    });
    CacheMoveReport report = rebalancer.execute();
    if (report.outcome == ResizeOutcome::kCompleted) {
      EXPECT_GT(last, 20);
      break;
    }
    ASSERT_EQ(report.outcome, ResizeOutcome::kAborted);
    EXPECT_EQ(report.stage, ResizeStage::kRetiring);
    EXPECT_FALSE(report.message.empty());
    rebalancer.set_progress({});
    report = rebalancer.execute();
    ASSERT_EQ(report.outcome, ResizeOutcome::kCompleted);
    expect_on_owners_alone(test);
    ASSERT_FALSE(HasFailure());
  }
}

TEST(CacheRebalancer, ANodeThatJoinsDuringAWarmUpIsWarmedUpToo) {
  for (const char* stage : {"counting", "copying", "dropping"}) {
    TestCache test(3);
    fill(test.cache);
    test.attach("n3");
    CacheRebalancer rebalancer(test.cache, {.page_records = 16});
    std::thread joining;
    rebalancer.set_progress([&](const MoveProgress& progress) {
      if (progress.stage != stage || test.nodes().size() > 4) return;
      const auto node = test.make("n4");
      joining = std::thread([&test, node] { test.cache.attach_node(node); });  // a change waits for a drop, which waits for this call
      if (progress.stage != "dropping") joining.join();
    });
    EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kCompleted);
    if (joining.joinable()) joining.join();
    rebalancer.set_progress({});
    rebalancer.execute();  // for what came when the first was dropping already
    ASSERT_EQ(test.nodes().size(), 5u);
    expect_on_owners_alone(test);
  }
}

TEST(CacheRebalancer, WritesDuringTheWarmUpWin) {
  TestCache test(3, 2);
  fill(test.cache);
  test.attach("n3");
  CacheRebalancer rebalancer(test.cache, {.page_records = 8, .chunk_arcs = 4});
  std::map<std::string, std::string> newest;
  int step = 0;
  rebalancer.set_progress([&](const MoveProgress&) {
    for (int i = step % 7; i < kKeys; i += 41) {
      if ((step + i) % 3 == 0) {
        test.cache.erase(key(i));
        newest[key(i)] = "-";
      } else {
        test.cache.put(key(i), "step " + std::to_string(step));
        newest[key(i)] = "step " + std::to_string(step);
      }
      ASSERT_EQ(test.get(key(i)), newest[key(i)]);
    }
    ++step;
  });
  EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kCompleted);
  EXPECT_GT(step, 20);
  for (int i = 0; i < kKeys; ++i) {
    const std::string expected = newest.contains(key(i)) ? newest[key(i)] : value(i);
    for (const auto& [id, node] : test.nodes()) {
      const std::string held = TestCache::held(*node, key(i));
      ASSERT_TRUE(held == expected || held == "-") << key(i) << " at " << id << ": " << held;
    }
    ASSERT_EQ(test.get(key(i)), expected);
  }
}

TEST(CacheRebalancer, TheNewNodeCanBeOutOfReach) {
  TestCache test(3);
  fill(test.cache);
  const ConsistentHasher before = test.cache.ring();
  test.attach("n3").set_down(true);
  const std::vector<int> changed = moved(test.cache, before);
  const CacheMoveReport report = CacheRebalancer(test.cache).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted);
  EXPECT_EQ(report.moved, 0u);
  EXPECT_EQ(report.missed, changed.size());
  EXPECT_EQ(hits(test.cache, changed), 0u);
  test.heal();
  EXPECT_EQ(hits(test.cache, changed), 0u);
}

TEST(CacheRebalancer, AnotherReplicaGivesWhatAnUnreachableNodeCannot) {
  TestCache test(4, 2);
  fill(test.cache);
  test.cache.detach_node("n0");
  test.node("n0").set_down(true);
  CacheMoveReport report = CacheRebalancer(test.cache).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted);
  EXPECT_EQ(report.missed, 0u);
  EXPECT_GT(report.moved, 0u);
  EXPECT_THAT(report.warnings, ::testing::Contains(::testing::HasSubstr("'n0'")));
  for (int i = 0; i < kKeys; ++i) {
    for (const std::string& owner : test.cache.placement(key(i))) EXPECT_EQ(TestCache::held(test.node(owner), key(i)), value(i));
  }
}

TEST(CacheRebalancer, RefusesPagesOfNothing) {
  TestCache test(1);
  testing::expect_error(ErrorCode::kInvalidArgument, {"at least 1"}, [&] { CacheRebalancer(test.cache, {.page_records = 0}); });
}

// One call to a node fails, in each of its ways; then the warm-up is repeated. Values are right or missing at any time, and nothing throws.
TEST(CacheRebalancerSweep, NoValueIsWrongWhicheverCallOfANodeFails) {
  using When = testing::FaultPlan::When;
  for (const bool stays_down : {false, true}) {
    for (const When when : {When::kBefore, When::kHalfway, When::kAfter}) {
      std::uint64_t at = 1;
      for (;; ++at) {
        SCOPED_TRACE("call " + std::to_string(at) + " fails, way " + std::to_string(static_cast<int>(when)) +
                     (stays_down ? ", and the node stays down" : ""));
        const auto plan = std::make_shared<testing::FaultPlan>();
        TestCache test(3, 2, plan);
        constexpr int kFew = 60;
        fill(test.cache, kFew);
        test.attach("n3");
        test.cache.detach_node("n1");
        plan->calls = 0;
        plan->at = at;
        plan->when = when;
        plan->stays_down = stays_down;
        CacheRebalancer rebalancer(test.cache, {.page_records = 8});
        int step = 0;
        std::map<std::string, std::string> newest;
        const auto expect_right = [&] {
          for (int i = 0; i < kFew; ++i) {
            const std::string got = test.get(key(i));
            const std::string right = newest.contains(key(i)) ? newest[key(i)] : value(i);
            ASSERT_TRUE(got == right || got == "-") << key(i) << ": " << got << ", not " << right;
          }
        };
        rebalancer.set_progress([&](const MoveProgress&) {
          const int i = (step++ * 13) % kFew;
          newest[key(i)] = step % 3 == 0 ? "-" : "new " + std::to_string(step);
          step % 3 == 0 ? test.cache.erase(key(i)) : void(test.cache.put(key(i), newest[key(i)]));
        });
        ASSERT_EQ(rebalancer.execute().outcome, ResizeOutcome::kCompleted);
        const bool fired = plan->fired();
        expect_right();
        test.heal();
        expect_right();
        rebalancer.set_progress({});
        rebalancer.execute();
        expect_right();
        // and when the node that had failed is an owner again
        test.cache.attach_node(test.cache.node("n1") != nullptr ? test.cache.node("n1") : test.make("n1"));
        expect_right();
        ASSERT_FALSE(HasFailure());
        if (!fired) break;
      }
      EXPECT_GT(at, 30u);
    }
  }
}

}  // namespace
}  // namespace annulus
