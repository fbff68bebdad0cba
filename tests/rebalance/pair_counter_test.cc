#include "rebalance/pair_counter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace annulus {
namespace {

ConsistentHasher ring_of(const std::vector<std::string>& ids) {
  std::vector<Node> nodes;
  for (const std::string& id : ids) nodes.push_back({.id = id});
  return ConsistentHasher({.virtual_nodes_per_weight = 32}, nodes);
}

std::set<std::string> owners(const ConsistentHasher& ring, Token token, std::size_t replicas) {
  std::set<std::string> ids;
  for (const NodeIndex node : ring.replica_set(token, replicas).nodes) ids.insert(ring.node(node).id);
  return ids;
}

TEST(PairCounter, CountsWhatEntersAndLeavesTheReplicaSets) {
  const ConsistentHasher before = ring_of({"a", "b", "c", "d"});
  const ConsistentHasher after = ring_of({"b", "c", "d", "e", "f"});  // positions of nodes differ in the two rings
  for (const auto& [old_replicas, new_replicas] : {std::pair{1, 1}, {2, 2}, {1, 3}, {3, 2}, {9, 9}}) {
    PairCounter pairs(RebalancePlanner::plan(before, old_replicas, after, new_replicas));
    std::mt19937_64 random(11);
    std::uint64_t to_copy = 0;
    std::uint64_t to_drop = 0;
    for (int i = 0; i < 2000; ++i) {
      const Token token = random();
      const std::set<std::string> olds = owners(before, token, old_replicas);
      const std::set<std::string> news = owners(after, token, new_replicas);
      to_copy += std::ranges::count_if(news, [&](const std::string& id) { return !olds.contains(id); });
      to_drop += std::ranges::count_if(olds, [&](const std::string& id) { return !news.contains(id); });
      pairs.add(token);
    }
    EXPECT_EQ(pairs.keys(), 2000u);
    EXPECT_EQ(pairs.to_copy(), to_copy) << old_replicas << " to " << new_replicas;
    EXPECT_EQ(pairs.to_drop(), to_drop) << old_replicas << " to " << new_replicas;
    EXPECT_GT(to_copy, 0u);
  }
}

TEST(PairCounter, CountsNothingBetweenEqualRings) {
  const ConsistentHasher ring = ring_of({"a", "b", "c"});
  PairCounter pairs(RebalancePlanner::plan(ring, ring, 2));
  for (Token token = 0; token < 100; ++token) pairs.add(token << 57);
  EXPECT_EQ(pairs.to_copy(), 0u);
  EXPECT_EQ(pairs.to_drop(), 0u);
}

TEST(PairCounter, CountsAllPairsOfANewCluster) {
  PairCounter pairs(RebalancePlanner::plan(ring_of({}), ring_of({"a", "b", "c"}), 2));
  for (Token token = 0; token < 10; ++token) pairs.add(token << 60);
  EXPECT_EQ(pairs.to_copy(), 20u);
  EXPECT_EQ(pairs.to_drop(), 0u);
}

}  // namespace
}  // namespace annulus
