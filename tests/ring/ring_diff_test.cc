#include "ring/ring_diff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/ring/expect_error.h"
#include "tests/ring/ring_oracle.h"

namespace annulus {
namespace {

using oracle::some_nodes;

ConsistentHasher with(ConsistentHasher ring, Node node) {
  ring.add_node(std::move(node));
  return ring;
}
ConsistentHasher without(ConsistentHasher ring, std::string_view id) {
  ring.remove_node(id);
  return ring;
}
ConsistentHasher reweighted(ConsistentHasher ring, std::string_view id, double weight) {
  ring.set_weight(id, weight);
  return ring;
}

TEST(RingDiff, OfARingAndItselfIsEmpty) {
  const ConsistentHasher ring({}, some_nodes(5, 2));
  const RingDiff d = diff(ring, ring, 3);
  EXPECT_TRUE(d.changes.empty());
  const DiffStats stats = d.stats();
  EXPECT_EQ(stats.moved_fraction, 0.0);
  EXPECT_EQ(stats.lower_bound_fraction, 0.0);
  EXPECT_EQ(stats.ideal_fraction, 0.0);
  EXPECT_EQ(stats.excess_fraction, 0.0);
  EXPECT_EQ(stats.nodes.size(), 5u);
}

TEST(RingDiff, OfTwoEmptyRingsIsEmpty) {
  const RingDiff d = diff(ConsistentHasher(), ConsistentHasher(), 2);
  EXPECT_TRUE(d.changes.empty());
  EXPECT_EQ(d.stats().moved_fraction, 0.0);
  EXPECT_EQ(d.stats().lower_bound_fraction, 0.0);
}

TEST(RingDiff, FromNothingMovesEverythingThatThereIs) {
  const ConsistentHasher full({}, some_nodes(3));
  const RingDiff in = diff(ConsistentHasher(), full, 2);
  EXPECT_EQ(in.stats().moved_fraction, 1.0);
  EXPECT_EQ(in.stats().lower_bound_fraction, 1.0);
  EXPECT_EQ(in.stats().ideal_fraction, 1.0);
  EXPECT_EQ(in.stats().excess_fraction, 0.0);
  const RingDiff out = diff(full, ConsistentHasher(), 2);
  EXPECT_EQ(out.stats().moved_fraction, 0.0);
  Uint128 width = 0;
  for (const ArcChange& change : out.changes) {
    EXPECT_EQ(change.lost, change.old_set);
    EXPECT_TRUE(change.new_set.empty());
    width += change.arc.width();
  }
  EXPECT_TRUE(width == kRingWidth);
}

TEST(RingDiff, OfOneNodeReplacingAnotherIsTheWholeRingInOneArc) {
  const RingDiff d = diff(ConsistentHasher({}, some_nodes(1, 0, "old")), ConsistentHasher({}, some_nodes(1, 0, "new")), 1);
  ASSERT_EQ(d.changes.size(), 1u);
  EXPECT_TRUE(d.changes[0].arc.is_whole());
  EXPECT_EQ(d.changes[0].gained, std::vector<NodeIndex>{0});
  EXPECT_EQ(d.changes[0].lost, std::vector<NodeIndex>{0});
  EXPECT_FALSE(d.changes[0].rank_changed);
  const DiffStats stats = d.stats();
  ASSERT_EQ(stats.nodes.size(), 2u);
  EXPECT_EQ(stats.nodes[0].id, "new0");
  EXPECT_EQ(stats.nodes[0].gained, 1.0);
  EXPECT_EQ(stats.nodes[0].lost, 0.0);
  EXPECT_EQ(stats.nodes[1].id, "old0");
  EXPECT_EQ(stats.nodes[1].lost, 1.0);
}

TEST(RingDiff, SeesChangesOfRankAlone) {
  // All nodes hold all keys, so a weight moves nothing, and yet the primary changes somewhere.
  const ConsistentHasher before({}, some_nodes(3));
  const RingDiff d = diff(before, reweighted(before, "a1", 2.0), 3);
  EXPECT_FALSE(d.changes.empty());
  for (const ArcChange& change : d.changes) {
    EXPECT_TRUE(change.rank_changed);
    EXPECT_TRUE(change.gained.empty());
    EXPECT_TRUE(change.lost.empty());
    EXPECT_NE(change.old_set, change.new_set);
  }
  EXPECT_EQ(d.stats().moved_fraction, 0.0);
  EXPECT_EQ(d.stats().ideal_fraction, 0.0);
}

TEST(RingDiff, CountsPairsOverTheNewNumberOfReplicas) {
  const ConsistentHasher ring({}, some_nodes(5));
  const DiffStats more = diff(ring, 1, ring, 3).stats();
  EXPECT_DOUBLE_EQ(more.moved_fraction, 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(more.lower_bound_fraction, 2.0 / 3.0);
  EXPECT_NEAR(more.ideal_fraction, 2.0 / 3.0, 1e-12);
  EXPECT_EQ(more.excess_fraction, 0.0);
  const RingDiff fewer = diff(ring, 3, ring, 1);
  EXPECT_EQ(fewer.stats().moved_fraction, 0.0);
  double lost = 0.0;
  for (const NodeChange& node : fewer.stats().nodes) lost += node.lost;
  EXPECT_NEAR(lost, 2.0, 1e-12);
}

TEST(RingDiff, MovesNothingThatPassesBetweenOldNodesWhenOneJoins) {
  for (const std::size_t zones : {std::size_t{0}, std::size_t{3}}) {
    const ConsistentHasher before(RingOptions{.virtual_nodes_per_weight = 160}, some_nodes(100, zones));
    const RingDiff d = diff(before, with(before, {"joiner", 1.0, zones == 0 ? "" : "z0"}), 3);
    EXPECT_TRUE(d.excess_width() == 0);
    EXPECT_TRUE(d.moved_width() == d.lower_bound_width());
    EXPECT_TRUE(d.moved_width() > 0);
    const DiffStats stats = d.stats();
    EXPECT_NEAR(stats.moved_fraction, 1.0 / 101, 0.25 / 101);
    EXPECT_NEAR(stats.ideal_fraction, 1.0 / 101, 1e-12);
    for (const NodeChange& node : stats.nodes) {
      if (node.id == "joiner") {
        EXPECT_EQ(node.gained, stats.moved_fraction);
        EXPECT_EQ(node.lost, 0.0);
      } else {
        EXPECT_EQ(node.gained, 0.0) << node.id;
      }
    }
  }
}

TEST(RingDiff, CountsExcessWhereUntouchedNodesSwap) {
  // Where b is replaced by a, and both come before c and d: {b, d} becomes {a, c}, because a's zone is d's and no longer
  // c's. c and d were not touched, and a copy passes from d to c. Some seed puts a and b there.
  const std::vector<Node> before{{"b", 1, "z2"}, {"c", 1, "z2"}, {"d", 1, "z1"}};
  const std::vector<Node> after{{"a", 1, "z1"}, {"c", 1, "z2"}, {"d", 1, "z1"}};
  bool seen = false;
  for (std::uint64_t seed = 0; seed < 64 && !seen; ++seed) {
    const RingOptions options{.virtual_nodes_per_weight = 1, .seed = seed};
    const RingDiff d = diff(ConsistentHasher(options, before), ConsistentHasher(options, after), 2);
    Uint128 swapped = 0;
    for (const ArcChange& change : d.changes) {
      // Two gained and two lost are a and c for b and d: nothing else can pass all four.
      if (change.gained.size() == 2 && change.lost.size() == 2) swapped += change.arc.width();
    }
    EXPECT_TRUE(d.excess_width() == swapped) << "seed " << seed;
    seen = swapped > 0;
    if (seen) {
      EXPECT_GT(d.stats().excess_fraction, 0.0);
    }
  }
  EXPECT_TRUE(seen);
}

TEST(RingDiff, IdealIsTheMovementThatSharesByWeightDemand) {
  const ConsistentHasher three({}, some_nodes(3));
  EXPECT_NEAR(diff(three, with(three, {"b"}), 1).stats().ideal_fraction, 1.0 / 4, 1e-12);
  EXPECT_NEAR(diff(three, with(three, {"b", 3.0}), 1).stats().ideal_fraction, 1.0 / 2, 1e-12);
  EXPECT_NEAR(diff(three, without(three, "a0"), 1).stats().ideal_fraction, 1.0 / 3, 1e-12);
  EXPECT_NEAR(diff(three, reweighted(three, "a0", 2.0), 1).stats().ideal_fraction, 1.0 / 2 - 1.0 / 3, 1e-12);
  const ConsistentHasher two({}, some_nodes(2));
  EXPECT_NEAR(diff(two, with(two, {"b"}), 2).stats().ideal_fraction, 1.0 / 3, 1e-12);
}

TEST(RingDiff, IdealCapsANodeAtOneReplicaOfEachKey) {
  // Weights 10, 1, 1 at R = 2: the heavy one holds every key (half of the pairs), the others half of the keys each.
  const std::vector<Node> nodes{{"heavy", 10.0}, {"x"}, {"y"}};
  const ConsistentHasher before({}, nodes);
  // One more light node: loads 1, 1/2, 1/2 -> 1, 1/3, 1/3, 1/3 of the keys; a third of the keys is a sixth of the pairs.
  EXPECT_NEAR(diff(before, with(before, {"z"}), 2).stats().ideal_fraction, 1.0 / 6, 1e-12);
  // The heavy one is capped before and after, so its weight moves nothing.
  EXPECT_NEAR(diff(before, reweighted(before, "heavy", 20.0), 2).stats().ideal_fraction, 0.0, 1e-12);
  // R = 3: all hold everything.
  EXPECT_EQ(diff(before, reweighted(before, "heavy", 20.0), 3).stats().ideal_fraction, 0.0);
}

TEST(RingDiff, RefusesRingsOfOtherRules) {
  const std::vector<Node> nodes = some_nodes(3);
  const ConsistentHasher ring({}, nodes);
  EXPECT_ERROR(diff(ring, ConsistentHasher(RingOptions{.seed = 5}, nodes), 2), ErrorCode::kFailedPrecondition, "before has seed 0",
               "after has seed 5", "same RingOptions");
  EXPECT_ERROR(diff(ring, ConsistentHasher(RingOptions{.virtual_nodes_per_weight = 8}, nodes), 2), ErrorCode::kFailedPrecondition,
               "256 virtual nodes", "8 virtual nodes");
  EXPECT_ERROR(diff(ring, internal::narrow_ring(8, {}, nodes), 2), ErrorCode::kFailedPrecondition, "64 token bits", "8 token bits");
  EXPECT_ERROR(diff(ring, ConsistentHasher(RingOptions{.probes = 2}, nodes), 2), ErrorCode::kFailedPrecondition, "1 probes",
               "2 probes");
}

TEST(RingDiff, RefusesSeveralProbesAndNoReplicas) {
  const ConsistentHasher probed(RingOptions{.probes = 2}, some_nodes(3));
  EXPECT_ERROR(diff(probed, probed, 2), ErrorCode::kUnimplemented, "2 probes", "plan by keys");
  const ConsistentHasher ring({}, some_nodes(3));
  EXPECT_ERROR(diff(ring, ring, 0), ErrorCode::kInvalidArgument, "0 replicas");
  EXPECT_ERROR(diff(ring, 2, ring, 0), ErrorCode::kInvalidArgument, "0 replicas");
  EXPECT_ERROR(diff(ring, 0, ring, 2), ErrorCode::kInvalidArgument, "0 replicas");
}

}  // namespace
}  // namespace annulus
