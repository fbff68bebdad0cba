#include "rebalance/rebalance_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "ring/replica_table.h"
#include "tests/core/expect_error.h"

namespace annulus::testing {
namespace {

using Names = std::vector<std::string>;

Names names(const RebalancePlan& plan, const std::vector<PlanNode>& nodes) {
  Names all;
  for (const PlanNode node : nodes) all.push_back(plan.nodes[node]);
  return all;
}

Names replicas(const ConsistentHasher& ring, Token token, std::size_t r) {
  Names all;
  for (const NodeIndex node : ring.replica_set(token, r).nodes) all.push_back(ring.node(node).id);
  return all;
}

Names without(Names names, const Names& others) {
  std::erase_if(names, [&](const std::string& name) { return std::find(others.begin(), others.end(), name) != others.end(); });
  return names;
}

struct Change {
  ConsistentHasher before, after;
  std::size_t r_before, r_after;
};

// A random change: several nodes at once join, leave or are re-weighted, and R may change.
Change random_change(std::mt19937_64& random) {
  ConsistentHasher before({.virtual_nodes_per_weight = 8});
  const std::size_t nodes = random() % 7;
  const bool zones = random() % 3 == 0;
  for (std::size_t i = 0; i < nodes; ++i) {
    before.add_node({.id = "n" + std::to_string(i), .weight = 0.5 + static_cast<double>(random() % 4), .zone = zones ? "z" + std::to_string(i % 2) : ""});
  }
  ConsistentHasher after = before.clone();
  for (std::size_t i = 0; i < nodes; ++i) {
    if (random() % 4 == 0) after.remove_node("n" + std::to_string(i));
    else if (random() % 4 == 0) after.set_weight("n" + std::to_string(i), 1.25);
  }
  for (std::size_t i = 0; i < random() % 3; ++i) after.add_node({.id = "new" + std::to_string(i), .weight = 1.0, .zone = zones ? "z2" : ""});
  return {before, after, 1 + random() % 3, 1 + random() % 3};
}

TEST(RebalancePlanner, TellsForEveryTokenWhoGainsAndWhoLosesIt) {
  std::mt19937_64 random(31);
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE("seed 31, round " + std::to_string(round));
    const Change c = random_change(random);
    const RebalancePlan plan = RebalancePlanner::plan(c.before, c.r_before, c.after, c.r_after);
    EXPECT_EQ(plan.replicas_before, c.r_before);
    EXPECT_EQ(plan.replicas_after, c.r_after);
    // every boundary of either ring, and its neighbours; and tokens between
    std::vector<Token> tokens = {0, static_cast<Token>(-1)};
    for (const auto& ring : {c.before, c.after}) {
      for (const Token token : ring.tokens()) tokens.insert(tokens.end(), {token - 1, token, token + 1});
    }
    for (int i = 0; i < 20; ++i) tokens.push_back(random());
    for (const Token token : tokens) {
      const Names olds = replicas(c.before, token, c.r_before), news = replicas(c.after, token, c.r_after);
      const ArcMove* found = nullptr;
      for (const ArcMove& move : plan.moves) {
        if (!move.arc.contains(token)) continue;
        ASSERT_EQ(found, nullptr) << "arcs are disjoint";
        found = &move;
      }
      const Names gained = without(news, olds), lost = without(olds, news);
      if (found == nullptr) {
        ASSERT_TRUE(gained.empty() && lost.empty()) << token;
        continue;
      }
      ASSERT_EQ(names(plan, found->sources), olds) << token;
      ASSERT_EQ(names(plan, found->owners), news) << token;
      ASSERT_EQ(names(plan, found->targets), gained) << token;
      ASSERT_EQ(names(plan, found->drops), lost) << token;
      for (const PlanNode target : found->targets) {
        ASSERT_EQ(std::count(found->sources.begin(), found->sources.end(), target), 0) << "a node is never its own source";
      }
    }
    ASSERT_TRUE(std::is_sorted(plan.nodes.begin(), plan.nodes.end()));
  }
}

TEST(RebalancePlanner, HasNothingToDoBetweenEqualRings) {
  std::mt19937_64 random(32);
  for (int round = 0; round < 20; ++round) {
    const Change c = random_change(random);
    EXPECT_TRUE(RebalancePlanner::plan(c.after, c.after.clone(), c.r_after).empty());
  }
}

TEST(RebalancePlanner, PlansTheWayBackAsTheInverse) {
  std::mt19937_64 random(33);
  for (int round = 0; round < 40; ++round) {
    const Change c = random_change(random);
    const RebalancePlan there = RebalancePlanner::plan(c.before, c.r_before, c.after, c.r_after);
    const RebalancePlan back = RebalancePlanner::plan(c.after, c.r_after, c.before, c.r_before);
    EXPECT_EQ(there.nodes, back.nodes);
    ASSERT_EQ(there.moves.size(), back.moves.size());
    const auto sorted = [](std::vector<PlanNode> nodes) {
      std::sort(nodes.begin(), nodes.end());
      return nodes;
    };
    for (std::size_t i = 0; i < there.moves.size(); ++i) {
      EXPECT_EQ(there.moves[i].arc, back.moves[i].arc);
      EXPECT_EQ(there.moves[i].sources, back.moves[i].owners);
      EXPECT_EQ(there.moves[i].owners, back.moves[i].sources);
      EXPECT_EQ(sorted(there.moves[i].targets), sorted(back.moves[i].drops));
      EXPECT_EQ(sorted(there.moves[i].drops), sorted(back.moves[i].targets));
    }
  }
}

TEST(RebalancePlanner, GivesTheFiguresOfAPlan) {
  ConsistentHasher before({.virtual_nodes_per_weight = 64});
  for (const char* id : {"a", "b", "c", "d"}) before.add_node({.id = id});
  ConsistentHasher after = before.clone();
  after.add_node({.id = "e"});
  const RebalancePlan plan = RebalancePlanner::plan(before, after, 2);
  const PlanStats stats = RebalancePlanner::stats(plan, 1000, 500);
  EXPECT_EQ(stats.arcs, plan.moves.size());
  EXPECT_NEAR(stats.ring.moved_fraction, 0.2, 0.06);
  EXPECT_EQ(stats.ring.moved_fraction, stats.ring.lower_bound_fraction);
  EXPECT_EQ(stats.ring.excess_fraction, 0.0);
  double width = 0;
  for (const ArcMove& move : plan.moves) width += move.arc.fraction() * static_cast<double>(move.targets.size());
  EXPECT_NEAR(stats.ring.moved_fraction, width / 2, 1e-9);
  EXPECT_EQ(stats.estimated_moves, static_cast<std::uint64_t>(std::llround(stats.ring.moved_fraction * 2000)));
  EXPECT_EQ(stats.estimated_bytes, static_cast<std::uint64_t>(std::llround(stats.ring.moved_fraction * 2000 * 500)));
  for (const NodeChange& node : stats.ring.nodes) {
    if (node.id == "e") {
      EXPECT_GT(node.gained, 0.0);
      EXPECT_EQ(node.lost, 0.0);
    } else {
      EXPECT_EQ(node.gained, 0.0) << "a join moves only to the joiner";
    }
  }
  EXPECT_EQ(RebalancePlanner::stats(RebalancePlanner::plan(before, before, 2), 1000, 1).estimated_moves, 0u);
}

TEST(RebalancePlanner, WarnsOfReplicasThatFindNoNodeOrNoZoneOfTheirOwn) {
  ConsistentHasher ring({.virtual_nodes_per_weight = 8});
  EXPECT_THAT(RebalancePlanner::plan(ring, ring, 1).warnings.at(0), ::testing::HasSubstr("no node"));
  ring.add_node({.id = "a", .weight = 1, .zone = "z"});
  const auto few = RebalancePlanner::plan(ring, ring, 3).warnings;
  ASSERT_EQ(few.size(), 1u);
  EXPECT_THAT(few[0], ::testing::AllOf(::testing::HasSubstr("1 replicas of 3"), ::testing::HasSubstr("1 nodes")));
  ring.add_node({.id = "b", .weight = 1, .zone = "z"});
  const auto zones = RebalancePlanner::plan(ring, ring, 2).warnings;
  ASSERT_EQ(zones.size(), 1u);
  EXPECT_THAT(zones[0], ::testing::AllOf(::testing::HasSubstr("share a zone"), ::testing::HasSubstr("1 zones for 2")));
  ring.add_node({.id = "c", .weight = 1, .zone = "y"});
  EXPECT_TRUE(RebalancePlanner::plan(ring, ring, 2).warnings.empty());
}

TEST(RebalancePlanner, PlansKeysWhosePrimaryMoves) {
  std::vector<std::string> texts;
  for (int i = 0; i < 3000; ++i) texts.push_back("key" + std::to_string(i));
  const std::vector<KeyView> keys(texts.begin(), texts.end());
  for (const std::uint32_t probes : {1u, 5u}) {
    ConsistentHasher before({.virtual_nodes_per_weight = 16, .probes = probes});
    for (const char* id : {"a", "b", "c"}) before.add_node({.id = id});
    ConsistentHasher after = before.clone();
    after.add_node({.id = "d"});
    const KeyPlan plan = RebalancePlanner::plan_moved(keys, before, after);
    EXPECT_EQ(plan.keys, 3000u);
    std::size_t next = 0;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::string from = before.node(before.primary(keys[i])).id, to = after.node(after.primary(keys[i])).id;
      if (from == to) continue;
      ASSERT_LT(next, plan.moves.size());
      EXPECT_EQ(plan.moves[next].key, i);
      EXPECT_EQ(plan.moves[next].from, from);
      EXPECT_EQ(plan.moves[next].to, "d") << "a join moves only to the joiner";
      ++next;
    }
    EXPECT_EQ(next, plan.moves.size());
    EXPECT_GT(next, 300u);
    EXPECT_DOUBLE_EQ(plan.moved_fraction, static_cast<double>(next) / 3000);
  }
}

TEST(RebalancePlanner, PlansKeysThatHadNoOwnerOrGetNone) {
  const ConsistentHasher empty;
  ConsistentHasher one;
  one.add_node({.id = "a"});
  const std::vector<KeyView> keys = {"x", "y"};
  const KeyPlan to = RebalancePlanner::plan_moved(keys, empty, one);
  ASSERT_EQ(to.moves.size(), 2u);
  EXPECT_EQ(to.moves[0].from, "");
  EXPECT_EQ(to.moves[0].to, "a");
  EXPECT_EQ(RebalancePlanner::plan_moved(keys, one, empty).moves[1].to, "");
  EXPECT_EQ(RebalancePlanner::plan_moved({}, one, empty).moved_fraction, 0.0);
}

TEST(RebalancePlanner, RefusesWhatCannotBePlanned) {
  ConsistentHasher ring, seeded({.seed = 7}), probes({.probes = 3});
  for (ConsistentHasher* r : {&ring, &seeded, &probes}) r->add_node({.id = "a"});
  expect_error(ErrorCode::kInvalidArgument, {"0"}, [&] { (void)RebalancePlanner::plan(ring, 0, ring, 1); });
  expect_error(ErrorCode::kInvalidArgument, {"0"}, [&] { (void)RebalancePlanner::plan(ring, 1, ring, 0); });
  expect_error(ErrorCode::kFailedPrecondition, {"seed"}, [&] { (void)RebalancePlanner::plan(ring, seeded, 1); });
  expect_error(ErrorCode::kUnimplemented, {"probes"}, [&] { (void)RebalancePlanner::plan(probes, probes, 1); });
}

}  // namespace
}  // namespace annulus::testing
