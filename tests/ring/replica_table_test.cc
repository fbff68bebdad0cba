#include "ring/replica_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "ring/placement.h"
#include "tests/ring/expect_error.h"
#include "tests/ring/ring_oracle.h"

namespace annulus {
namespace {

using oracle::some_nodes;

TEST(ReplicaSets, StateMissingNodes) {
  const ConsistentHasher ring({}, some_nodes(2));
  const ReplicaSet set = ring.replica_set("key", 5);
  EXPECT_EQ(set.nodes.size(), 2u);
  EXPECT_EQ(set.node_shortfall, 3u);
  EXPECT_EQ(set.zone_shortfall, 0u);
}

TEST(ReplicaSets, StateMissingZones) {
  const ConsistentHasher ring({}, some_nodes(8, 2));
  EXPECT_EQ(ring.replica_set("key", 2).zone_shortfall, 0u);
  const ReplicaSet set = ring.replica_set("key", 5);
  EXPECT_EQ(set.nodes.size(), 5u);
  EXPECT_EQ(set.node_shortfall, 0u);
  EXPECT_EQ(set.zone_shortfall, 3u);
  const ReplicaSet all = ring.replica_set("key", 10);
  EXPECT_EQ(all.node_shortfall, 2u);
  EXPECT_EQ(all.zone_shortfall, 6u);
}

TEST(ReplicaSets, OfNoReplicasAreEmpty) {
  const ConsistentHasher ring({}, some_nodes(2));
  EXPECT_TRUE(ring.replica_set("key", 0).nodes.empty());
  EXPECT_EQ(ring.replicas(7, {}), 0u);
}

TEST(ReplicaTable, StatesTheShortfallsOfTheRing) {
  const ReplicaTable table(ConsistentHasher({}, some_nodes(4, 2)), 6);
  EXPECT_EQ(table.requested_replicas(), 6u);
  EXPECT_EQ(table.num_replicas(), 4u);
  EXPECT_EQ(table.node_shortfall(), 2u);
  EXPECT_EQ(table.zone_shortfall(), 2u);
}

TEST(ReplicaTable, OfARingWithoutNodesIsEmpty) {
  const ReplicaTable table(ConsistentHasher(), 3);
  EXPECT_TRUE(table.replicas(5).empty());
  EXPECT_EQ(table.node_shortfall(), 3u);
  EXPECT_TRUE(table.arcs_of(0).empty());
  EXPECT_TRUE(table.primary_arcs_of(0).empty());
  EXPECT_TRUE(table.distinct_sets().empty());
}

TEST(ReplicaTable, RefusesNoReplicasAndSeveralProbes) {
  const ConsistentHasher ring({}, some_nodes(3));
  EXPECT_ERROR(ReplicaTable(ring, 0), ErrorCode::kInvalidArgument, "0 replicas");
  const ConsistentHasher probed(RingOptions{.probes = 2}, some_nodes(3));
  EXPECT_ERROR(ReplicaTable(probed, 1), ErrorCode::kUnimplemented, "2 probes");
  EXPECT_ERROR(make_layout(ring, 0), ErrorCode::kInvalidArgument, "0 replicas");
  EXPECT_ERROR(make_layout(probed, 2), ErrorCode::kUnimplemented, "2 probes");
}

TEST(ReplicaTable, OutlivesTheRingItWasMadeFrom) {
  ConsistentHasher ring({}, some_nodes(3));
  const ReplicaTable table(ring, 2);
  const std::vector<std::string> before = oracle::replicas(ring, 77, 2);
  ring.remove_node("a0");
  ring.remove_node("a1");
  EXPECT_EQ(oracle::ids(table.ring(), table.replicas(77)), before);
}

TEST(ReplicaTable, DescribesSharesOfAHandMadeRing) {
  // Two places on the ring, 0 and 2^63, and whoever is there.
  const ConsistentHasher ring = internal::narrow_ring(1, {.virtual_nodes_per_weight = 1}, some_nodes(6));
  ASSERT_EQ(ring.tokens().front(), 0u);
  ASSERT_EQ(ring.tokens().back(), Token{1} << 63);
  const ReplicaTable table(ring, 1);
  const NodeIndex first = ring.owners()[0];
  EXPECT_EQ(table.arcs_of(first).arcs(), (std::vector<Arc>{{Token{1} << 63, 0}}));
  EXPECT_EQ(table.distinct_sets().size(), 2u);
}

class Tables : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(Tables, ArcsAndSetsAddUpToTheLookups) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  std::mt19937_64 random(GetParam());
  for (int round = 0; round < 20; ++round) {
    const unsigned bits = random() % 2 == 0 ? 64 : 6;
    const std::vector<Node> nodes = oracle::random_nodes(random, 1 + random() % 12, random() % 4);
    const ConsistentHasher ring = internal::narrow_ring(bits, {.virtual_nodes_per_weight = 8, .seed = random()}, nodes);
    const std::size_t r = 1 + random() % 6;
    const ReplicaTable table(ring, r);
    std::vector<ArcSet> held;
    std::vector<ArcSet> led;
    for (NodeIndex i = 0; i < ring.num_nodes(); ++i) {
      held.push_back(table.arcs_of(i));
      led.push_back(table.primary_arcs_of(i));
    }
    for (const Token token : oracle::critical_tokens(ring, ring)) {
      const std::vector<NodeIndex> expected = ring.replica_set(token, r).nodes;
      ASSERT_TRUE(std::ranges::equal(table.replicas(token), expected)) << token;
      for (NodeIndex i = 0; i < ring.num_nodes(); ++i) {
        ASSERT_EQ(held[i].contains(token), std::ranges::count(expected, i) == 1) << token << " node " << i;
        ASSERT_EQ(led[i].contains(token), expected.front() == i) << token << " node " << i;
      }
    }
    std::vector<Uint128> widths(ring.num_nodes());
    Uint128 total = 0;
    std::set<std::vector<NodeIndex>> seen;
    for (const ReplicaTable::DistinctSet& set : table.distinct_sets()) {
      EXPECT_TRUE(seen.insert(set.nodes).second);
      total += set.width;
      for (const NodeIndex node : set.nodes) widths[node] += set.width;
    }
    EXPECT_TRUE(total == kRingWidth);
    for (NodeIndex i = 0; i < ring.num_nodes(); ++i) EXPECT_TRUE(widths[i] == held[i].width());
    EXPECT_TRUE(table.arcs_of(static_cast<NodeIndex>(ring.num_nodes())).empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Tables, ::testing::Range<std::uint64_t>(1, 6));

TEST(Layouts, HoldTheRingAndItsTable) {
  const ConsistentHasher ring({}, some_nodes(4));
  const std::shared_ptr<const Layout> layout = make_layout(ring, 2);
  EXPECT_EQ(layout->replicas, 2u);
  EXPECT_EQ(layout->ring.fingerprint(), ring.fingerprint());
  EXPECT_TRUE(std::ranges::equal(layout->table->replicas(9), ring.replica_set(Token{9}, 2).nodes));
  EXPECT_EQ(make_layout(ConsistentHasher(), 2)->table->num_replicas(), 0u);
}

}  // namespace
}  // namespace annulus
