#include "ring/arc.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace annulus {
namespace {

constexpr Token kMax = ~Token{0};

TEST(Arc, ExcludesItsStartAndIncludesItsEnd) {
  const Arc arc{10, 20};
  EXPECT_FALSE(arc.contains(10));
  EXPECT_TRUE(arc.contains(11));
  EXPECT_TRUE(arc.contains(20));
  EXPECT_FALSE(arc.contains(21));
  EXPECT_TRUE(arc.width() == 10);
}

TEST(Arc, PassesThroughZero) {
  const Arc arc{kMax - 1, 1};
  EXPECT_FALSE(arc.contains(kMax - 1));
  EXPECT_TRUE(arc.contains(kMax));
  EXPECT_TRUE(arc.contains(0));
  EXPECT_TRUE(arc.contains(1));
  EXPECT_FALSE(arc.contains(2));
  EXPECT_TRUE(arc.width() == 3);
}

TEST(Arc, OfEqualEndsIsTheWholeRing) {
  const Arc arc{7, 7};
  for (const Token token : {Token{0}, Token{6}, Token{7}, Token{8}, kMax}) EXPECT_TRUE(arc.contains(token));
  EXPECT_TRUE(arc.width() == kRingWidth);
  EXPECT_EQ(arc.fraction(), 1.0);
}

TEST(Arc, FractionIsItsPartOfTheRing) { EXPECT_EQ((Arc{0, Token{1} << 62}.fraction()), 0.25); }

TEST(ArcSet, OfNothingIsEmpty) {
  const ArcSet none;
  EXPECT_TRUE(none.empty());
  EXPECT_FALSE(none.is_whole());
  EXPECT_FALSE(none.contains(0));
  EXPECT_EQ(none.fraction(), 0.0);
  EXPECT_TRUE(none.complement().is_whole());
}

TEST(ArcSet, WholeIsOneArcHoweverItIsMade) {
  const std::vector<Arc> whole{{0, 0}};
  EXPECT_EQ(ArcSet::whole().arcs(), whole);
  EXPECT_EQ(ArcSet({Arc{5, 5}}).arcs(), whole);
  EXPECT_EQ(ArcSet({Arc{5, 9}, Arc{9, 5}}).arcs(), whole);
  EXPECT_EQ(ArcSet({Arc{kMax, 3}, Arc{2, kMax}}).arcs(), whole);
  EXPECT_TRUE(ArcSet::whole().complement().empty());
}

TEST(ArcSet, MergesAdjacentAndOverlappingArcs) {
  EXPECT_EQ(ArcSet({Arc{20, 30}, Arc{10, 20}, Arc{25, 40}, Arc{50, 60}}).arcs(), (std::vector<Arc>{{10, 40}, {50, 60}}));
}

TEST(ArcSet, MergesAcrossZero) {
  EXPECT_EQ(ArcSet({Arc{0, 5}, Arc{100, 0}, Arc{40, 50}}).arcs(), (std::vector<Arc>{{40, 50}, {100, 5}}));
  EXPECT_EQ(ArcSet({Arc{100, 0}}).arcs(), (std::vector<Arc>{{100, 0}}));
  EXPECT_EQ(ArcSet({Arc{0, 100}}).arcs(), (std::vector<Arc>{{0, 100}}));
}

TEST(ArcSet, KeepsArcsApartThatOneTokenSeparates) { EXPECT_EQ(ArcSet({Arc{10, 20}, Arc{21, 30}}).arcs().size(), 2u); }

class ArcSetModel : public ::testing::TestWithParam<std::uint64_t> {};

/// Arcs with ends among few tokens on both sides of 0, against a plain list of which of those are in.
TEST_P(ArcSetModel, AgreesWithASetOfTokens) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  std::mt19937_64 random(GetParam());
  constexpr Token kBase = kMax - 20;
  const auto some_arcs = [&] {
    std::vector<Arc> arcs(random() % 5);
    for (Arc& arc : arcs) arc = {kBase + random() % 42, kBase + random() % 42};
    return arcs;
  };
  const auto holds = [](const std::vector<Arc>& arcs, Token token) {
    return std::any_of(arcs.begin(), arcs.end(), [&](const Arc& arc) { return arc.contains(token); });
  };
  for (int round = 0; round < 300; ++round) {
    const std::vector<Arc> a = some_arcs();
    const std::vector<Arc> b = some_arcs();
    const ArcSet x(a);
    const ArcSet y(b);
    for (Token offset = 0; offset < 44; ++offset) {
      const Token token = kBase - 1 + offset;
      ASSERT_EQ(x.contains(token), holds(a, token));
      ASSERT_EQ(x.complement().contains(token), !holds(a, token));
      ASSERT_EQ(x.united(y).contains(token), holds(a, token) || holds(b, token));
      ASSERT_EQ(x.intersected(y).contains(token), holds(a, token) && holds(b, token));
    }
    ASSERT_EQ(x.complement().complement(), x);
    ASSERT_TRUE(x.width() + x.complement().width() == kRingWidth);
    ASSERT_EQ(ArcSet(x.arcs()), x);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ArcSetModel, ::testing::Range<std::uint64_t>(1, 6));

}  // namespace
}  // namespace annulus
