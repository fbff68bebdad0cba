#include "ring/ring_stats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "ring/replica_table.h"
#include "tests/ring/expect_error.h"
#include "tests/ring/ring_oracle.h"

namespace annulus {
namespace {

using oracle::some_nodes;

TEST(RingStats, SharesAddUpToOne) {
  for (const std::uint32_t probes : {1u, 2u}) {
    const ConsistentHasher ring(RingOptions{.probes = probes}, some_nodes(10));
    const RingStats stats = ring_stats(ring, 3, 5000);
    double shares = 0.0;
    double replica_shares = 0.0;
    for (const NodeShare& node : stats.nodes) {
      shares += node.share;
      replica_shares += node.replica_share;
      EXPECT_EQ(node.tokens, 256u);
    }
    EXPECT_NEAR(shares, 1.0, 1e-12);
    EXPECT_NEAR(replica_shares, 1.0, 1e-12);
    EXPECT_EQ(stats.tokens, 2560u);
    EXPECT_EQ(stats.replicas, 3u);
    EXPECT_EQ(stats.fingerprint, ring.fingerprint());
    EXPECT_EQ(stats.method, probes == 1 ? ShareMethod::kExact : ShareMethod::kSampled);
    EXPECT_EQ(stats.samples, probes == 1 ? 0u : 5000u);
  }
}

TEST(RingStats, SharesAreThoseOfTheArcs) {
  const std::vector<Node> nodes{{"a", 1.0, "x"}, {"b", 3.0, ""}, {"c", 0.5, "x"}};
  const ConsistentHasher ring({}, nodes);
  const RingStats stats = ring_stats(ring, 2);
  const ReplicaTable one(ring, 1);
  const ReplicaTable two(ring, 2);
  for (NodeIndex i = 0; i < 3; ++i) {
    EXPECT_EQ(stats.nodes[i].id, ring.node(i).id);
    EXPECT_EQ(stats.nodes[i].zone, ring.node(i).zone);
    EXPECT_EQ(stats.nodes[i].weight, ring.node(i).weight);
    EXPECT_EQ(stats.nodes[i].share, one.arcs_of(i).fraction());
    EXPECT_EQ(stats.nodes[i].replica_share, two.arcs_of(i).fraction() / 2);
  }
  EXPECT_EQ(stats.nodes[1].tokens, 768u);
}

TEST(RingStats, SpreadIsRelativeToWeight) {
  // Two places, one node: it has all that it should have.
  const RingStats one = ring_stats(ConsistentHasher({}, some_nodes(1)), 1);
  EXPECT_EQ(one.peak_to_average, 1.0);
  EXPECT_EQ(one.stddev, 0.0);
  EXPECT_EQ(one.theory_stddev, 1.0 / 16.0);

  const RingStats stats = ring_stats(ConsistentHasher({}, some_nodes(2)), 1);
  const double off = std::abs(stats.nodes[0].share * 2 - 1);
  EXPECT_NEAR(stats.stddev, off, 1e-12);
  EXPECT_NEAR(stats.peak_to_average, 1 + off, 1e-12);
  const ConsistentHasher probed(RingOptions{.virtual_nodes_per_weight = 100, .probes = 3}, some_nodes(2));
  EXPECT_NEAR(ring_stats(probed, 1, 100).theory_stddev, 1.0 / std::sqrt(500.0), 1e-12);
}

TEST(RingStats, SamplesComeNearTheArcs) {
  // The sampler on a ring whose nodes' parts are known: probes of one node, and of many.
  const ConsistentHasher ring(RingOptions{.virtual_nodes_per_weight = 64, .probes = 2}, some_nodes(4));
  const RingStats few = ring_stats(ring, 4, 20000);
  for (const NodeShare& node : few.nodes) {
    EXPECT_NEAR(node.share, 0.25, 0.06);
    EXPECT_EQ(node.replica_share, 0.25);  // at 4 replicas all hold all
  }
}

TEST(RingStats, OfARingWithoutNodesAreEmpty) {
  const RingStats stats = ring_stats(ConsistentHasher(), 2);
  EXPECT_TRUE(stats.nodes.empty());
  EXPECT_EQ(stats.tokens, 0u);
  EXPECT_EQ(stats.stddev, 0.0);
}

TEST(RingStats, RefuseNoReplicasAndNoSamples) {
  EXPECT_ERROR(ring_stats(ConsistentHasher({}, some_nodes(2)), 0), ErrorCode::kInvalidArgument, "0 replicas");
  EXPECT_ERROR(ring_stats(ConsistentHasher(RingOptions{.probes = 2}, some_nodes(2)), 1, 0), ErrorCode::kInvalidArgument,
               "0 samples", "2 probes");
}

}  // namespace
}  // namespace annulus
