#include "shard/query_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>

namespace annulus {
namespace {

using Cover = std::vector<MemberIndex>;

struct Problem {
  std::shared_ptr<const Layout> layout;
  std::vector<MemberIndex> member_of;
  CoverProblem cover;

  Problem(const std::vector<Node>& nodes, std::size_t replicas, std::uint32_t virtual_nodes = 64)
      : layout(make_layout(ConsistentHasher({.virtual_nodes_per_weight = virtual_nodes}, nodes), replicas)),
        member_of(nodes.size()) {
    std::iota(member_of.begin(), member_of.end(), MemberIndex{0});
    cover = make_cover_problem(*layout, member_of, nodes.size());
  }
  QueryPlans plans(std::vector<bool> usable, IndexFamily family) const { return {cover, *layout, member_of, usable, family}; }
  QueryPlans plans(IndexFamily family) const { return plans(std::vector<bool>(member_of.size(), true), family); }

  // The part of the ring of which one of `members` holds each token, counted arc by arc.
  double held_by(const Cover& members) const {
    const auto tokens = layout->ring.tokens();
    Uint128 held = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto row = layout->table->row(i);
      if (std::none_of(row.begin(), row.end(), [&](NodeIndex n) { return std::find(members.begin(), members.end(), n) != members.end(); })) continue;
      held += Arc{tokens[(i + tokens.size() - 1) % tokens.size()], tokens[i]}.width();
    }
    return fraction_of(held, kRingWidth);
  }
};

std::vector<Node> nodes(std::size_t count, std::size_t zones = 0) {
  std::vector<Node> all;
  for (std::size_t i = 0; i < count; ++i) {
    all.push_back({.id = "n" + std::to_string(100 + i), .weight = 1.0, .zone = zones == 0 ? "" : "z" + std::to_string(i % zones)});
  }
  return all;
}

TEST(CoverProblem, NamesEachSetOfOwnersOnceWithItsShareOfTheRing) {
  const Problem problem(nodes(6), 3);
  Uint128 width = 0;
  std::set<Cover> seen;
  for (const auto& set : problem.cover.sets) {
    EXPECT_TRUE(std::is_sorted(set.owners.begin(), set.owners.end()));
    EXPECT_EQ(set.owners.size(), 3u);
    EXPECT_TRUE(seen.insert(set.owners).second);
    width += set.width;
  }
  EXPECT_TRUE(width == kRingWidth);
  double shares = 0;
  for (MemberIndex m = 0; m < 6; ++m) {
    EXPECT_DOUBLE_EQ(problem.cover.share[m], problem.layout->table->arcs_of(m).fraction());
    shares += problem.cover.share[m];
  }
  EXPECT_NEAR(shares, 3.0, 1e-12);
}

TEST(QueryPlans, OfAGraphAskTheFewestShardsThatHoldEverything) {
  for (std::size_t shards = 1; shards <= 8; ++shards) {
    for (std::size_t replicas = 1; replicas <= 3; ++replicas) {
      const Problem problem(nodes(shards), replicas);
      const QueryPlans plans = problem.plans(IndexFamily::kHnsw);
      EXPECT_EQ(plans.coverage(), 1.0);
      ASSERT_FALSE(plans.covers().empty());
      for (const Cover& cover : plans.covers()) {
        EXPECT_EQ(cover.size(), shards - std::min(replicas, shards) + 1) << shards << " shards, " << replicas << " replicas";
        EXPECT_EQ(problem.held_by(cover), 1.0);
      }
    }
  }
}

TEST(QueryPlans, AskOneZoneWhereZonesEqualReplicas) {
  for (const std::size_t zones : {std::size_t{2}, std::size_t{3}}) {
    const Problem problem(nodes(zones * 3, zones), zones);
    for (const IndexFamily family : {IndexFamily::kHnsw, IndexFamily::kFlat, IndexFamily::kIvf}) {
      const QueryPlans plans = problem.plans(family);
      EXPECT_EQ(plans.coverage(), 1.0);
      std::set<std::uint32_t> asked;
      for (const Cover& cover : plans.covers()) {
        EXPECT_EQ(cover.size(), 3u);
        EXPECT_EQ(problem.held_by(cover), 1.0);
        std::set<std::uint32_t> of_cover;
        for (const MemberIndex m : cover) of_cover.insert(problem.layout->ring.zone_of(m));
        EXPECT_EQ(of_cover.size(), 1u);
        asked.insert(of_cover.begin(), of_cover.end());
      }
      EXPECT_EQ(asked.size(), zones) << "the zones take turns";
    }
  }
}

TEST(QueryPlans, StateTheirCoverageExactlyWithShardsDown) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 60; ++round) {
    const std::size_t shards = 2 + random() % 7;
    const Problem problem(nodes(shards, random() % 2 == 0 ? 0 : 3), 1 + random() % 3, 16);
    std::vector<bool> usable(shards);
    Cover up;
    for (MemberIndex m = 0; m < shards; ++m) {
      usable[m] = random() % 2 == 0;
      if (usable[m]) up.push_back(m);
    }
    for (const IndexFamily family : {IndexFamily::kHnsw, IndexFamily::kFlat}) {
      const QueryPlans plans = problem.plans(usable, family);
      EXPECT_EQ(plans.coverage(), problem.held_by(up));
      EXPECT_EQ(plans.covers().empty(), up.empty());
      for (const Cover& cover : plans.covers()) {
        EXPECT_TRUE(std::all_of(cover.begin(), cover.end(), [&](MemberIndex m) { return usable[m]; }));
        EXPECT_EQ(problem.held_by(cover), plans.coverage());
      }
    }
  }
}

TEST(QueryPlans, TakeTurnsSoThatEachShardIsAskedAboutAsOften) {
  const Problem problem(nodes(5), 2);
  const QueryPlans plans = problem.plans(IndexFamily::kHnsw);
  std::map<MemberIndex, int> asked;
  for (int i = 0; i < 500; ++i) {
    for (const MemberIndex m : plans.next()) ++asked[m];
  }
  for (MemberIndex m = 0; m < 5; ++m) EXPECT_EQ(asked[m], 400) << m;
}

TEST(QueryPlans, PreferFewRowsWhereASearchIsLinearInThem) {
  // one large node holds a copy of nearly everything; two small ones share the rest
  const std::vector<Node> uneven = {{.id = "a", .weight = 8}, {.id = "b", .weight = 1}, {.id = "c", .weight = 1}};
  const Problem problem(uneven, 2);
  const auto rows = [&](const Cover& cover) {
    return std::accumulate(cover.begin(), cover.end(), 0.0, [&](double sum, MemberIndex m) { return sum + problem.cover.share[m]; });
  };
  // Both small ones hold everything that the large one does, and each key lies on two of three: any two shards are a cover.
  const QueryPlans plans = problem.plans(IndexFamily::kFlat);
  ASSERT_FALSE(plans.covers().empty());
  for (const Cover& cover : plans.covers()) EXPECT_LT(rows(cover), 1.3);
}

TEST(QueryPlans, OfAClusterWithoutAnyoneUpAreEmpty) {
  const Problem problem(nodes(3), 2);
  const QueryPlans plans = problem.plans({false, false, false}, IndexFamily::kFlat);
  EXPECT_EQ(plans.coverage(), 0.0);
  EXPECT_TRUE(plans.next().empty());
  EXPECT_TRUE(QueryPlans().next().empty());
}

TEST(QueryPlans, LeaveOutMembersThatOwnNothing) {
  // members 0 and 2 are the ring's nodes; member 1 waits for its resize
  const auto layout = make_layout(ConsistentHasher({.virtual_nodes_per_weight = 16}, nodes(2)), 1);
  const std::vector<MemberIndex> member_of = {0, 2};
  const CoverProblem problem = make_cover_problem(*layout, member_of, 3);
  EXPECT_EQ(problem.share[1], 0.0);
  const QueryPlans plans(problem, *layout, member_of, {true, true, true}, IndexFamily::kFlat);
  EXPECT_EQ(plans.covers(), std::vector<Cover>(1, Cover({0, 2})));
  EXPECT_EQ(plans.coverage(), 1.0);
}

}  // namespace
}  // namespace annulus
