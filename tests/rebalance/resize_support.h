// What the tests of a resize share.
#pragma once

#include "rebalance/cluster_verifier.h"
#include "rebalance/vector_rebalancer.h"
#include "tests/shard/test_cluster.h"

namespace annulus::testing {

inline std::string describe(const VerifyReport& report) {
  std::string text = std::to_string(report.arcs_differing) + " arcs differ, " + std::to_string(report.strangers) + " strangers, " +
                     std::to_string(report.unowned) + " unowned";
  for (const std::string& id : report.not_up) text += ", " + id + " is not up";
  return text;
}

/// Each live key is on exactly its owners, of equal versions, and the answers are those of the oracle.
inline void expect_in_order(TestCluster& cluster, std::size_t numbers) {
  const VerifyReport report = verify_cluster(cluster.router);
  ASSERT_TRUE(report.ok()) << describe(report);
  ASSERT_EQ(report.keys, cluster.oracle.live().size());
  const Placement placement = cluster.router.placement();
  ASSERT_EQ(report.copies, report.keys * placement.serving->table->num_replicas());
  ASSERT_EQ(cluster.router.control().stage(), ResizeStage::kNone);
  ASSERT_EQ(placement.serving, placement.target);
  ASSERT_EQ(cluster.router.size(), cluster.oracle.live().size());
  ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(numbers));
}

/// The report of a resize that nobody disturbed.
inline void expect_quiet_report(const ResizeReport& report, std::uint64_t keys, std::size_t replicas) {
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.stage, ResizeStage::kNone);
  EXPECT_TRUE(report.message.empty());
  EXPECT_EQ(report.keys, keys);
  EXPECT_EQ(report.moved, report.lower_bound);
  EXPECT_EQ(report.verified, report.moved);
  EXPECT_EQ(report.already_there, 0u);
  EXPECT_EQ(report.recopied, 0u);
  EXPECT_EQ(report.lost, 0u);
  EXPECT_TRUE(report.synchronised.empty());
  const double pairs = static_cast<double>(keys * replicas);
  EXPECT_DOUBLE_EQ(report.moved_fraction, static_cast<double>(report.moved) / pairs);
  EXPECT_DOUBLE_EQ(report.lower_bound_fraction, report.moved_fraction);
  std::uint64_t in = 0, out = 0, dropped = 0;
  for (const NodeFlow& node : report.nodes) {
    in += node.copied_in;
    out += node.copied_out;
    dropped += node.dropped;
  }
  EXPECT_EQ(in, report.moved);
  EXPECT_EQ(out, report.moved);
  EXPECT_EQ(dropped, report.dropped);
  EXPECT_TRUE(std::is_sorted(report.nodes.begin(), report.nodes.end(), [](const NodeFlow& a, const NodeFlow& b) { return a.id < b.id; }));
}

}  // namespace annulus::testing
