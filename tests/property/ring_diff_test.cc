// The difference of two rings, applied to the one, gives the other: on every arc and at its ends.
#include "ring/ring_diff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "ring/replica_table.h"
#include "tests/ring/ring_oracle.h"

namespace annulus {
namespace {

using Ids = std::vector<std::string>;

/// The replica list of a token by the old ring and the diff alone.
Ids apply(const ConsistentHasher& before, std::size_t r_before, const RingDiff& d, Token token, int& hits) {
  Ids result = oracle::replicas(before, token, r_before);
  hits = 0;
  for (const ArcChange& change : d.changes) {
    if (!change.arc.contains(token)) continue;
    ++hits;
    EXPECT_EQ(oracle::ids(d.before, change.old_set), result);
    result = oracle::ids(d.after, change.new_set);
  }
  return result;
}

void check_parts(const RingDiff& d, const ArcChange& change) {
  const Ids old_ids = oracle::ids(d.before, change.old_set);
  const Ids new_ids = oracle::ids(d.after, change.new_set);
  Ids gained;
  Ids lost;
  bool rank_changed = false;
  for (std::size_t i = 0; i < new_ids.size(); ++i) {
    const auto at = std::ranges::find(old_ids, new_ids[i]);
    if (at == old_ids.end()) gained.push_back(new_ids[i]);
    if (at != old_ids.end() && at - old_ids.begin() != static_cast<std::ptrdiff_t>(i)) rank_changed = true;
  }
  for (const std::string& id : old_ids) {
    if (std::ranges::find(new_ids, id) == new_ids.end()) lost.push_back(id);
  }
  ASSERT_NE(old_ids, new_ids);
  ASSERT_EQ(oracle::ids(d.after, change.gained), gained);
  ASSERT_EQ(oracle::ids(d.before, change.lost), lost);
  ASSERT_EQ(change.rank_changed, rank_changed);
}

/// Some of: nodes join, leave, change weight, change zone.
ConsistentHasher changed(const ConsistentHasher& before, std::mt19937_64& random, std::size_t zones) {
  ConsistentHasher after = before.clone();
  for (const Node& node : before.nodes()) {
    const auto fate = random() % 8;
    if (fate == 0) after.remove_node(node.id);
    if (fate == 1) after.set_weight(node.id, node.weight * (random() % 2 == 0 ? 2.0 : 0.5));
    if (fate == 2 && zones > 0) {
      after.remove_node(node.id);
      after.add_node({node.id, node.weight, node.zone.empty() ? "z1" : ""});
    }
  }
  for (std::size_t i = random() % 3; i-- > 0;) after.add_node({"new" + std::to_string(i), 1.0, zones == 0 ? "" : "z2"});
  return after;
}

class RingDiffs : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(RingDiffs, AppliedToTheOldRingGiveTheNewOne) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  std::mt19937_64 random(GetParam());
  for (int round = 0; round < 25; ++round) {
    const std::size_t zones = random() % 4;
    const unsigned bits = random() % 2 == 0 ? 64 : 5;
    const RingOptions options{.virtual_nodes_per_weight = 6, .seed = random()};
    const ConsistentHasher before = internal::narrow_ring(bits, options, oracle::random_nodes(random, random() % 9, zones));
    const ConsistentHasher after = changed(before, random, zones);
    const std::size_t r_before = 1 + random() % 4;
    const std::size_t r_after = random() % 3 == 0 ? 1 + random() % 4 : r_before;
    const RingDiff d = diff(before, r_before, after, r_after);
    const RingDiff inverse = diff(after, r_after, before, r_before);

    for (const ArcChange& change : d.changes) check_parts(d, change);
    for (const Token token : oracle::critical_tokens(before, after)) {
      int hits = 0;
      ASSERT_EQ(apply(before, r_before, d, token, hits), oracle::replicas(after, token, r_after)) << token;
      ASSERT_LE(hits, 1) << "arcs overlap at " << token;
      ASSERT_EQ(apply(after, r_after, inverse, token, hits), oracle::replicas(before, token, r_before)) << token;
    }
    // In clockwise order, and no two neighbours that could be one.
    for (std::size_t i = 0; i + 1 < d.changes.size(); ++i) {
      ASSERT_LE(d.changes[i].arc.hi, d.changes[i + 1].arc.lo);
      ASSERT_LT(d.changes[i].arc.lo, d.changes[i].arc.hi);
    }
    for (std::size_t i = 0; d.changes.size() > 1 && i < d.changes.size(); ++i) {
      const ArcChange& next = d.changes[(i + 1) % d.changes.size()];
      ASSERT_FALSE(d.changes[i].arc.hi == next.arc.lo && d.changes[i].old_set == next.old_set &&
                   d.changes[i].new_set == next.new_set);
    }
    ASSERT_TRUE(d.moved_width() == d.lower_bound_width());
    if (zones == 0) {
      ASSERT_TRUE(d.excess_width() == 0);
    }
  }
}

TEST_P(RingDiffs, CountWhatEachNodeTakesAndGives) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  std::mt19937_64 random(GetParam());
  const RingOptions options{.virtual_nodes_per_weight = 20, .seed = random()};
  const ConsistentHasher before(options, oracle::random_nodes(random, 8, 2));
  const ConsistentHasher after = changed(before, random, 2);
  const RingDiff d = diff(before, 2, after, 3);
  const DiffStats stats = d.stats();
  const ReplicaTable old_table(before, 2);
  const ReplicaTable new_table(after, 3);
  double gained = 0.0;
  for (const NodeChange& node : stats.nodes) {
    const ArcSet had = before.index_of(node.id) ? old_table.arcs_of(*before.index_of(node.id)) : ArcSet();
    const ArcSet has = after.index_of(node.id) ? new_table.arcs_of(*after.index_of(node.id)) : ArcSet();
    EXPECT_NEAR(node.gained, has.intersected(had.complement()).fraction() / 3, 1e-12) << node.id;
    EXPECT_NEAR(node.lost, had.intersected(has.complement()).fraction() / 3, 1e-12) << node.id;
    gained += node.gained;
  }
  EXPECT_NEAR(gained, stats.moved_fraction, 1e-12);
  EXPECT_EQ(stats.moved_fraction, stats.lower_bound_fraction);
  EXPECT_GE(stats.moved_fraction, stats.excess_fraction);
  for (std::size_t i = 1; i < stats.nodes.size(); ++i) EXPECT_LT(stats.nodes[i - 1].id, stats.nodes[i].id);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RingDiffs, ::testing::Range<std::uint64_t>(1, 9));

}  // namespace
}  // namespace annulus
