// Writes that only a gaining node took, while those who serve were away, survive taking the resize back.
#include <gtest/gtest.h>

#include "rebalance/cluster_verifier.h"
#include "rebalance/vector_rebalancer.h"
#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kKeys = 60;

class AbortKeepsWrites : public ::testing::Test {
 protected:
  // R = 1, s2 joins and the resize is blocked in its midst; then s0 and s1 go, and s2 alone takes its part of the writes.
  void SetUp() override {
    cluster.fill(kKeys);
    cluster.attach();
    cluster.router.mark_down("s2");
    ASSERT_EQ(rebalancer.execute().outcome, ResizeOutcome::kBlocked);
    ASSERT_TRUE(cluster.router.bring_up("s2").up);
    cluster.router.mark_down("s0");
    cluster.router.mark_down("s1");
    std::size_t taken = 0;
    for (std::size_t number = 0; number < kKeys; ++number) taken += cluster.put(number) ? 1 : 0;
    ASSERT_GT(taken, 0U);
  }

  void expect_all_is_back() {
    EXPECT_EQ(cluster.router.control().stage(), ResizeStage::kNone);
    cluster.expect_agreement(kKeys);
    EXPECT_TRUE(verify_cluster(cluster.router).ok());
  }

  TestCluster cluster{2, router_options(1)};
  VectorRebalancer rebalancer{cluster.router};
};

TEST_F(AbortKeepsWrites, WhenTheOldOwnersComeBackFirst) {
  rebalancer.abort();
  EXPECT_TRUE(cluster.router.bring_up("s0").up);
  EXPECT_TRUE(cluster.router.bring_up("s1").up);
  cluster.expect_agreement(kKeys);
  EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kAborted);
  expect_all_is_back();
}

TEST_F(AbortKeepsWrites, WhenTheNewOwnerIsAwayAndComesBackFirst) {
  rebalancer.abort();
  cluster.router.mark_down("s2");
  const SyncReport returned = cluster.router.bring_up("s2");
  EXPECT_EQ(returned.dropped, 0U);
  cluster.router.bring_up("s0");
  cluster.router.bring_up("s1");
  EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kAborted);
  cluster.router.synchronise_all();
  expect_all_is_back();
}

TEST_F(AbortKeepsWrites, WhenTheNewOwnerIsAwayAtTheAbort) {
  cluster.router.mark_down("s2");
  rebalancer.abort();
  EXPECT_FALSE(cluster.router.bring_up("s0").up);  // s2 may hold newer records
  const ResizeReport waiting = rebalancer.execute();
  EXPECT_EQ(waiting.outcome, ResizeOutcome::kBlocked);
  EXPECT_NE(waiting.message.find("'s2' cannot be reached and may hold the only copies"), std::string::npos) << waiting.message;
  cluster.router.bring_up("s2");
  cluster.router.bring_up("s0");
  cluster.router.bring_up("s1");
  EXPECT_EQ(rebalancer.execute().outcome, ResizeOutcome::kAborted);
  cluster.router.synchronise_all();
  expect_all_is_back();
}

TEST(DeclaredRing, ThatChangedSinceThePlanIsNotPublished) {
  TestCluster cluster(3, router_options(1));
  cluster.fill(kKeys);
  cluster.attach();
  ClusterControl& control = cluster.router.control();
  const ConsistentHasher planned = cluster.router.ring();
  cluster.router.set_weight("s3", 2.0);
  expect_error(ErrorCode::kFailedPrecondition, {"has changed since the plan"}, [&] { control.begin_resize(planned, 1); });
  EXPECT_EQ(control.stage(), ResizeStage::kNone);
}

TEST(Filter, ThatThrowsIsHeardByTheCallerAndBlamedOnNoShard) {
  TestCluster cluster(3, router_options(2));
  cluster.fill(kKeys);
  const KeyFilter filter = [](KeyView) -> bool { throw std::out_of_range("the filter's own"); };
  EXPECT_THROW((void)cluster.router.search(Vector::Zero(4), 3, {.params = {}, .filter = &filter}), std::out_of_range);
  cluster.expect_agreement(kKeys);
}

}  // namespace
}  // namespace annulus::testing
