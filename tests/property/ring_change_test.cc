// What every change of a ring keeps: movement only to or from the changed node, and a result that knows no history.
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "ring/hash_ring.h"
#include "tests/ring/ring_oracle.h"

namespace annulus {
namespace {

using Ids = std::vector<std::string>;

Ids minus(Ids a, Ids b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  Ids difference;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(difference));
  return difference;
}

bool is_only(const Ids& ids, const std::string& id) { return ids.empty() || ids == Ids{id}; }

struct Shape {
  std::string name;
  std::uint32_t probes;
  unsigned token_bits;
  std::size_t zones;

  friend std::ostream& operator<<(std::ostream& out, const Shape& it) { return out << it.name; }
};

/// Several seeds for each shape of ring. Every elementary arc is looked at where ownership goes by arcs (critical tokens),
/// random tokens beside them for several probes.
class RingChanges : public ::testing::TestWithParam<Shape> {
 protected:
  struct Round {
    std::uint64_t seed;
    std::mt19937_64 random;
    ConsistentHasher ring;
    std::size_t r;
  };

  static std::vector<Token> places(const ConsistentHasher& a, const ConsistentHasher& b, std::mt19937_64& random) {
    std::vector<Token> tokens = oracle::critical_tokens(a, b);
    for (int i = 0; i < (GetParam().probes > 1 ? 1000 : 0); ++i) tokens.push_back(random());
    return tokens;
  }

  template <class Check>
  void each_round(Check check) {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      std::mt19937_64 random(seed);
      const RingOptions options{.virtual_nodes_per_weight = 12, .probes = GetParam().probes, .seed = random()};
      const std::vector<Node> nodes = oracle::random_nodes(random, 2 + random() % 10, GetParam().zones);
      Round round{seed, random, internal::narrow_ring(GetParam().token_bits, options, nodes), 1 + random() % 5};
      check(round);
      if (HasFatalFailure()) return;
    }
  }
};

TEST_P(RingChanges, AJoinMovesKeysOnlyToTheJoiner) {
  each_round([](Round& round) {
    ConsistentHasher after = round.ring.clone();
    after.add_node({"a5x", 1.3, "z1"});
    bool moved = false;
    for (const Token token : places(round.ring, after, round.random)) {
      const Ids before_ids = oracle::replicas(round.ring, token, round.r);
      const Ids after_ids = oracle::replicas(after, token, round.r);
      const Ids gained = minus(after_ids, before_ids);
      ASSERT_TRUE(is_only(gained, "a5x")) << token;
      ASSERT_LE(minus(before_ids, after_ids).size(), 1u) << token;
      if (gained.empty()) {
        ASSERT_EQ(before_ids, after_ids) << token;
      }
      moved |= !gained.empty();
    }
    // Where all places of a narrow ring are taken, smaller ids may leave the joiner nothing.
    ASSERT_TRUE(moved || GetParam().token_bits < 64);
  });
}

TEST_P(RingChanges, ALeaveMovesKeysOnlyFromTheLeaver) {
  each_round([](Round& round) {
    ConsistentHasher after = round.ring.clone();
    const std::string leaver = round.ring.node(static_cast<NodeIndex>(round.random() % round.ring.num_nodes())).id;
    after.remove_node(leaver);
    for (const Token token : places(round.ring, after, round.random)) {
      const Ids before_ids = oracle::replicas(round.ring, token, round.r);
      const Ids after_ids = oracle::replicas(after, token, round.r);
      const Ids lost = minus(before_ids, after_ids);
      ASSERT_TRUE(is_only(lost, leaver)) << token;
      ASSERT_LE(minus(after_ids, before_ids).size(), 1u) << token;
      if (lost.empty()) {
        ASSERT_EQ(before_ids, after_ids) << token;
      }
    }
  });
}

TEST_P(RingChanges, AWeightMovesKeysOnlyToOrFromItsNode) {
  each_round([](Round& round) {
    ConsistentHasher after = round.ring.clone();
    const Node changed = round.ring.node(static_cast<NodeIndex>(round.random() % round.ring.num_nodes()));
    const bool grows = round.seed % 2 == 0;
    after.set_weight(changed.id, grows ? changed.weight * 2.5 : changed.weight * 0.3);
    for (const Token token : places(round.ring, after, round.random)) {
      const Ids before_ids = oracle::replicas(round.ring, token, round.r);
      const Ids after_ids = oracle::replicas(after, token, round.r);
      ASSERT_TRUE(is_only(grows ? minus(after_ids, before_ids) : minus(before_ids, after_ids), changed.id)) << token;
      // As primary too, a key moves to the node that grows or from the one that shrinks.
      ASSERT_TRUE(before_ids[0] == after_ids[0] || (grows ? after_ids : before_ids)[0] == changed.id) << token;
    }
  });
}

TEST_P(RingChanges, AChangedRingIsTheRingMadeAnew) {
  each_round([](Round& round) {
    ConsistentHasher ring = round.ring.clone();
    std::vector<Node> nodes(ring.nodes().begin(), ring.nodes().end());
    for (int step = 0; step < 30; ++step) {
      const std::size_t which = nodes.empty() ? 0 : round.random() % nodes.size();
      const double weight = 0.05 + static_cast<double>(round.random() % 100) / 30.0;
      const auto action = nodes.empty() ? 0 : round.random() % 3;
      if (action == 0) {
        nodes.push_back({"s" + std::to_string(round.random() % 1000) + "." + std::to_string(step), weight,
                         round.random() % 2 == 0 ? "" : "z2"});
        ring.add_node(nodes.back());
      } else if (action == 1) {
        ring.remove_node(nodes[which].id);
        nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(which));
      } else {
        nodes[which].weight = weight;
        ring.set_weight(nodes[which].id, weight);
      }
      const ConsistentHasher anew = internal::narrow_ring(GetParam().token_bits, ring.options(), nodes);
      ASSERT_EQ(ring.to_bytes(), anew.to_bytes());
      ASSERT_TRUE(std::ranges::equal(ring.tokens(), anew.tokens()));
      ASSERT_TRUE(std::ranges::equal(ring.owners(), anew.owners()));
      ASSERT_TRUE(std::ranges::equal(ring.nodes(), anew.nodes()));
      ASSERT_EQ(ring.num_zones(), anew.num_zones());
      for (int i = 0; i < 20; ++i) {
        const Token token = round.random();
        ASSERT_EQ(ring.replica_set(token, 4).nodes, anew.replica_set(token, 4).nodes);
      }
    }
    const oracle::Ring slow(ring.options(), nodes, ring.token_bits());
    ASSERT_EQ(ring.num_tokens(), slow.tokens().size());
    for (std::size_t i = 0; i < ring.num_tokens(); ++i) {
      ASSERT_EQ(ring.tokens()[i], slow.tokens()[i].first);
      ASSERT_EQ(ring.node(ring.owners()[i]).id, slow.tokens()[i].second);
    }
  });
}

TEST_P(RingChanges, AddingAndRemovingANodeGivesTheSameBytes) {
  each_round([](Round& round) {
    ConsistentHasher ring = round.ring.clone();
    for (const char* id : {"a", "a3x", "zz"}) {  // before, among and after the others
      ring.add_node({id, 2.0, "z1"});
      ASSERT_NE(ring.to_bytes(), round.ring.to_bytes());
      ring.remove_node(id);
      ASSERT_EQ(ring.to_bytes(), round.ring.to_bytes());
      ASSERT_TRUE(std::ranges::equal(ring.tokens(), round.ring.tokens()));
      ASSERT_TRUE(std::ranges::equal(ring.owners(), round.ring.owners()));
    }
  });
}

TEST_P(RingChanges, EveryOrderOfAddsAndRemovesGivesTheSameBytes) {
  const RingOptions options{.virtual_nodes_per_weight = 6, .probes = GetParam().probes, .seed = 3};
  std::vector<Node> nodes = oracle::some_nodes(5, GetParam().zones);
  nodes[2].weight = 2.0;
  std::vector<std::size_t> order{0, 1, 2, 3, 4};
  const ConsistentHasher expected =
      internal::narrow_ring(GetParam().token_bits, options, std::vector<Node>(nodes.begin(), nodes.begin() + 3));
  do {
    ConsistentHasher ring = internal::narrow_ring(GetParam().token_bits, options, {});
    for (const std::size_t i : order) ring.add_node(nodes[i]);
    for (const std::size_t i : order) {  // the last two leave, in this order too
      if (i >= 3) ring.remove_node(nodes[i].id);
    }
    ASSERT_EQ(ring.to_bytes(), expected.to_bytes());
    ASSERT_TRUE(std::ranges::equal(ring.owners(), expected.owners()));
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_P(RingChanges, ReplicasAreDistinctAndTheFirstDoNotDependOnHowMany) {
  each_round([](Round& round) {
    const std::size_t n = round.ring.num_nodes();
    for (const Token token : places(round.ring, round.ring, round.random)) {
      const ReplicaSet all = round.ring.replica_set(token, n + 2);
      ASSERT_EQ(all.nodes.size(), n);
      ASSERT_EQ(all.node_shortfall, 2u);
      std::vector<NodeIndex> sorted = all.nodes;
      std::sort(sorted.begin(), sorted.end());
      ASSERT_EQ(std::unique(sorted.begin(), sorted.end()), sorted.end());
      std::vector<std::uint32_t> zones;
      for (std::size_t r = 0; r <= n; ++r) {
        const ReplicaSet some = round.ring.replica_set(token, r);
        ASSERT_TRUE(std::equal(some.nodes.begin(), some.nodes.end(), all.nodes.begin()));
        if (r > 0) zones.push_back(round.ring.zone_of(all.nodes[r - 1]));
        std::vector<std::uint32_t> distinct = zones;
        std::sort(distinct.begin(), distinct.end());
        distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
        ASSERT_EQ(distinct.size(), std::min(r, round.ring.num_zones()));  // distinct zones while zones last
        ASSERT_EQ(some.zone_shortfall, r - distinct.size());
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Rings, RingChanges,
                         ::testing::Values(Shape{"Plain", 1, 64, 0}, Shape{"Zones", 1, 64, 3}, Shape{"EqualTokens", 1, 5, 0},
                                           Shape{"EqualTokensAndZones", 1, 4, 2}, Shape{"Probes", 3, 64, 0},
                                           Shape{"ProbesAndZones", 2, 64, 2}, Shape{"ProbesAndEqualTokens", 2, 5, 0}),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace annulus
