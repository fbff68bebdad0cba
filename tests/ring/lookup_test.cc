// Each way to look a key up, against std::lower_bound over the tokens or against the oracle.
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "ring/hash_ring.h"
#include "ring/replica_table.h"
#include "tests/ring/ring_oracle.h"

namespace annulus {
namespace {

struct Case {
  std::string name;
  std::size_t nodes;
  std::uint32_t virtual_nodes;
  unsigned token_bits;

  friend std::ostream& operator<<(std::ostream& out, const Case& it) { return out << it.name; }
};

class Lookup : public ::testing::TestWithParam<Case> {
 protected:
  Lookup()
      : ring_(internal::narrow_ring(GetParam().token_bits, {.virtual_nodes_per_weight = GetParam().virtual_nodes},
                                    oracle::some_nodes(GetParam().nodes))),
        tokens_(oracle::critical_tokens(ring_, ring_)) {
    std::mt19937_64 random(42);
    for (int i = 0; i < 3000; ++i) tokens_.push_back(random());
  }

  std::size_t position(Token token) const {
    return static_cast<std::size_t>(std::lower_bound(ring_.tokens().begin(), ring_.tokens().end(), token) - ring_.tokens().begin());
  }
  NodeIndex owner(Token token) const { return ring_.owners()[position(token) % ring_.num_tokens()]; }

  ConsistentHasher ring_;
  std::vector<Token> tokens_;
};

TEST_P(Lookup, LowerBoundIsThatOfTheStandardLibrary) {
  for (const Token token : tokens_) ASSERT_EQ(ring_.lower_bound(token), position(token)) << token;
}

TEST_P(Lookup, PrimaryOfATokenOwnsTheNextTokenClockwise) {
  for (const Token token : tokens_) ASSERT_EQ(ring_.primary_of_token(token), owner(token)) << token;
}

TEST_P(Lookup, PrimaryOfAKeyIsThatOfItsToken) {
  for (int i = 0; i < 1000; ++i) {
    const std::string key = "key" + std::to_string(i);
    ASSERT_EQ(ring_.primary(key), owner(token_of_key(key))) << key;
  }
}

TEST_P(Lookup, FirstReplicaIsThePrimary) {
  NodeIndex first = kNoNode;
  const ReplicaTable table(ring_, 1);
  for (const Token token : tokens_) {
    ASSERT_EQ(ring_.replicas(token, {&first, 1}), 1u);
    ASSERT_EQ(first, owner(token)) << token;
    ASSERT_EQ(table.replicas(token).front(), owner(token)) << token;
    ASSERT_EQ(ring_.replica_set(token, 1).nodes, std::vector<NodeIndex>{owner(token)}) << token;
  }
}

TEST_P(Lookup, BatchesOfAnySizeGiveWhatSingleLookupsGive) {
  for (const std::size_t n :
       {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{32}, std::size_t{33}, std::size_t{100}, tokens_.size()}) {
    const std::span<const Token> some = std::span(tokens_).first(n);
    std::vector<NodeIndex> owners(n);
    ring_.primaries_of_tokens(some, owners);
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(owners[i], owner(some[i])) << n << " tokens, " << i;
  }
}

TEST_P(Lookup, BatchesOfKeysGiveWhatSingleLookupsGive) {
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) names.push_back(std::string(static_cast<std::size_t>(i) * 11, 'k') + std::to_string(i));
  const std::vector<KeyView> keys(names.begin(), names.end());
  std::vector<NodeIndex> owners(keys.size());
  ring_.primaries(keys, owners);
  std::vector<NodeIndex> rows(keys.size() * 3);
  const std::size_t written = ring_.replicas_of_keys(keys, 3, rows);
  EXPECT_EQ(written, std::min<std::size_t>(3, ring_.num_nodes()));
  for (std::size_t i = 0; i < keys.size(); ++i) {
    ASSERT_EQ(owners[i], owner(token_of_key(keys[i])));
    std::vector<NodeIndex> expected = ring_.replica_set(keys[i], 3).nodes;
    expected.resize(3, kNoNode);
    ASSERT_EQ(std::vector<NodeIndex>(rows.begin() + static_cast<std::ptrdiff_t>(3 * i),
                                     rows.begin() + static_cast<std::ptrdiff_t>(3 * i) + 3),
              expected);
  }
}

TEST_P(Lookup, ReplicasAreTheOracles) {
  const oracle::Ring slow(ring_.options(), {ring_.nodes().begin(), ring_.nodes().end()}, ring_.token_bits());
  const ReplicaTable table(ring_, 4);
  const std::size_t step = std::max<std::size_t>(1, tokens_.size() / 300);
  for (std::size_t i = 0; i < tokens_.size(); i += step) {
    const std::vector<std::string> expected = slow.replicas(tokens_[i], 4);
    ASSERT_EQ(oracle::replicas(ring_, tokens_[i], 4), expected);
    ASSERT_EQ(oracle::ids(ring_, table.replicas(tokens_[i])), expected);
  }
}

TEST_P(Lookup, TableAndWalkAgreeEverywhere) {
  for (const std::size_t r : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{50}}) {
    const ReplicaTable table(ring_, r);
    std::vector<NodeIndex> rows(tokens_.size() * r);
    ring_.replicas_of_tokens(tokens_, r, rows);
    std::vector<NodeIndex> out(std::min(r, ring_.num_nodes()));
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      ring_.replicas(tokens_[i], out);
      ASSERT_TRUE(std::ranges::equal(table.replicas(tokens_[i]), out)) << tokens_[i] << " r " << r;
      ASSERT_TRUE(std::equal(out.begin(), out.end(), rows.begin() + static_cast<std::ptrdiff_t>(i * r))) << tokens_[i];
      for (std::size_t j = out.size(); j < r; ++j) ASSERT_EQ(rows[i * r + j], kNoNode);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rings, Lookup,
                         ::testing::Values(Case{"OneToken", 1, 1, 64}, Case{"TwoTokens", 2, 1, 64}, Case{"FewTokens", 3, 4, 64},
                                           Case{"ManyTokens", 40, 64, 64}, Case{"TwoPlaces", 20, 16, 1},
                                           Case{"SixteenPlaces", 20, 16, 4}, Case{"SomeEqualTokens", 30, 32, 10},
                                           Case{"AllTokensOnOneSpot", 5, 1, 1}),
                         [](const auto& instance) { return instance.param.name; });

class SeveralProbes : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(SeveralProbes, GiveTheNearestNodesOverAllProbes) {
  std::mt19937_64 random(GetParam());
  for (const unsigned bits : {64u, 5u}) {
    const RingOptions options{.virtual_nodes_per_weight = 8, .probes = GetParam()};
    for (const std::size_t zones : {std::size_t{0}, std::size_t{2}, std::size_t{4}}) {
      const std::vector<Node> nodes = oracle::some_nodes(9, zones);
      const ConsistentHasher ring = internal::narrow_ring(bits, options, nodes);
      const oracle::Ring slow(options, nodes, bits);
      std::vector<Token> tokens = oracle::critical_tokens(ring, ring);
      tokens.resize(60);
      for (int i = 0; i < 100; ++i) tokens.push_back(random());
      std::vector<NodeIndex> owners(tokens.size());
      ring.primaries_of_tokens(tokens, owners);
      std::vector<NodeIndex> rows(tokens.size() * 9);
      ring.replicas_of_tokens(tokens, 9, rows);
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        const std::vector<std::string> expected = slow.replicas(tokens[i], 9);
        ASSERT_EQ(oracle::replicas(ring, tokens[i], 9), expected);
        ASSERT_EQ(ring.node(ring.primary_of_token(tokens[i])).id, expected.front());
        ASSERT_EQ(ring.node(owners[i]).id, expected.front());
        ASSERT_EQ(oracle::ids(ring, std::span(rows).subspan(i * 9, 9)), expected);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Probes, SeveralProbes, ::testing::Values(1u, 2u, 3u, 21u, 64u));

}  // namespace
}  // namespace annulus
