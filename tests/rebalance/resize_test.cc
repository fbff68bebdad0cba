// Resizes that nobody disturbs: what moves is what must, the report says so, and everything is where it belongs.
#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "tests/rebalance/resize_support.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kKeys = 150;

class Resize : public ::testing::TestWithParam<const char*> {
 protected:
  Resize() : cluster(4, router_options(2, spec_of(GetParam()))) {
    cluster.fill(kKeys);
    for (std::size_t number = 0; number < kKeys; number += 10) cluster.erase(number);
  }
  ResizeReport run() {
    VectorRebalancer rebalancer(cluster.router, {.max_bytes_per_second = 0, .page_records = 16, .chunk_arcs = 4});
    return rebalancer.execute();
  }
  void expect_completed(const ResizeReport& report, std::size_t replicas) {
    expect_quiet_report(report, cluster.oracle.live().size(), replicas);
    EXPECT_EQ(report.lossy_copies, cluster.lossless() || cluster.moves_codes() ? 0u : report.moved) << "codes move as they are";
    expect_in_order(cluster, kKeys);
  }
  static const NodeFlow& flow(const ResizeReport& report, std::string_view id) {
    for (const NodeFlow& node : report.nodes) {
      if (node.id == id) return node;
    }
    throw std::out_of_range(std::string(id));
  }

  TestCluster cluster;
};

INSTANTIATE_TEST_SUITE_P(Indexes, Resize, ::testing::Values("Flat", "HNSW8", "HNSW8,SQ8", "IVF4,Flat", "IVF4,SQ8"), [](const auto& instance) {
  std::string name = instance.param;
  std::erase(name, ',');
  return name;
});

TEST_P(Resize, MovesToANewNodeWhatItOwnsAndNothingElse) {
  const std::string id = cluster.attach().id();
  const ResizeReport report = run();
  expect_completed(report, 2);
  EXPECT_GT(report.moved, 0u);
  EXPECT_GT(report.moved_tombstones, 0u);
  EXPECT_EQ(report.dropped, report.moved);
  EXPECT_GE(report.bytes, report.moved * 4 * sizeof(float));
  EXPECT_EQ(flow(report, id).copied_in, report.moved);
  EXPECT_EQ(flow(report, id).copied_in, cluster[id].inner().stats().live);
  EXPECT_EQ(report.checked_before_drop, 2 * report.dropped) << "both owners vouch for what is dropped";
}

TEST_P(Resize, MovesAwayFromANodeThatLeaves) {
  const std::uint64_t held = cluster["s2"].inner().stats().live;
  cluster.router.detach_node("s2");
  const ResizeReport report = run();
  expect_completed(report, 2);
  EXPECT_EQ(report.moved, held) << "the others keep what they have";
  EXPECT_EQ(flow(report, "s2").dropped, held);
  EXPECT_EQ(cluster["s2"].inner().stats().live + cluster["s2"].inner().stats().tombstones, 0u);
  expect_error(ErrorCode::kNotFound, {"s2"}, [&] { (void)cluster.router.health("s2"); });
  // it is empty, so it may come back
  cluster.router.attach_node(std::make_shared<VectorShard>("s2", cluster.router.options().index));
  expect_completed(run(), 2);
}

TEST_P(Resize, FollowsWeights) {
  cluster.router.set_weight("s1", 3);
  ResizeReport report = run();
  expect_completed(report, 2);
  EXPECT_GT(flow(report, "s1").copied_in, 0u);
  EXPECT_EQ(flow(report, "s1").copied_out, 0u) << "it only gains";
  cluster.router.set_weight("s1", 0.25);
  report = run();
  expect_completed(report, 2);
  EXPECT_EQ(flow(report, "s1").copied_in, 0u) << "it only loses";
  EXPECT_GT(flow(report, "s1").dropped, 0u);
}

TEST_P(Resize, CompletesAChangeOfWeightThatMovesNothing) {
  cluster.router.set_weight("s1", 1.0001);
  const ResizeReport report = run();
  expect_completed(report, 2);
  EXPECT_EQ(report.moved, 0u);
}

TEST_P(Resize, ChangesTheNumberOfReplicas) {
  cluster.router.set_replicas(3);
  ResizeReport report = run();
  expect_completed(report, 3);
  EXPECT_EQ(report.moved, cluster.oracle.live().size());
  EXPECT_EQ(report.dropped, 0u);
  cluster.router.set_replicas(1);
  report = run();
  expect_completed(report, 1);
  EXPECT_EQ(report.moved, 0u);
  EXPECT_EQ(report.dropped, 2 * cluster.oracle.live().size());
  cluster.router.set_replicas(static_cast<std::size_t>(-1));
  report = run();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted);
  EXPECT_EQ(report.moved, 3 * cluster.oracle.live().size());
  EXPECT_THAT(report.warnings.at(0), ::testing::HasSubstr("only 4 nodes"));
  expect_in_order(cluster, kKeys);
}

TEST_P(Resize, DoesSeveralThingsAtOnce) {
  cluster.attach(2.0);
  cluster.attach(0.5);
  cluster.router.detach_node("s0");
  cluster.router.set_weight("s3", 2);
  cluster.router.set_replicas(3);
  expect_completed(run(), 3);
  cluster.router.detach_node("s1");
  cluster.router.detach_node("s4");
  cluster.router.set_replicas(2);
  expect_completed(run(), 2);
}

TEST_P(Resize, GoesOnFromResizeToResize) {
  std::mt19937_64 random(77);
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE("seed 77, round " + std::to_string(round));
    const auto nodes = cluster.router.ring();
    if (random() % 2 == 0 || nodes.num_nodes() < 3) cluster.attach(0.5 + static_cast<double>(random() % 3));
    if (random() % 2 == 0) cluster.router.set_weight(nodes.node(0).id, 1.0 + static_cast<double>(random() % 3));
    if (random() % 2 == 0 && nodes.num_nodes() > 2) cluster.router.detach_node(nodes.node(1).id);
    const ResizeReport report = run();
    if (report.outcome == ResizeOutcome::kNothingToDo) continue;
    expect_completed(report, 2);
    for (std::size_t number = 0; number < kKeys; number += 7) cluster.put(number);
    for (std::size_t number = 3; number < kKeys; number += 11) cluster.erase(number);
  }
}

TEST(VectorRebalancerWorkflow, IsPlanAttachExecute) {
  TestCluster cluster(3, router_options(2));
  cluster.fill(100);
  const ConsistentHasher before = cluster.router.ring().clone();
  cluster.attach(1.5);
  const RebalancePlan plan = RebalancePlanner::plan(before, cluster.router.ring(), cluster.router.replicas());
  const ResizeReport report = VectorRebalancer(cluster.router).execute(plan, before);
  expect_quiet_report(report, 100, 2);
  expect_in_order(cluster, 110);
  const PlanStats stats = RebalancePlanner::stats(plan, 100, 0);
  EXPECT_NEAR(report.moved_fraction, stats.ring.moved_fraction, 0.1);
}

TEST(VectorRebalancerWorkflow, HasNothingToDoWhenNothingWasDeclared) {
  TestCluster cluster(3, router_options(2));
  cluster.fill(20);
  VectorRebalancer rebalancer(cluster.router);
  EXPECT_TRUE(rebalancer.plan().empty());
  const ResizeReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kNothingToDo);
  EXPECT_EQ(report.stage, ResizeStage::kNone);
  cluster.attach();
  EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kCompleted) << "a rebalancer can be used again";
  cluster.router.detach_node("s0");
  EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kCompleted);
  expect_in_order(cluster, 20);
}

TEST(VectorRebalancerWorkflow, TakesWritesOfEveryKindBetweenPages) {
  TestCluster cluster(3, router_options(2));
  cluster.fill(120);
  cluster.attach();
  cluster.router.detach_node("s1");
  VectorRebalancer rebalancer(cluster.router, {.max_bytes_per_second = 0, .page_records = 4, .chunk_arcs = 2});
  std::set<std::string> stages;
  std::size_t steps = 0;
  rebalancer.set_progress([&](const MoveProgress& progress) {
    stages.insert(std::string(progress.stage));
    EXPECT_GE(progress.seconds, 0.0);
    EXPECT_GE(progress.eta_seconds, 0.0);
    // from the resize's own thread: between two pages, so that each kind of write meets each step of the copy
    ++steps;
    cluster.put(cluster.random() % 120);
    cluster.put(120 + cluster.random() % 40);
    cluster.erase(cluster.random() % 160);
    cluster.expect_agreement(20);
  });
  const ResizeReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.lost, 0u);
  EXPECT_GT(steps, 30u);
  EXPECT_EQ(stages, (std::set<std::string>{"copying", "counting", "dropping"}));
  rebalancer.set_progress(nullptr);
  expect_in_order(cluster, 165);
}

// A former owner is asked for what it still owns, and finds the rows that it has not dropped yet: they must not be old.
TEST(VectorRebalancerWorkflow, KeepsRowsCurrentUntilTheyAreDropped) {
  for (const std::size_t replicas : {1, 2}) {
    TestCluster cluster(2, router_options(replicas));
    cluster.fill(60);
    cluster.attach();
    VectorRebalancer rebalancer(cluster.router);
    bool written = false;
    rebalancer.set_progress([&](const MoveProgress& progress) {
      if (progress.stage != "dropping" || std::exchange(written, true)) return;
      for (std::size_t number = 0; number < 60; ++number) {
        ASSERT_TRUE(number % 3 == 0 ? cluster.put(number) : cluster.erase(number));
      }
      const Vector query = Vector::Zero(4);
      for (int i = 0; i < 6; ++i) {  // the covers take turns
        EXPECT_EQ(hits_of(cluster.router.search(query, 60)), cluster.oracle.nearest(query, 60));
      }
    });
    EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kCompleted);
    EXPECT_TRUE(written);
    expect_in_order(cluster, 65);
  }
}

TEST(VectorRebalancerWorkflow, ReadsEachRowOnceFromTheLeastUsedSources) {
  TestCluster cluster(4, router_options(3));
  cluster.fill(200);
  cluster.attach();
  const ResizeReport report = VectorRebalancer(cluster.router, {.max_bytes_per_second = 0, .page_records = 16, .chunk_arcs = 1}).execute();
  expect_quiet_report(report, 200, 3);
  std::size_t givers = 0;
  for (const NodeFlow& node : report.nodes) givers += node.copied_out > 0 ? 1 : 0;
  EXPECT_GE(givers, 3u);
}

TEST(VectorRebalancerWorkflow, WorksWithIdsAndOtherMetrics) {
  for (const Metric metric : {Metric::kInnerProduct, Metric::kCosine}) {
    TestCluster cluster(3, router_options(2, spec_of("Flat", 4, metric), KeyKind::kId));
    cluster.fill(100);
    cluster.attach();
    expect_quiet_report(VectorRebalancer(cluster.router).execute(), 100, 2);
    expect_in_order(cluster, 105);
  }
}

}  // namespace
}  // namespace annulus::testing
