// How evenly rings spread keys: as random tokens do, and in proportion to weight.
#include <gtest/gtest.h>

#include <cmath>
#include <ostream>
#include <string>
#include <vector>

#include "ring/ring_stats.h"
#include "tests/ring/ring_oracle.h"

namespace annulus {
namespace {

struct Spread {
  std::string name;
  std::size_t nodes;
  std::uint32_t virtual_nodes;
  std::uint32_t probes;

  friend std::ostream& operator<<(std::ostream& out, const Spread& it) { return out << it.name; }
};

class RingBalance : public ::testing::TestWithParam<Spread> {};

TEST_P(RingBalance, SpreadIsWithinATenthOfTheoryOver30Seeds) {
  const Spread& p = GetParam();
  constexpr std::size_t kSamples = 400'000;
  double variance = 0.0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const RingOptions options{.virtual_nodes_per_weight = p.virtual_nodes, .probes = p.probes, .seed = seed};
    const RingStats stats = ring_stats(ConsistentHasher(options, oracle::some_nodes(p.nodes)), 1, kSamples);
    variance += stats.stddev * stats.stddev / 30.0;
  }
  const double theory = 1.0 / std::sqrt(p.virtual_nodes * (2.0 * p.probes - 1.0));
  EXPECT_NEAR(std::sqrt(variance), theory, 0.1 * theory);
}

INSTANTIATE_TEST_SUITE_P(Rings, RingBalance,
                         ::testing::Values(Spread{"V64", 100, 64, 1}, Spread{"V160", 100, 160, 1}, Spread{"V256", 100, 256, 1},
                                           Spread{"V256On300Nodes", 300, 256, 1}, Spread{"V64P2", 100, 64, 2},
                                           Spread{"V32P3", 100, 32, 3}),
                         [](const auto& instance) { return instance.param.name; });

TEST(RingBalance, SharesFollowWeights) {
  std::vector<Node> nodes = oracle::some_nodes(60);
  double total = 0.0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].weight = i % 3 == 0 ? 0.5 : i % 3 == 1 ? 1.0 : 4.0;
    total += nodes[i].weight;
  }
  double shares[3] = {0.0, 0.0, 0.0};
  const RingStats stats = ring_stats(ConsistentHasher({}, nodes), 1);
  for (const NodeShare& node : stats.nodes) {
    const double fair = node.weight / total;
    EXPECT_NEAR(node.share, fair, 5.0 * fair / std::sqrt(static_cast<double>(node.tokens))) << node.id;
    shares[node.weight < 1.0 ? 0 : node.weight < 2.0 ? 1 : 2] += node.share;
  }
  EXPECT_NEAR(shares[0], 20 * 0.5 / total, 0.01);
  EXPECT_NEAR(shares[1], 20 * 1.0 / total, 0.02);
  EXPECT_NEAR(shares[2], 20 * 4.0 / total, 0.03);
}

TEST(RingBalance, KeysOfOnePatternSpreadAsTokensDo) {
  const ConsistentHasher ring({}, oracle::some_nodes(20));
  const RingStats stats = ring_stats(ring, 1);
  std::vector<double> counts(20);
  constexpr int kKeys = 200'000;
  for (int i = 0; i < kKeys; ++i) counts[ring.primary("user:" + std::to_string(i))] += 1.0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double expected = stats.nodes[i].share * kKeys;
    EXPECT_NEAR(counts[i], expected, 5.0 * std::sqrt(expected)) << stats.nodes[i].id;
  }
}

}  // namespace
}  // namespace annulus
