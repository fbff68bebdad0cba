// Each public call of the rebalancer refuses what is wrong with a clear error, and the cluster works afterwards.
#include <gtest/gtest.h>

#include "tests/rebalance/resize_support.h"

namespace annulus::testing {
namespace {

class RebalancerBadInput : public ::testing::Test {
 protected:
  RebalancerBadInput() {
    cluster.fill(40);
    cluster.attach();
  }
  ~RebalancerBadInput() override {
    const ResizeReport report = rebalancer.execute();
    EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
    expect_in_order(cluster, 45);
  }
  void expect_refused(const RebalancePlan& plan, const ConsistentHasher& before) {
    expect_error(ErrorCode::kFailedPrecondition, {"other rings", "'" + std::string(to_string(cluster.router.control().stage())) + "'"},
                 [&] { (void)rebalancer.execute(plan, before); });
  }

  TestCluster cluster{3, router_options(2)};
  VectorRebalancer rebalancer{cluster.router};
};

TEST_F(RebalancerBadInput, PlansOfOtherRings) {
  const RebalancePlan good = rebalancer.plan();
  const ConsistentHasher serving = cluster.router.placement().serving->ring;
  ConsistentHasher other = serving;
  other.set_weight("s0", 5);
  expect_refused(RebalancePlanner::plan(other, good.after, 2), other);
  expect_refused(RebalancePlanner::plan(serving, other, 2), serving);
  expect_refused(RebalancePlanner::plan(serving, 1, good.after, 2), serving);
  expect_refused(RebalancePlanner::plan(serving, 2, good.after, 3), serving);
  expect_refused(RebalancePlanner::plan(good.after, serving, 2), good.after);
  expect_refused(good, other);
  expect_refused(RebalancePlanner::plan(serving, serving, 2), serving);
  expect_refused(RebalancePlan{.before = serving, .after = serving, .replicas_before = 2, .replicas_after = 2, .nodes = {}, .moves = {}, .warnings = {}}, serving);
}

TEST_F(RebalancerBadInput, APlanThatWasOvertakenByAnotherDeclaration) {
  const RebalancePlan old = rebalancer.plan();
  cluster.router.set_weight("s1", 2);
  expect_refused(old, old.before);
}

TEST_F(RebalancerBadInput, AnotherPlanWhileAResizeIsBlocked) {
  cluster.router.mark_down("s3");
  EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kBlocked);
  const ConsistentHasher serving = cluster.router.placement().serving->ring;
  expect_refused(RebalancePlanner::plan(serving, serving, 2), serving);
  expect_error(ErrorCode::kFailedPrecondition, {"copying", "finish or abort"}, [&] { cluster.router.detach_node("s0"); });
  expect_error(ErrorCode::kFailedPrecondition, {"copying"}, [&] { cluster.router.attach_node(cluster.make_shard()); });
  expect_error(ErrorCode::kFailedPrecondition, {"copying"}, [&] { cluster.router.set_weight("s0", 2); });
  expect_error(ErrorCode::kFailedPrecondition, {"copying"}, [&] { cluster.router.set_replicas(3); });
  EXPECT_TRUE(cluster.router.bring_up("s3").up);
}

TEST_F(RebalancerBadInput, AbortOfNothing) {
  expect_error(ErrorCode::kFailedPrecondition, {"no resize"}, [&] { rebalancer.abort(); });
}

TEST_F(RebalancerBadInput, APlanThatLeavesNoNode) {
  for (const char* id : {"s0", "s1", "s2", "s3"}) cluster.router.detach_node(id);
  expect_error(ErrorCode::kFailedPrecondition, {"no node", "3 nodes", "attach a node"}, [&] { (void)rebalancer.execute(); });
  EXPECT_EQ(cluster.router.control().stage(), ResizeStage::kNone);
  cluster.expect_agreement(45);
  cluster.attach();
}

TEST_F(RebalancerBadInput, PagesAndChunksOfNothing) {
  expect_error(ErrorCode::kInvalidArgument, {"page_records", "at least 1"}, [&] { VectorRebalancer(cluster.router, {.max_bytes_per_second = 0, .page_records = 0, .chunk_arcs = 64}); });
  expect_error(ErrorCode::kInvalidArgument, {"chunk_arcs", "at least 1"}, [&] { VectorRebalancer(cluster.router, {.max_bytes_per_second = 0, .page_records = 256, .chunk_arcs = 0}); });
}

TEST(Names, SayHowAResizeEnded) {
  EXPECT_EQ(to_string(ResizeOutcome::kCompleted), "completed");
  EXPECT_EQ(to_string(ResizeOutcome::kNothingToDo), "nothing to do");
  EXPECT_EQ(to_string(ResizeOutcome::kAborted), "aborted");
  EXPECT_EQ(to_string(ResizeOutcome::kBlocked), "blocked");
}

}  // namespace
}  // namespace annulus::testing
