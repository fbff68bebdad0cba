// Resizes with shards that fail at every point, and aborts at every step: nothing is lost, nothing doubled.
#include <gtest/gtest.h>

#include "tests/rebalance/resize_support.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kKeys = 60;
constexpr RebalanceOptions kSmallSteps{.max_bytes_per_second = 0, .page_records = 8, .chunk_arcs = 4};

RouterOptions options(const char* factory = "Flat", std::size_t replicas = 2) {
  RouterOptions options = router_options(replicas, spec_of(factory));
  options.ring.virtual_nodes_per_weight = 4;
  return options;
}

/// Four shards, some erased keys, and a node that joins while another leaves.
struct Scene {
  explicit Scene(const char* factory = "Flat", std::size_t replicas = 2) : cluster(3, options(factory, replicas)) {
    cluster.fill(kKeys);
    for (std::size_t number = 0; number < kKeys; number += 9) cluster.erase(number);
    before = cluster.router.ring();
    cluster.attach();
    cluster.router.detach_node("s1");
  }
  // What must hold when everybody is well again.
  void heal_and_expect_in_order() {
    for (const auto& shard : cluster.shards) shard->heal();
    for (const SyncReport& report : cluster.router.synchronise_all()) ASSERT_TRUE(report.up) << report.waits_for;
    ASSERT_NO_FATAL_FAILURE(expect_in_order(cluster, kKeys));
  }

  TestCluster cluster;
  ConsistentHasher before;
};

class Faults : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Indexes, Faults, ::testing::Values("Flat", "HNSW8"), [](const auto& instance) { return std::string(instance.param); });

TEST_P(Faults, AbortAtEveryStepLeavesTheOldRingAndAllKeys) {
  bool completed = false;
  std::uint64_t most_moved = 0;
  for (std::size_t step = 1; !completed; ++step) {
    SCOPED_TRACE("abort at step " + std::to_string(step));
    ASSERT_LT(step, 500u);
    Scene scene(GetParam());
    VectorRebalancer rebalancer(scene.cluster.router, kSmallSteps);
    std::size_t steps = 0;
    rebalancer.set_progress([&](const MoveProgress& progress) {
      if (progress.stage == "dropping" || ++steps != step) return;
      rebalancer.abort();
    });
    const ResizeReport report = rebalancer.execute();
    completed = report.outcome == ResizeOutcome::kCompleted;
    ASSERT_EQ(report.lost, 0u);
    if (completed) {
      ASSERT_LT(steps, step);
    } else {
      ASSERT_EQ(report.outcome, ResizeOutcome::kAborted) << report.message;
      ASSERT_EQ(report.stage, ResizeStage::kNone);
      ASSERT_THAT(report.message, ::testing::HasSubstr("old ring"));
      ASSERT_EQ(report.dropped, report.moved) << "what was copied is gone again";
      most_moved = std::max(most_moved, report.moved);
      ASSERT_EQ(scene.cluster.router.ring().fingerprint(), scene.before.fingerprint());
      ASSERT_EQ(scene.cluster.router.shard_states().size(), 3u) << "who was to join is out again";
    }
    ASSERT_NO_FATAL_FAILURE(scene.heal_and_expect_in_order());
  }
  EXPECT_GT(most_moved, 10u) << "aborts must meet a copy under way";
}

// The n-th call of one shard fails, and from then on all, until it is healed; or only that one.
TEST_P(Faults, AFailureOfAnyCallOfAnyShardLosesNothing) {
  for (const char* id : {"s0", "s1", "s2", "s3"}) {
    for (const std::uint64_t times : {std::uint64_t{1}, ~std::uint64_t{0}}) {
      for (const bool once_done : {false, true}) {
        bool undisturbed = false;
        std::size_t disturbed = 0;
        for (std::uint64_t call = 0; !undisturbed; ++call) {
          SCOPED_TRACE(std::string(id) + " fails at call " + std::to_string(call) + (times == 1 ? " once" : " for good") + (once_done ? ", afterwards" : ""));
          ASSERT_LT(call, 500u);
          Scene scene(GetParam());
          TestCluster& cluster = scene.cluster;
          VectorRebalancer rebalancer(cluster.router, kSmallSteps);
          cluster[id].set_fault({.calls = {}, .after = call, .times = times, .once_done = once_done});
          ResizeReport report = rebalancer.execute();
          undisturbed = cluster[id].failed() == 0;
          disturbed += undisturbed ? 0 : 1;
          ASSERT_EQ(report.lost, 0u);
          ASSERT_TRUE(report.outcome == ResizeOutcome::kCompleted || report.outcome == ResizeOutcome::kBlocked);
          if (undisturbed) {
            ASSERT_EQ(report.outcome, ResizeOutcome::kCompleted);
          }
          for (const auto& shard : cluster.shards) shard->heal();
          // even now, before anybody is synchronised, no answer is wrong
          ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(kKeys));
          if (report.outcome == ResizeOutcome::kBlocked) {
            ASSERT_FALSE(report.message.empty());
            ASSERT_NE(report.stage, ResizeStage::kNone);
            ASSERT_TRUE(cluster.put(1));
            report = rebalancer.execute();
            ASSERT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
            ASSERT_EQ(report.lost, 0u);
          }
          ASSERT_NO_FATAL_FAILURE(scene.heal_and_expect_in_order());
        }
        EXPECT_GT(disturbed, 2u);
      }
    }
  }
}

// As above, with writes between the pages, which also meet the shard that fails.
TEST(ResizeFaults, WritesThatMeetAFailingShardAreKeptOrRefused) {
  for (const char* id : {"s0", "s3"}) {
    for (std::uint64_t call = 0; call < 60; call += 3) {
      SCOPED_TRACE(std::string(id) + " fails at call " + std::to_string(call));
      Scene scene;
      TestCluster& cluster = scene.cluster;
      VectorRebalancer rebalancer(cluster.router, kSmallSteps);
      cluster[id].set_fault({.calls = {}, .after = call, .times = 5});
      rebalancer.set_progress([&](const MoveProgress&) {
        cluster.put(cluster.random() % kKeys);
        cluster.erase(cluster.random() % kKeys);
      });
      ResizeReport report = rebalancer.execute();
      cluster[id].heal();
      rebalancer.set_progress(nullptr);
      for (int again = 0; report.outcome == ResizeOutcome::kBlocked && again < 3; ++again) report = rebalancer.execute();
      ASSERT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
      ASSERT_EQ(report.lost, 0u);
      ASSERT_NO_FATAL_FAILURE(scene.heal_and_expect_in_order());
    }
  }
}

TEST(ResizeFaults, BlocksWhileTheTargetIsDownAndGoesOnWhenItIsBack) {
  Scene scene;
  TestCluster& cluster = scene.cluster;
  VectorRebalancer rebalancer(cluster.router, kSmallSteps);
  cluster.router.mark_down("s3");
  ResizeReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kBlocked);
  EXPECT_EQ(report.stage, ResizeStage::kCopying);
  EXPECT_THAT(report.message, ::testing::AllOf(::testing::HasSubstr("'s3'"), ::testing::HasSubstr("down"), ::testing::HasSubstr("execute again")));
  EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kBlocked) << "it is still down";
  for (std::size_t number = 0; number < kKeys; number += 2) ASSERT_TRUE(cluster.put(number));
  cluster.expect_agreement(kKeys);
  EXPECT_TRUE(cluster.router.bring_up("s3").up);
  report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.lost, 0u);
  scene.heal_and_expect_in_order();
}

TEST(ResizeFaults, GoesOnInTheMiddleWithoutCopyingAgain) {
  constexpr RebalanceOptions kChunkIsAPage{.max_bytes_per_second = 0, .page_records = 1000, .chunk_arcs = 1};
  Scene undisturbed;
  const std::uint64_t pairs = VectorRebalancer(undisturbed.cluster.router, kChunkIsAPage).execute().moved;
  Scene scene;
  VectorRebalancer rebalancer(scene.cluster.router, kChunkIsAPage);
  scene.cluster["s3"].set_fault({.calls = {Call::kUpsert}, .after = 3, .times = 1});
  const ResizeReport blocked = rebalancer.execute();
  EXPECT_EQ(blocked.outcome, ResizeOutcome::kBlocked);
  EXPECT_GT(blocked.moved, 0u);
  EXPECT_LT(blocked.moved, pairs);
  const ResizeReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.moved, pairs) << "each pair once, over both executions";
  EXPECT_EQ(report.already_there, 0u) << "what was copied and verified is not sent again";
  EXPECT_EQ(report.lower_bound, pairs);
  EXPECT_EQ(report.keys, blocked.keys);
  scene.heal_and_expect_in_order();
}

TEST(ResizeFaults, AnotherRebalancerMayGoOn) {
  Scene scene;
  {
    VectorRebalancer first(scene.cluster.router, kSmallSteps);
    scene.cluster["s3"].set_fault({.calls = {Call::kUpsert}, .after = 3, .times = 1});
    EXPECT_EQ(first.execute().outcome, ResizeOutcome::kBlocked);
  }
  const ResizeReport report = VectorRebalancer(scene.cluster.router, kSmallSteps).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_GT(report.already_there, 0u);
  scene.heal_and_expect_in_order();
}

TEST(ResizeFaults, CopiesFromAnotherSourceWhenOneFails) {
  Scene scene;
  scene.cluster["s0"].fail({Call::kScan});
  const ResizeReport report = VectorRebalancer(scene.cluster.router, kSmallSteps).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  for (const NodeFlow& node : report.nodes) {
    if (node.id == "s0") {
      EXPECT_EQ(node.copied_out, 0u);
    }
  }
  scene.heal_and_expect_in_order();
}

TEST(ResizeFaults, TakesAWeakSourcesRowsFromOthersInTheMiddleOfAnArc) {
  Scene scene;
  scene.cluster["s0"].set_fault({.calls = {Call::kScan}, .after = 4});
  const ResizeReport report = VectorRebalancer(scene.cluster.router, {.max_bytes_per_second = 0, .page_records = 1, .chunk_arcs = 64}).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.lost, 0u);
  EXPECT_EQ(report.moved, report.lower_bound) << "pages before the failure count, and are not counted twice";
  scene.heal_and_expect_in_order();
}

TEST(ResizeFaults, RemovesADeadNodeThatHasReplicas) {
  TestCluster cluster(4, options());
  cluster.fill(kKeys);
  cluster["s2"].fail();
  cluster.router.mark_down("s2");
  cluster.router.detach_node("s2");
  const ResizeReport report = VectorRebalancer(cluster.router, kSmallSteps).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.moved, report.lower_bound);
  EXPECT_THAT(report.warnings.at(0), ::testing::AllOf(::testing::HasSubstr("'s2'"), ::testing::HasSubstr("down")));
  expect_in_order(cluster, kKeys);
}

TEST(ResizeFaults, CannotMoveWhatOnlyADeadNodeHolds) {
  TestCluster cluster(3, options("Flat", 1));
  cluster.fill(kKeys);
  cluster["s2"].fail();
  cluster.router.mark_down("s2");
  cluster.router.detach_node("s2");
  VectorRebalancer rebalancer(cluster.router, kSmallSteps);
  const ResizeReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kBlocked);
  EXPECT_THAT(report.message, ::testing::AllOf(::testing::HasSubstr("'s2'"), ::testing::HasSubstr("holders")));
  EXPECT_NO_THROW(rebalancer.abort()) << "nobody holds a write that s2 lacks";
  EXPECT_EQ(cluster.router.control().stage(), ResizeStage::kNone);
  cluster["s2"].heal();
  EXPECT_TRUE(cluster.router.bring_up("s2").up);
  expect_in_order(cluster, kKeys);
}

TEST(ResizeFaults, CleansAShardThatWasDownDuringTheRetirementWhenItReturns) {
  TestCluster cluster(3, options());
  cluster.fill(kKeys);
  cluster.attach();
  VectorRebalancer rebalancer(cluster.router, kSmallSteps);
  rebalancer.set_progress([&](const MoveProgress& progress) {
    if (progress.stage == "dropping" && progress.done == 0) cluster.router.mark_down("s0");
  });
  const ResizeReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_THAT(report.warnings.at(0), ::testing::HasSubstr("'s0' is down"));
  for (std::size_t number = 0; number < kKeys; number += 2) cluster.erase(number);
  const SyncReport synced = cluster.router.bring_up("s0");
  EXPECT_TRUE(synced.up) << synced.waits_for;
  EXPECT_GT(synced.dropped, 0u);
  expect_in_order(cluster, kKeys);
}

TEST(ResizeFaults, AbortOfABlockedResizeTakesItBack) {
  for (const char* factory : {"Flat", "HNSW8"}) {
    Scene scene(factory);
    TestCluster& cluster = scene.cluster;
    VectorRebalancer rebalancer(cluster.router, kSmallSteps);
    cluster["s3"].set_fault({.calls = {Call::kUpsert}, .after = 4});
    EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kBlocked);
    cluster["s3"].heal();
    for (std::size_t number = 0; number < kKeys; number += 2) ASSERT_TRUE(cluster.put(number));
    rebalancer.abort();
    EXPECT_EQ(cluster.router.control().stage(), ResizeStage::kNone);
    EXPECT_EQ(cluster.router.ring().fingerprint(), scene.before.fingerprint());
    EXPECT_EQ(cluster["s3"].inner().stats().live + cluster["s3"].inner().stats().tombstones, 0u);
    scene.heal_and_expect_in_order();
    expect_error(ErrorCode::kFailedPrecondition, {"no resize"}, [&] { rebalancer.abort(); });
  }
}

TEST(ResizeFaults, AnAbortCleansAShardThatIsDownWhenItReturns) {
  TestCluster cluster(3, options());
  cluster.fill(kKeys);
  cluster.router.set_weight("s0", 3);
  VectorRebalancer rebalancer(cluster.router, kSmallSteps);
  cluster["s0"].set_fault({.calls = {Call::kUpsert}, .after = 2});
  EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kBlocked);
  cluster.router.mark_down("s0");
  rebalancer.abort();
  EXPECT_EQ(cluster.router.control().stage(), ResizeStage::kNone);
  cluster["s0"].heal();
  EXPECT_TRUE(cluster.router.bring_up("s0").up);
  expect_in_order(cluster, kKeys);
}

TEST(ResizeFaults, IsTooLateToAbortOnceTheTargetServes) {
  Scene scene;
  VectorRebalancer rebalancer(scene.cluster.router, kSmallSteps);
  bool tried = false;
  rebalancer.set_progress([&](const MoveProgress& progress) {
    if (progress.stage != "dropping") return;
    tried = true;
    expect_error(ErrorCode::kFailedPrecondition, {"too late", "declare the old ring"}, [&] { rebalancer.abort(); });
  });
  EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kCompleted);
  EXPECT_TRUE(tried);
  scene.heal_and_expect_in_order();
}

// The only owner that serves fails the write and the owner to be takes it: it is acknowledged. Taking the resize back must
// not lose it.
TEST(ResizeFaults, AnAbortKeepsAWriteThatOnlyTheNewOwnerTook) {
  for (const std::size_t replicas : {1, 2}) {
    TestCluster cluster(2, options("Flat", replicas));
    cluster.fill(kKeys);
    cluster.attach();
    cluster.router.detach_node("s0");
    VectorRebalancer rebalancer(cluster.router, kSmallSteps);
    cluster.router.mark_down("s2");
    EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kBlocked);
    EXPECT_TRUE(cluster.router.bring_up("s2").up);
    // each key that s2 is to own: overwritten or erased there alone
    for (const char* id : {"s0", "s1"}) cluster[id].fail({Call::kUpsert});
    std::size_t taken = 0;
    for (std::size_t number = 0; number < kKeys; ++number) {
      taken += number % 3 == 0 ? cluster.erase(number) : cluster.put(number);
    }
    ASSERT_GT(taken, 5u);
    for (const char* id : {"s0", "s1"}) cluster[id].heal();
    rebalancer.abort();
    ASSERT_EQ(cluster.router.control().stage(), ResizeStage::kNone);
    for (const SyncReport& report : cluster.router.synchronise_all()) ASSERT_TRUE(report.up) << report.waits_for;
    ASSERT_NO_FATAL_FAILURE(expect_in_order(cluster, kKeys));
  }
}

TEST(ResizeFaults, AnAbortWaitsForAnOwnerThatLacksAWriteOfTheNewOne) {
  TestCluster cluster(2, options("Flat", 1));
  cluster.fill(kKeys);
  cluster.attach();
  VectorRebalancer rebalancer(cluster.router, kSmallSteps);
  cluster.router.mark_down("s2");
  EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kBlocked);
  EXPECT_TRUE(cluster.router.bring_up("s2").up);
  for (const char* id : {"s0", "s1"}) cluster.router.mark_down(id);
  for (std::size_t number = 0; number < kKeys; ++number) cluster.put(number);
  rebalancer.abort();
  EXPECT_EQ(cluster.router.control().stage(), ResizeStage::kAborting) << "s2's writes have nowhere to go";
  ResizeReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kBlocked);
  EXPECT_THAT(report.message, ::testing::AllOf(::testing::HasSubstr("'s2' keeps its rows"), ::testing::HasSubstr("bring them up")));
  for (const char* id : {"s0", "s1"}) (void)cluster.router.bring_up(id);
  report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kAborted) << report.message;
  for (const SyncReport& synced : cluster.router.synchronise_all()) ASSERT_TRUE(synced.up) << synced.waits_for;
  expect_in_order(cluster, kKeys);
}

TEST(ResizeFaults, AShardThatSaysAbortedDoesNotAbortTheResize) {
  Scene scene;
  scene.cluster["s0"].set_fault({.calls = {Call::kScan, Call::kLookup, Call::kUpsert}, .after = 5, .times = 1, .code = ErrorCode::kAborted});
  VectorRebalancer rebalancer(scene.cluster.router, kSmallSteps);
  ResizeReport report = rebalancer.execute();
  EXPECT_NE(report.outcome, ResizeOutcome::kAborted);
  if (report.outcome == ResizeOutcome::kBlocked) report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  scene.heal_and_expect_in_order();
}

TEST(ResizeFaults, KeepsOldRowsWhileNoNewOwnerCanVouchForThem) {
  TestCluster cluster(2, options("Flat", 1));
  cluster.fill(kKeys);
  cluster.attach();
  VectorRebalancer rebalancer(cluster.router, kSmallSteps);
  rebalancer.set_progress([&](const MoveProgress& progress) {
    if (progress.stage == "dropping") cluster["s2"].fail({Call::kLookup});
  });
  ResizeReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kBlocked);
  EXPECT_EQ(report.stage, ResizeStage::kRetiring);
  EXPECT_EQ(report.dropped, 0u);
  EXPECT_THAT(report.message, ::testing::HasSubstr("keeps its rows"));
  cluster.expect_agreement(kKeys);
  rebalancer.set_progress(nullptr);
  cluster["s2"].heal();
  report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.dropped, report.moved);
  expect_in_order(cluster, kKeys);
}

TEST(ResizeFaults, KeepsOldRowsThatTheNewOwnerLostAfterAll) {
  TestCluster cluster(2, options("Flat", 1));
  cluster.fill(kKeys);
  cluster.attach();
  VectorRebalancer rebalancer(cluster.router, kSmallSteps);
  const Arc whole{0, 0};
  rebalancer.set_progress([&](const MoveProgress& progress) {
    if (progress.stage != "dropping") return;
    cluster["s2"].on_each(Call::kLookup, [&] { cluster["s2"].inner().drop(std::span(&whole, 1)); });
  });
  ResizeReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kBlocked);
  EXPECT_EQ(report.stage, ResizeStage::kRetiring);
  EXPECT_GT(report.lost, 0u);
  EXPECT_EQ(report.dropped, 0u);
  EXPECT_THAT(report.message, ::testing::AllOf(::testing::HasSubstr("keeps its rows"), ::testing::HasSubstr("lack")));
  rebalancer.set_progress(nullptr);
  cluster["s2"].on_each(Call::kLookup, nullptr);
  report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.lost, 0u) << "they were copied again from where they were kept";
  EXPECT_GT(report.recopied, 0u);
  expect_in_order(cluster, kKeys);
}

TEST(ResizeFaults, CopiesAgainWhatATargetLostBeforeItWasVerified) {
  TestCluster cluster(2, options());
  cluster.fill(kKeys);
  cluster.router.set_replicas(1);
  ASSERT_EQ(VectorRebalancer(cluster.router).execute().outcome, ResizeOutcome::kCompleted);
  cluster.router.set_replicas(2);
  VectorRebalancer rebalancer(cluster.router, {.max_bytes_per_second = 0, .page_records = 256, .chunk_arcs = 1000});
  // between the copy and the check somebody empties the target
  std::size_t lookups = 0;
  std::uint64_t lost = 0;
  const ArcSet owned = cluster.router.placement().serving->table->arcs_of(1);
  cluster["s1"].on_each(Call::kLookup, [&] {
    if (lookups++ == 0) lost = cluster["s1"].inner().drop(owned.complement().arcs());
  });
  const ResizeReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(report.recopied, lost);
  EXPECT_EQ(report.moved, report.lower_bound + lost);
  EXPECT_EQ(report.verified, report.lower_bound);
  expect_in_order(cluster, kKeys);
}

TEST(ResizeFaults, BlocksWhenATargetDoesNotKeepWhatItIsGiven) {
  TestCluster cluster(2, options("Flat", 1));
  cluster.fill(kKeys);
  cluster.attach();
  VectorRebalancer rebalancer(cluster.router, kSmallSteps);
  const Arc whole{0, 0};
  cluster["s2"].on_each(Call::kLookup, [&] { cluster["s2"].inner().drop(std::span(&whole, 1)); });
  ResizeReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kBlocked);
  EXPECT_THAT(report.message, ::testing::HasSubstr("still missing"));
  EXPECT_EQ(report.stage, ResizeStage::kCopying);
  cluster["s2"].on_each(Call::kLookup, nullptr);
  report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  expect_in_order(cluster, kKeys);
}

TEST(ResizeFaults, WarnsOfAShardThatCannotBeCleanedAndSynchronisationCleansIt) {
  TestCluster cluster(3, options());
  cluster.fill(kKeys);
  cluster.attach();
  cluster["s0"].fail({Call::kDrop});
  const ResizeReport report = VectorRebalancer(cluster.router, kSmallSteps).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_THAT(report.warnings.at(0), ::testing::AllOf(::testing::HasSubstr("'s0' could not be cleaned"), ::testing::HasSubstr("told to fail")));
  EXPECT_EQ(cluster.router.health("s0"), ShardHealth::kBehind);
  EXPECT_EQ(verify_cluster(cluster.router).not_up, (std::vector<std::string>{"s0"}));
  cluster["s0"].heal();
  EXPECT_GT(cluster.router.synchronise_all().at(0).dropped, 0u);
  expect_in_order(cluster, kKeys);
}

TEST(ResizeFaults, SynchronisesASourceThatIsBehindOnTheWay) {
  TestCluster cluster(3, options());
  cluster.fill(kKeys);
  cluster["s0"].set_fault({.calls = {Call::kUpsert}, .after = 0, .times = 1});
  for (std::size_t number = 0; cluster["s0"].failed() == 0; ++number) cluster.put(number);
  EXPECT_EQ(cluster.router.health("s0"), ShardHealth::kBehind);
  cluster.attach();
  const ResizeReport report = VectorRebalancer(cluster.router, kSmallSteps).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  ASSERT_EQ(report.synchronised.size(), 1u);
  EXPECT_EQ(report.synchronised[0].shard, "s0");
  EXPECT_TRUE(report.synchronised[0].up);
  expect_in_order(cluster, kKeys);
}

TEST(ResizeFaults, WarnsOfAShardThatCannotBeCounted) {
  Scene scene;
  scene.cluster["s0"].set_fault({.calls = {Call::kScan}, .after = 0, .times = 1});
  const ResizeReport report = VectorRebalancer(scene.cluster.router, kSmallSteps).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted);
  EXPECT_THAT(report.warnings.at(0), ::testing::HasSubstr("'s0' could not be counted"));
  scene.heal_and_expect_in_order();
}

}  // namespace
}  // namespace annulus::testing
