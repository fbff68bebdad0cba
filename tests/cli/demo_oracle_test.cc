#include "cli/demo_oracle.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "shard/vector_shard.h"

namespace annulus::cli {
namespace {

constexpr std::size_t kDimension = 8;

/// Words on a router and in an oracle that agree, until a test makes them disagree.
class DemoOracle : public testing::Test {
 protected:
  DemoOracle() {
    for (const char* id : {"a", "b"}) router_.attach_node(std::make_shared<VectorShard>(id, router_.options().index));
    vectors_ = Matrix::Random(40, kDimension);
    vectors_.rowwise().normalize();
    for (int i = 0; i < vectors_.rows(); ++i) {
      words_.push_back("w" + std::to_string(i));
      router_.upsert(words_.back(), vectors_.row(i));
      oracle_.put(words_.back(), vectors_.row(i));
    }
  }

  static RouterOptions options() {
    RouterOptions options;
    options.index.dimension = kDimension;
    options.index.metric = Metric::kCosine;
    options.replicas = 2;
    return options;
  }

  VectorRouter router_{options()};
  Oracle oracle_{kDimension};
  Matrix vectors_;
  std::vector<std::string> words_;
};

TEST_F(DemoOracle, AgreesWithARouterThatHoldsWhatWasWritten) {
  router_.erase("w3");
  oracle_.erase("w3");
  const OracleComparison comparison = oracle_.compare(router_);
  EXPECT_TRUE(comparison.ok());
  EXPECT_EQ(comparison.live, 39U);
  EXPECT_EQ(comparison.erased, 1U);
  EXPECT_EQ(oracle_.live(), 39U);
  EXPECT_FALSE(oracle_.holds("w3"));
  EXPECT_FALSE(oracle_.holds("never written"));
}

TEST_F(DemoOracle, FindsALostKey) {
  router_.erase("w3");
  const OracleComparison comparison = oracle_.compare(router_);
  EXPECT_FALSE(comparison.ok());
  EXPECT_EQ(comparison.missing, 1U);
}

TEST_F(DemoOracle, FindsAKeyWithAnotherVector) {
  router_.upsert("w3", vectors_.row(4));
  const OracleComparison comparison = oracle_.compare(router_);
  EXPECT_FALSE(comparison.ok());
  EXPECT_EQ(comparison.wrong, 1U);
}

TEST_F(DemoOracle, FindsAnErasedKeyThatIsBack) {
  oracle_.erase("w3");
  const OracleComparison comparison = oracle_.compare(router_);
  EXPECT_FALSE(comparison.ok());
  EXPECT_EQ(comparison.resurrected, 1U);
}

TEST_F(DemoOracle, MeasuresARecallOf1OfExactAnswers) {
  const RecallProbe probe = oracle_.probe(router_, words_);
  EXPECT_EQ(probe.recall, 1);
  EXPECT_EQ(probe.coverage, 1);
  EXPECT_EQ(probe.duplicates, 0U);
  ASSERT_EQ(probe.answers.size(), words_.size());
  EXPECT_EQ(probe.answers[0].size(), kRecallDepth);
}

TEST_F(DemoOracle, MeasuresALowerRecallIfTheNearestAreMissing) {
  const RecallProbe before = oracle_.probe(router_, {"w0"});
  for (std::size_t i = 0; i < 3; ++i) router_.erase(before.answers[0][i]);
  EXPECT_DOUBLE_EQ(oracle_.probe(router_, {"w0"}).recall, 0.7);
}

TEST(ExactNeighbors, AreSortedAndLeaveOutTheQueryItself) {
  Matrix vectors(4, 2);
  vectors << 1, 0, 0, 1, 0.6F, 0.8F, 0.8F, 0.6F;
  const std::vector<std::vector<std::size_t>> expected = {{3, 2}, {2, 3}};
  EXPECT_EQ(exact_neighbors(vectors.topRows(2), {0, 1}, vectors, 2), expected);
  EXPECT_EQ(exact_neighbors(vectors.topRows(1), {0}, vectors, 9).at(0).size(), 3U);
}

}  // namespace
}  // namespace annulus::cli
