#include "rebalance/artifact_rebalancer.h"

#include <gtest/gtest.h>

#include <utility>

#include "tests/artifact/test_store.h"
#include "tests/rebalance/artifact_support.h"

namespace annulus {
namespace {

using testing::ArtifactCluster;
using testing::bytes_of;
using testing::expect_error;

TEST(ArtifactRebalancer, AJoinMovesTheMinimumAndLeavesEveryArtifactOnItsOwnersAlone) {
  ArtifactCluster cluster({"a", "b", "c"});
  cluster.fill(40);
  cluster.attach("d");
  const MoveReport report = ArtifactRebalancer(cluster.store).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.stage, ResizeStage::kNone);
  EXPECT_EQ(report.keys, 40u);
  EXPECT_GT(report.moved, 0u);
  EXPECT_EQ(report.moved, report.lower_bound);
  EXPECT_EQ(report.verified, report.moved);
  EXPECT_EQ(report.dropped, report.moved);
  EXPECT_EQ(report.lost, 0u);
  EXPECT_DOUBLE_EQ(report.moved_fraction, static_cast<double>(report.moved) / 80);
  EXPECT_EQ(report.nodes[3].id, "d");
  EXPECT_EQ(report.nodes[3].copied_in, report.moved);
  EXPECT_EQ(report.bytes, cluster.bytes_on("d"));
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, ALeavingHostIsEmptyAfterwardsAndGone) {
  ArtifactCluster cluster({"a", "b", "c", "d"});
  cluster.fill(40);
  cluster.store.detach_node("b");
  const MoveReport report = ArtifactRebalancer(cluster.store).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.moved, report.lower_bound);
  EXPECT_EQ(cluster.bytes_on("b"), 0u);
  EXPECT_EQ(cluster.store.hosts().size(), 3u);
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, WeightsAndReplicasChangeToo) {
  ArtifactCluster cluster({"a", "b", "c", "d"});
  cluster.fill(30);
  cluster.store.set_replicas(3);
  MoveReport report = ArtifactRebalancer(cluster.store).execute();
  EXPECT_EQ(report.moved, 30u);
  EXPECT_EQ(report.dropped, 0u);
  cluster.expect_intact();
  cluster.store.set_weight("a", 0.1);
  report = ArtifactRebalancer(cluster.store).execute();
  EXPECT_GT(report.moved, 0u);
  EXPECT_EQ(report.moved, report.lower_bound);
  cluster.expect_intact();
  cluster.store.set_replicas(1);
  report = ArtifactRebalancer(cluster.store).execute();
  EXPECT_EQ(report.moved, 0u);
  EXPECT_EQ(report.dropped, 60u);
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, HasNothingToDoWhenTheDeclaredRingServes) {
  ArtifactCluster cluster({"a", "b"});
  cluster.fill(3);
  EXPECT_EQ(ArtifactRebalancer(cluster.store).execute().outcome, ResizeOutcome::kNothingToDo);
}

TEST(ArtifactRebalancer, PutsAndErasesDuringTheCopyReachTheNewOwners) {
  ArtifactCluster cluster({"a", "b", "c"});
  cluster.fill(20);
  cluster.attach("d");
  ArtifactRebalancer rebalancer(cluster.store);
  int steps = 0;
  rebalancer.set_progress([&](const MoveProgress& progress) {
    if (progress.stage == "counting") return;
    const int step = steps++;
    cluster.put("new-" + std::to_string(step), "n" + std::to_string(step));
    cluster.put(ArtifactCluster::name(step % 20), "over " + std::to_string(step));
    if (step % 3 == 0) cluster.erase(ArtifactCluster::name((step + 7) % 20));
  });
  const MoveReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_GT(steps, 10);
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, AnErasedArtifactStaysErased) {
  ArtifactCluster cluster({"a", "b", "c"});
  cluster.fill(20);
  for (int i = 0; i < 10; ++i) cluster.erase(ArtifactCluster::name(i));
  cluster.attach("d");
  const MoveReport report = ArtifactRebalancer(cluster.store).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.keys, 10u);
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, AnAbortAtAnyStepLeavesTheOldRingAndNothingOnTheNewHost) {
  for (int last = 0;; ++last) {
    ArtifactCluster cluster({"a", "b", "c"});
    cluster.fill(12);
    const std::uint64_t before = cluster.store.ring().fingerprint();
    cluster.attach("d");
    ArtifactRebalancer rebalancer(cluster.store);
    int steps = 0;
    rebalancer.set_progress([&](const MoveProgress& progress) {
      if (progress.stage == "copying" && steps++ == last) rebalancer.abort();
    });
    const MoveReport report = rebalancer.execute();
    if (report.outcome == ResizeOutcome::kCompleted) {  // there was no such step
      EXPECT_GT(last, 5);
      break;
    }
    SCOPED_TRACE("aborted at step " + std::to_string(last));
    ASSERT_EQ(report.outcome, ResizeOutcome::kAborted) << report.message;
    EXPECT_EQ(cluster.store.stage(), ResizeStage::kNone);
    EXPECT_EQ(cluster.store.ring().fingerprint(), before);
    EXPECT_EQ(cluster.bytes_on("d"), 0u);
    cluster.expect_intact();
  }
}

TEST(ArtifactRebalancer, IsBlockedWhileTheNewHostIsOutOfReachAndGoesOn) {
  ArtifactCluster cluster({"a", "b", "c"});
  cluster.fill(12);
  cluster.attach("d");
  cluster.faulty("d").fail();
  ArtifactRebalancer rebalancer(cluster.store);
  MoveReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kBlocked);
  EXPECT_EQ(report.stage, ResizeStage::kCopying);
  EXPECT_THAT(report.message, ::testing::HasSubstr("'d'"));
  cluster.expect_readable();
  cluster.faulty("d").heal();
  report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.moved, report.lower_bound);
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, ABlockedResizeCanBeAborted) {
  ArtifactCluster cluster({"a", "b", "c"});
  cluster.fill(12);
  cluster.attach("d");
  cluster.faulty("d").set_fault({.after = 20});
  ArtifactRebalancer rebalancer(cluster.store);
  ASSERT_EQ(rebalancer.execute().outcome, ResizeOutcome::kBlocked);
  cluster.faulty("d").heal();
  rebalancer.abort();
  EXPECT_EQ(cluster.store.stage(), ResizeStage::kNone);
  EXPECT_EQ(cluster.bytes_on("d"), 0u);
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, CopiesFromAnotherHolderWhenOneIsOutOfReachOrDamaged) {
  ArtifactCluster cluster({"a", "b", "c"});
  cluster.fill(20);
  cluster.damage("b");
  cluster.attach("d");
  cluster.faulty("a").fail();
  // What only a and b hold cannot be copied: the one is silent, the other damaged.
  ArtifactRebalancer rebalancer(cluster.store);
  EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kBlocked);
  cluster.faulty("a").heal();
  cluster.store.repair();
  const MoveReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, AFormerHostThatIsGoneKeepsItsRemainsUntilARepair) {
  ArtifactCluster cluster({"a", "b", "c", "d"});
  cluster.fill(20);
  cluster.store.detach_node("a");
  ArtifactRebalancer rebalancer(cluster.store);
  rebalancer.set_progress([&](const MoveProgress& progress) {
    if (progress.stage == "dropping") cluster.faulty("a").fail();
  });
  const MoveReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  ASSERT_EQ(report.warnings.size(), 1u);
  EXPECT_THAT(report.warnings[0], ::testing::HasSubstr("'a'"));
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, DoesNotServeAnOlderVersionBecauseTheNewestIsOutOfReach) {
  ArtifactCluster cluster({"a", "b"});
  cluster.put("model", "old");
  cluster.faulty("b").fail();
  cluster.put("model", "new");  // b misses it
  cluster.faulty("b").heal();
  cluster.faulty("a").fail();
  cluster.attach("c");
  cluster.attach("d");
  cluster.store.detach_node("a");
  cluster.store.detach_node("b");
  ArtifactRebalancer rebalancer(cluster.store);
  const MoveReport blocked = rebalancer.execute();
  EXPECT_EQ(blocked.outcome, ResizeOutcome::kBlocked);
  EXPECT_EQ(blocked.stage, ResizeStage::kCopying);
  EXPECT_THAT(blocked.message, ::testing::HasSubstr("'model'"));
  cluster.faulty("a").heal();
  const MoveReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  cluster.store.repair();  // what was copied first is superseded
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, CanBeAbortedWhenOneServingOwnerIsGone) {
  ArtifactCluster cluster({"a", "b", "c"});
  cluster.fill(12);
  cluster.attach("d");
  cluster.faulty("d").set_fault({.after = 25});
  ArtifactRebalancer rebalancer(cluster.store);
  ASSERT_EQ(rebalancer.execute().outcome, ResizeOutcome::kBlocked);
  cluster.faulty("d").heal();
  cluster.faulty("a").fail();
  rebalancer.abort();
  EXPECT_EQ(cluster.store.stage(), ResizeStage::kNone);
  EXPECT_EQ(cluster.bytes_on("d"), 0u);
  cluster.faulty("a").heal();
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, DropsNothingWhoseOwnersDoNotHoldIt) {
  ArtifactCluster cluster({"a", "b", "c"});
  cluster.fill(20);
  cluster.attach("d");
  ArtifactRebalancer rebalancer(cluster.store);
  bool damaged = false;
  rebalancer.set_progress([&](const MoveProgress& progress) {
    if (progress.stage == "dropping" && !std::exchange(damaged, true)) cluster.damage("d");
  });
  MoveReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kBlocked);
  EXPECT_EQ(report.stage, ResizeStage::kRetiring);
  EXPECT_THAT(report.message, ::testing::HasSubstr("'d'"));
  cluster.expect_readable();
  rebalancer.set_progress({});
  cluster.store.repair();
  report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, IsThrottled) {
  ArtifactCluster cluster({"a", "b", "c"});
  cluster.fill(20);
  cluster.attach("d");
  ArtifactRebalancer rebalancer(cluster.store, {.max_bytes_per_second = 1});
  // Every chunk is followed by a wait that only an abort ends.
  rebalancer.set_progress([&](const MoveProgress& progress) {
    if (progress.bytes > 0) rebalancer.abort();
  });
  const MoveReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kAborted);
  EXPECT_EQ(report.moved, 0u);
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, ALaterObjectFinishesWhatAnEarlierOneBegan) {
  ArtifactCluster cluster({"a", "b", "c"});
  cluster.fill(20);
  cluster.attach("d");
  cluster.faulty("d").set_fault({.after = 40});
  ASSERT_EQ(ArtifactRebalancer(cluster.store).execute().outcome, ResizeOutcome::kBlocked);
  cluster.faulty("d").heal();
  const MoveReport report = ArtifactRebalancer(cluster.store).execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_GT(report.already_there, 0u);
  EXPECT_EQ(report.moved + report.already_there, report.lower_bound);
  cluster.expect_intact();
}

TEST(ArtifactRebalancer, RefusesPlansOfOtherRingsAndExecutionsAtTheSameTime) {
  ArtifactCluster cluster({"a", "b", "c"});
  cluster.fill(3);
  ArtifactRebalancer rebalancer(cluster.store);
  const ConsistentHasher before = cluster.store.ring();
  cluster.attach("d");
  const RebalancePlan stale = rebalancer.plan();
  cluster.attach("e");
  expect_error(ErrorCode::kFailedPrecondition, {"distributor", "ArtifactRebalancer::plan()"}, [&] { rebalancer.execute(stale, before); });
  expect_error(ErrorCode::kFailedPrecondition, {"no resize"}, [&] { rebalancer.abort(); });
  std::string refused;
  rebalancer.set_progress([&](const MoveProgress&) {
    try {
      ArtifactRebalancer(cluster.store).execute();
    } catch (const Error& error) {
      refused = error.what();
    }
  });
  rebalancer.execute();
  EXPECT_THAT(refused, ::testing::HasSubstr("executing already"));
  for (const char* id : {"a", "b", "c", "d", "e"}) cluster.store.detach_node(id);
  expect_error(ErrorCode::kFailedPrecondition, {"no node", "5 nodes"}, [&] { rebalancer.execute(); });
  expect_error(ErrorCode::kInvalidArgument, {"at least 1"}, [&] { ArtifactRebalancer(cluster.store, {.chunk_arcs = 0}); });
}

}  // namespace
}  // namespace annulus
