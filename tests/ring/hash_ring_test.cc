#include "ring/hash_ring.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "tests/ring/expect_error.h"
#include "tests/ring/ring_oracle.h"

namespace annulus {
namespace {

using oracle::some_nodes;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Runs a call that must throw, and checks that the ring is what it was.
#define EXPECT_REFUSED(ring, call, ...)                 \
  do {                                                  \
    const std::string bytes_before = (ring).to_bytes(); \
    EXPECT_ERROR((ring).call, __VA_ARGS__);             \
    EXPECT_EQ((ring).to_bytes(), bytes_before);         \
    EXPECT_LT((ring).primary("k"), (ring).num_nodes()); \
  } while (false)

TEST(HashRing, WithoutNodesAnswersNoNode) {
  const ConsistentHasher ring;
  EXPECT_EQ(ring.num_nodes(), 0u);
  EXPECT_EQ(ring.num_tokens(), 0u);
  EXPECT_EQ(ring.num_zones(), 0u);
  EXPECT_EQ(ring.primary("key"), kNoNode);
  EXPECT_EQ(ring.primary_of_token(0), kNoNode);
  EXPECT_EQ(ring.primary_of_token(~Token{0}), kNoNode);
  EXPECT_EQ(ring.lower_bound(5), 0u);
  EXPECT_EQ(ring.bytes_per_token(), 0.0);
  NodeIndex out[2] = {7, 7};
  EXPECT_EQ(ring.replicas(5, out), 0u);
  EXPECT_EQ(out[0], 7u);
  EXPECT_EQ(ring.replica_set("key", 3).node_shortfall, 3u);
  EXPECT_EQ(ring.replica_set("key", 3).zone_shortfall, 0u);
  EXPECT_FALSE(ring.index_of("a").has_value());
}

TEST(HashRing, WithoutNodesAnswersNoNodeWithSeveralProbesToo) {
  const ConsistentHasher ring(RingOptions{.probes = 3});
  NodeIndex out[2];
  EXPECT_EQ(ring.primary("key"), kNoNode);
  EXPECT_EQ(ring.replicas(5, out), 0u);
}

TEST(HashRing, OfOneNodeGivesItEverything) {
  const ConsistentHasher ring({}, some_nodes(1));
  EXPECT_EQ(ring.num_tokens(), 256u);
  for (const Token token : oracle::critical_tokens(ring, ring)) ASSERT_EQ(ring.primary_of_token(token), 0u);
}

TEST(HashRing, IndexesNodesByIdInWhateverOrderTheyCome) {
  ConsistentHasher ring;
  ring.add_node({"c"});
  ring.add_node({"a"});
  ring.add_node({"b"});
  EXPECT_EQ(ring.index_of("a"), 0u);
  EXPECT_EQ(ring.index_of("b"), 1u);
  EXPECT_EQ(ring.index_of("c"), 2u);
  EXPECT_EQ(ring.node(1).id, "b");
  EXPECT_FALSE(ring.index_of("ab").has_value());
}

TEST(HashRing, GivesANodeTokensByItsWeight) {
  ConsistentHasher ring(RingOptions{.virtual_nodes_per_weight = 100});
  ring.add_node({"one"});
  EXPECT_EQ(ring.num_tokens(), 100u);
  ring.add_node({"half more", 1.504});
  EXPECT_EQ(ring.num_tokens(), 250u);
  ring.add_node({"tiny", 1e-300});
  EXPECT_EQ(ring.num_tokens(), 251u);
}

TEST(HashRing, KeepsANodesTokensAsAPrefixWhenItsWeightGrows) {
  ConsistentHasher ring(RingOptions{.virtual_nodes_per_weight = 8}, some_nodes(1));
  const std::vector<Token> before(ring.tokens().begin(), ring.tokens().end());
  ring.set_weight("a0", 2.0);
  EXPECT_EQ(ring.num_tokens(), 16u);
  EXPECT_TRUE(std::includes(ring.tokens().begin(), ring.tokens().end(), before.begin(), before.end()));
}

TEST(HashRing, CloneNeverSeesLaterChanges) {
  ConsistentHasher ring({}, some_nodes(3));
  const ConsistentHasher clone = ring.clone();
  const std::string bytes = clone.to_bytes();
  ring.add_node({"new"});
  ring.remove_node("a0");
  ring.set_weight("a1", 3.0);
  EXPECT_EQ(clone.to_bytes(), bytes);
  EXPECT_NE(ring.to_bytes(), bytes);
}

TEST(HashRing, CloneSharesTheSnapshot) {
  const ConsistentHasher ring({}, some_nodes(3));
  EXPECT_EQ(ring.clone().tokens().data(), ring.tokens().data());
}

TEST(HashRing, MovedFromRingStaysUsable) {
  ConsistentHasher ring({}, some_nodes(3));
  const ConsistentHasher other = std::move(ring);
  EXPECT_EQ(ring.num_nodes(), 3u);  // NOLINT(bugprone-use-after-move): that is the point
  EXPECT_EQ(ring.fingerprint(), other.fingerprint());
}

TEST(HashRing, TakesAtMost16BytesAToken) {
  for (const std::uint32_t v : {128u, 160u, 256u}) {
    const ConsistentHasher ring(RingOptions{.virtual_nodes_per_weight = v}, some_nodes(100));
    EXPECT_LE(ring.bytes_per_token(), 16.0);
    EXPECT_GE(ring.bytes_per_token(), 12.0);
  }
}

TEST(HashRing, CountsZones) {
  EXPECT_EQ(ConsistentHasher({}, some_nodes(6, 3)).num_zones(), 3u);
  EXPECT_EQ(ConsistentHasher({}, some_nodes(6)).num_zones(), 6u);
  const std::vector<Node> mixed{{"a", 1, "z"}, {"b", 1, ""}, {"c", 1, "z"}, {"d", 1, "b"}};
  const ConsistentHasher ring({}, mixed);
  EXPECT_EQ(ring.num_zones(), 3u);
  EXPECT_EQ(ring.zone_of(0), ring.zone_of(2));
  EXPECT_NE(ring.zone_of(1), ring.zone_of(3));  // a zone of the same name as a node is another thing
}

TEST(HashRing, RefusesIdsThatAreEmptyTooLongOrTaken) {
  ConsistentHasher ring({}, some_nodes(2));
  EXPECT_REFUSED(ring, add_node({""}), ErrorCode::kInvalidArgument, "empty node id");
  EXPECT_REFUSED(ring, add_node({std::string(1025, 'x')}), ErrorCode::kInvalidArgument, "1025 bytes", "1024");
  EXPECT_REFUSED(ring, add_node({"a1"}), ErrorCode::kAlreadyExists, "'a1'", "set_weight");
  EXPECT_REFUSED(ring, add_node({"b", 1.0, std::string(1025, 'z')}), ErrorCode::kInvalidArgument, "'b'", "zone of 1025 bytes");
  ring.add_node({std::string(1024, 'x'), 1.0, std::string(1024, 'z')});
  EXPECT_EQ(ring.num_nodes(), 3u);
}

TEST(HashRing, TakesIdsOfAnyBytes) {
  ConsistentHasher ring;
  const std::string odd("\0\xff\n", 3);
  ring.add_node({odd});
  EXPECT_EQ(ring.index_of(odd), 0u);
  EXPECT_ERROR(ring.add_node({odd}), ErrorCode::kAlreadyExists, "\\x00\\xff\\x0a");
}

TEST(HashRing, RefusesWeightsThatAreNotPositiveAndFinite) {
  ConsistentHasher ring({}, some_nodes(2));
  for (const double weight : {0.0, -0.0, -1.0, kInfinity, -kInfinity, std::nan("")}) {
    SCOPED_TRACE(weight);
    EXPECT_REFUSED(ring, add_node({"b", weight}), ErrorCode::kInvalidArgument, "'b'", std::to_string(weight), "> 0 and finite");
    EXPECT_REFUSED(ring, set_weight("a0", weight), ErrorCode::kInvalidArgument, "'a0'", std::to_string(weight));
  }
}

TEST(HashRing, RefusesAbsurdWeights) {
  ConsistentHasher ring(RingOptions{.virtual_nodes_per_weight = 256}, some_nodes(1));
  for (const double weight : {4096.01, 1e6, 1e300, std::numeric_limits<double>::max()}) {
    SCOPED_TRACE(weight);
    EXPECT_REFUSED(ring, add_node({"b", weight}), ErrorCode::kInvalidArgument, "'b'", "at most 1048576", "scale");
    EXPECT_REFUSED(ring, set_weight("a0", weight), ErrorCode::kInvalidArgument, "'a0'", "at most 1048576");
  }
  ring.set_weight("a0", 4096.0);
  EXPECT_EQ(ring.num_tokens(), std::size_t{1} << 20);
}

TEST(HashRing, RefusesMoreTokensThanItCanCount) {
  std::vector<Node> nodes = some_nodes(4096);
  for (Node& node : nodes) node.weight = 4096.0;
  EXPECT_ERROR(ConsistentHasher({}, nodes), ErrorCode::kResourceExhausted, "4294967296 tokens", "4294967295");
}

TEST(HashRing, RefusesOptionsOutOfRange) {
  EXPECT_ERROR(ConsistentHasher(RingOptions{.virtual_nodes_per_weight = 0}), ErrorCode::kInvalidArgument,
               "virtual_nodes_per_weight is 0");
  EXPECT_ERROR(ConsistentHasher(RingOptions{.virtual_nodes_per_weight = (1u << 20) + 1}), ErrorCode::kInvalidArgument, "1048577",
               "1048576");
  EXPECT_ERROR(ConsistentHasher(RingOptions{.probes = 0}), ErrorCode::kInvalidArgument, "probes is 0", "1 to 64");
  EXPECT_ERROR(ConsistentHasher(RingOptions{.probes = 65}), ErrorCode::kInvalidArgument, "probes is 65");
  EXPECT_ERROR(internal::narrow_ring(0, {}, {}), ErrorCode::kInvalidArgument, "token_bits is 0");
  EXPECT_ERROR(internal::narrow_ring(65, {}, {}), ErrorCode::kInvalidArgument, "token_bits is 65");
}

TEST(HashRing, RefusesTheSameNodeTwiceInItsConstructor) {
  const std::vector<Node> twice{{"b"}, {"a"}, {"b", 2.0}};
  EXPECT_ERROR(ConsistentHasher({}, twice), ErrorCode::kAlreadyExists, "'b'", "twice");
}

TEST(HashRing, RefusesNodesThatItDoesNotHave) {
  ConsistentHasher ring({}, some_nodes(2));
  EXPECT_REFUSED(ring, remove_node("nobody"), ErrorCode::kNotFound, "'nobody'", "2 nodes");
  EXPECT_REFUSED(ring, set_weight("nobody", 1.0), ErrorCode::kNotFound, "'nobody'");
  EXPECT_REFUSED(ring, node(2), ErrorCode::kInvalidArgument, "index 2", "2 nodes");
  EXPECT_REFUSED(ring, node(kNoNode), ErrorCode::kInvalidArgument, "4294967295");
}

TEST(HashRing, RefusesSpansOfTheWrongSize) {
  const ConsistentHasher ring({}, some_nodes(3));
  const std::vector<Token> tokens{1, 2, 3};
  const std::vector<KeyView> keys{"a", "b", "c"};
  std::vector<NodeIndex> out(4);
  EXPECT_REFUSED(ring, primaries(keys, out), ErrorCode::kInvalidArgument, "4 owners", "3 are looked up");
  EXPECT_REFUSED(ring, primaries_of_tokens(tokens, out), ErrorCode::kInvalidArgument, "4 owners", "3 are looked up");
  EXPECT_REFUSED(ring, replicas_of_keys(keys, 2, out), ErrorCode::kInvalidArgument, "4 nodes", "3 lookups of 2");
  EXPECT_REFUSED(ring, replicas_of_tokens(tokens, 2, out), ErrorCode::kInvalidArgument, "4 nodes", "3 lookups of 2");
  EXPECT_REFUSED(ring, replicas_of_tokens(tokens, 0, out), ErrorCode::kInvalidArgument, "3 lookups of 0");
  EXPECT_EQ(ring.replicas_of_tokens(tokens, 0, {}), 0u);
}

TEST(HashRing, FingerprintTellsEveryPartOfARing) {
  const std::vector<Node> nodes = some_nodes(3, 2);
  std::vector<std::uint64_t> seen{ConsistentHasher({}, nodes).fingerprint()};
  const auto add = [&](const ConsistentHasher& ring) { seen.push_back(ring.fingerprint()); };
  add(ConsistentHasher(RingOptions{.seed = 1}, nodes));
  add(ConsistentHasher(RingOptions{.virtual_nodes_per_weight = 255}, nodes));
  add(ConsistentHasher(RingOptions{.probes = 2}, nodes));
  add(internal::narrow_ring(63, {}, nodes));
  for (const auto change : {0, 1, 2}) {
    std::vector<Node> other = nodes;
    if (change == 0) other[1].id += "x";
    if (change == 1) other[1].zone += "x";
    if (change == 2) other[1].weight = 1.0000001;  // no token changes, and yet the ideal shares do
    add(ConsistentHasher({}, other));
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

TEST(HashRing, IsReadAndCopiedByManyThreads) {
  const ConsistentHasher ring({}, some_nodes(10));
  std::vector<std::thread> threads;
  std::vector<std::size_t> differing(4);
  for (std::size_t t = 0; t < differing.size(); ++t) {
    threads.emplace_back([&, t] {
      ConsistentHasher own = ring.clone();
      own.add_node({"mine" + std::to_string(t)});
      own.remove_node("mine" + std::to_string(t));
      for (Token i = 0; i < 2000; ++i) {
        const Token token = i * 0x9E3779B97F4A7C15u;
        differing[t] += own.primary_of_token(token) != ring.clone().primary_of_token(token) ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(differing, std::vector<std::size_t>(4, 0));
}

}  // namespace
}  // namespace annulus
