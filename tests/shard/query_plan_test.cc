#include "shard/query_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>

namespace annulus {
namespace {

using Members = std::vector<MemberIndex>;

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
  QueryPlans plans(const std::vector<MemberUse>& uses, IndexFamily family) const { return {cover, *layout, member_of, uses, family}; }
  // Members are asked for their groups where there are any.
  QueryPlans plans(const std::vector<bool>& usable, IndexFamily family) const {
    std::vector<MemberUse> uses;
    const MemberUse use = family == IndexFamily::kHnsw ? MemberUse::kWhole : MemberUse::kGroups;
    for (const bool up : usable) uses.push_back(up ? use : MemberUse::kNone);
    return plans(uses, family);
  }
  QueryPlans plans(IndexFamily family) const { return plans(std::vector<bool>(member_of.size(), true), family); }

  double rows(const Cover& units) const {
    return std::accumulate(units.begin(), units.end(), 0.0, [&](double sum, const CoverUnit& unit) {
      return sum + (unit.groups == RowGroups::kAll ? cover.share : cover.primary_share)[unit.member];
    });
  }

  // The part of the ring that `units` hold, counted arc by arc.
  double held_by(const Cover& units) const {
    const auto tokens = layout->ring.tokens();
    Uint128 held = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto row = layout->table->row(i);
      const auto holds = [&](const CoverUnit& unit) {
        return member_of[row.front()] == unit.member ||
               (unit.groups == RowGroups::kAll && std::any_of(row.begin(), row.end(), [&](NodeIndex n) { return member_of[n] == unit.member; }));
      };
      if (std::none_of(units.begin(), units.end(), holds)) continue;
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

Cover whole(const Members& members) {
  Cover cover;
  for (const MemberIndex m : members) cover.push_back({m, RowGroups::kAll});
  return cover;
}

TEST(CoverProblem, NamesEachSetOfOwnersOnceForEachPrimaryWithItsShareOfTheRing) {
  const Problem problem(nodes(6), 3);
  Uint128 width = 0;
  std::set<Members> seen;
  for (const auto& set : problem.cover.sets) {
    EXPECT_TRUE(std::is_sorted(set.owners.begin() + 1, set.owners.end()));
    EXPECT_EQ(set.owners.size(), 3u);
    EXPECT_TRUE(seen.insert(set.owners).second);
    width += set.width;
  }
  EXPECT_TRUE(width == kRingWidth);
  double shares = 0, primary_shares = 0;
  for (MemberIndex m = 0; m < 6; ++m) {
    EXPECT_DOUBLE_EQ(problem.cover.share[m], problem.layout->table->arcs_of(m).fraction());
    EXPECT_DOUBLE_EQ(problem.cover.primary_share[m], problem.layout->table->primary_arcs_of(m).fraction());
    shares += problem.cover.share[m];
    primary_shares += problem.cover.primary_share[m];
  }
  EXPECT_NEAR(shares, 3.0, 1e-12);
  EXPECT_NEAR(primary_shares, 1.0, 1e-12);
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
        for (const CoverUnit& unit : cover) of_cover.insert(problem.layout->ring.zone_of(unit.member));
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
    Members up;
    for (MemberIndex m = 0; m < shards; ++m) {
      usable[m] = random() % 2 == 0;
      if (usable[m]) up.push_back(m);
    }
    for (const IndexFamily family : {IndexFamily::kHnsw, IndexFamily::kFlat}) {
      const QueryPlans plans = problem.plans(usable, family);
      EXPECT_EQ(plans.coverage(), problem.held_by(whole(up)));
      EXPECT_EQ(plans.covers().empty(), up.empty());
      for (const Cover& cover : plans.covers()) {
        EXPECT_TRUE(std::all_of(cover.begin(), cover.end(), [&](const CoverUnit& unit) { return usable[unit.member]; }));
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
    for (const CoverUnit& unit : plans.next()) ++asked[unit.member];
  }
  for (MemberIndex m = 0; m < 5; ++m) EXPECT_EQ(asked[m], 400) << m;
}

TEST(QueryPlans, PreferFewRowsWhereASearchIsLinearInThem) {
  // one large node holds a copy of nearly everything; two small ones share the rest
  const std::vector<Node> uneven = {{.id = "a", .weight = 8}, {.id = "b", .weight = 1}, {.id = "c", .weight = 1}};
  const Problem problem(uneven, 2);
  // Both small ones hold everything that the large one does, and each key lies on two of three: any two shards are a cover.
  const QueryPlans plans = problem.plans(std::vector<MemberUse>(3, MemberUse::kWhole), IndexFamily::kFlat);
  ASSERT_FALSE(plans.covers().empty());
  for (const Cover& cover : plans.covers()) EXPECT_LT(problem.rows(cover), 1.3);
}

TEST(QueryPlans, AskForThePrimaryRowsOfAllWhereASearchIsLinearInTheRows) {
  for (std::size_t shards = 3; shards <= 9; ++shards) {
    for (std::size_t replicas = 2; replicas < shards; ++replicas) {
      const Problem problem(nodes(shards), replicas);
      const QueryPlans plans = problem.plans(IndexFamily::kIvf);
      ASSERT_FALSE(plans.covers().empty());
      for (const Cover& cover : plans.covers()) {
        EXPECT_EQ(problem.held_by(cover), 1.0);
        EXPECT_LT(problem.rows(cover), 1.1) << shards << " shards, " << replicas << " replicas: each key is searched about once";
      }
    }
  }
  const Problem problem(nodes(8), 2);
  Cover primaries;
  for (MemberIndex m = 0; m < 8; ++m) primaries.push_back({m, RowGroups::kPrimary});
  EXPECT_EQ(problem.plans(IndexFamily::kIvf).covers(), std::vector<Cover>(1, primaries));
}

TEST(QueryPlans, SearchAMemberWholeOfWhichTheGroupsAreNotKnown) {
  const Problem problem(nodes(8), 2);
  std::vector<MemberUse> uses(8, MemberUse::kGroups);
  uses[3] = MemberUse::kWhole;
  const QueryPlans plans = problem.plans(uses, IndexFamily::kFlat);
  ASSERT_FALSE(plans.covers().empty());
  for (const Cover& cover : plans.covers()) {
    EXPECT_EQ(problem.held_by(cover), 1.0);
    EXPECT_LT(problem.rows(cover), 1.0 + problem.cover.share[3]);
    for (const CoverUnit& unit : cover) EXPECT_TRUE(unit.member != 3 || unit.groups == RowGroups::kAll);
  }
}

TEST(QueryPlans, CostLittleMoreThanTheBestOfAllCovers) {
  std::mt19937_64 random(17);
  double worst = 1;
  for (int round = 0; round < 120; ++round) {
    const std::size_t shards = 2 + random() % 5;
    const Problem problem(nodes(shards, random() % 2 == 0 ? 0 : 2), 1 + random() % 3, 8);
    std::vector<MemberUse> uses(shards);
    for (MemberUse& use : uses) use = random() % 5 == 0 ? MemberUse::kNone : random() % 5 == 0 ? MemberUse::kWhole : MemberUse::kGroups;
    const QueryPlans plans = problem.plans(uses, IndexFamily::kFlat);
    if (plans.covers().empty()) continue;
    // each member is asked for nothing, its primary rows, or all
    double best = std::numeric_limits<double>::infinity();
    const auto choices = static_cast<std::size_t>(std::pow(3, shards));
    for (std::size_t choice = 0; choice < choices; ++choice) {
      Cover cover;
      bool possible = true;
      std::size_t rest = choice;
      for (MemberIndex m = 0; m < shards; ++m, rest /= 3) {
        if (rest % 3 == 0) continue;
        cover.push_back({m, rest % 3 == 1 ? RowGroups::kPrimary : RowGroups::kAll});
        possible &= uses[m] == MemberUse::kGroups || (uses[m] == MemberUse::kWhole && rest % 3 == 2);
      }
      if (possible && problem.rows(cover) < best && problem.held_by(cover) == plans.coverage()) best = problem.rows(cover);
    }
    for (const Cover& cover : plans.covers()) {
      EXPECT_EQ(problem.held_by(cover), plans.coverage());
      EXPECT_GE(problem.rows(cover), best * (1 - 1e-9));
      worst = std::max(worst, problem.rows(cover) / best);
    }
  }
  EXPECT_LT(worst, 1.25) << "greedy, and covers within a tenth take turns";
}

TEST(QueryPlans, OfAClusterWithoutAnyoneUpAreEmpty) {
  const Problem problem(nodes(3), 2);
  const QueryPlans plans = problem.plans(std::vector<bool>(3, false), IndexFamily::kFlat);
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
  const QueryPlans plans(problem, *layout, member_of, std::vector<MemberUse>(3, MemberUse::kGroups), IndexFamily::kFlat);
  EXPECT_EQ(plans.covers(), std::vector<Cover>(1, whole({0, 2})));
  EXPECT_EQ(plans.coverage(), 1.0);
}

}  // namespace
}  // namespace annulus
