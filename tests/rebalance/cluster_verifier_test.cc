#include "rebalance/cluster_verifier.h"

#include <gtest/gtest.h>

#include "tests/rebalance/resize_support.h"

namespace annulus::testing {
namespace {

class Verifier : public ::testing::Test {
 protected:
  Verifier() { cluster.fill(60); }

  std::vector<std::string> owners(const std::string& key) {
    std::vector<std::string> ids;
    const Placement placement = cluster.router.placement();
    for (const NodeIndex node : placement.serving->table->replicas(token_of_key(key))) ids.push_back(placement.serving->ring.node(node).id);
    return ids;
  }
  std::string stranger_to(const std::string& key) {
    const auto ids = owners(key);
    for (const auto& shard : cluster.shards) {
      if (std::find(ids.begin(), ids.end(), shard->id()) == ids.end()) return shard->id();
    }
    return {};
  }
  void plant(const std::string& id, const RecordView& record) {
    WriteOutcome outcome;
    cluster[id].inner().upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
    ASSERT_EQ(outcome, WriteOutcome::kApplied);
  }

  TestCluster cluster{4, router_options(2)};
  const Vector vector = Vector::Zero(4);
};

TEST_F(Verifier, FindsAClusterInOrder) {
  cluster.erase(3);
  const VerifyReport report = verify_cluster(cluster.router);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.keys, 59u);
  EXPECT_EQ(report.copies, 118u);
  EXPECT_EQ(report.arcs, 32u) << "4 nodes, 8 tokens each";
}

TEST_F(Verifier, FindsARecordWhereItDoesNotBelong) {
  const std::string key = cluster.key(0);
  plant(stranger_to(key), {.key = key, .version = {1, 0}, .vector = vector.data()});
  const VerifyReport report = verify_cluster(cluster.router);
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.strangers, 1u);
  EXPECT_EQ(report.arcs_differing, 0u);
  EXPECT_EQ(report.copies, 120u) << "only owners' copies count";
}

TEST_F(Verifier, FindsATombstoneWhereItDoesNotBelong) {
  const std::string key = cluster.key(0);
  plant(stranger_to(key), {.key = key, .version = {1, 0}, .deleted = true});
  const VerifyReport report = verify_cluster(cluster.router);
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.strangers, 1u);
  EXPECT_EQ(report.arcs_differing, 0u);
}

TEST_F(Verifier, FindsARecordThatOneOwnerLacks) {
  const std::string key = cluster.key(7);
  const Arc one{token_of_key(key) - 1, token_of_key(key)};
  for (const std::string& id : owners(key)) {
    cluster[id].inner().drop(std::span(&one, 1));
    const VerifyReport report = verify_cluster(cluster.router);
    EXPECT_EQ(report.ok(), id == owners(key)[1]) << "when both lack it there is nothing to find";
    if (id == owners(key)[0]) {
      EXPECT_EQ(report.arcs_differing, 1u);
      EXPECT_EQ(report.copies, 119u);
    }
  }
}

TEST_F(Verifier, FindsVersionsThatDiffer) {
  const std::string key = cluster.key(7);
  plant(owners(key)[0], {.key = key, .version = {static_cast<std::uint64_t>(-1), 0}, .vector = vector.data()});
  const VerifyReport report = verify_cluster(cluster.router);
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.arcs_differing, 1u);
  EXPECT_EQ(report.strangers, 0u);
}

TEST_F(Verifier, NamesShardsThatItLeftOut) {
  cluster.router.mark_down("s1");
  VerifyReport report = verify_cluster(cluster.router);
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.not_up, (std::vector<std::string>{"s1"}));
  EXPECT_EQ(report.unowned, 0u);
  EXPECT_EQ(report.keys, 60u);
  cluster.router.mark_down("s2");
  report = verify_cluster(cluster.router);
  EXPECT_GT(report.unowned, 0u);
  EXPECT_LT(report.keys, 60u);
}

TEST_F(Verifier, PassesOnWhatAShardThrows) {
  cluster["s2"].fail({Call::kDigest});
  expect_error(ErrorCode::kUnavailable, {"'s2'"}, [&] { (void)verify_cluster(cluster.router); });
}

TEST(VerifierOfNobody, FindsNothing) {
  TestCluster cluster(0, router_options(1));
  const VerifyReport report = verify_cluster(cluster.router);
  EXPECT_EQ(report.arcs, 0u);
  EXPECT_EQ(report.keys, 0u);
}

TEST(VerifierOfOne, ComparesTheWholeRing) {
  RouterOptions options = router_options(1);
  options.ring.virtual_nodes_per_weight = 1;
  TestCluster cluster(1, options);
  cluster.fill(10);
  const VerifyReport report = verify_cluster(cluster.router);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.arcs, 1u);
  EXPECT_EQ(report.keys, 10u);
}

}  // namespace
}  // namespace annulus::testing
