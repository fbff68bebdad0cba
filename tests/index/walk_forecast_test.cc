#include "index/walk_forecast.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace annulus {
namespace {

/// A sample of `size` rows of which every `step`-th is accepted, from row `from` to row `to`.
std::vector<char> sampled(std::size_t size, std::size_t from, std::size_t to, std::size_t step) {
  std::vector<char> accepted(size);
  for (std::size_t i = from; i < to; i += step) accepted[i] = 1;
  return accepted;
}

TEST(WalkForecast, AsManyAcceptedNearAsElsewhereAreFoundAsTheShareSays) {
  EXPECT_DOUBLE_EQ(rows_to_meet(sampled(200, 5, 200, 10), 50, 0.1, 64), 640);
  EXPECT_DOUBLE_EQ(rows_to_meet({}, 1, 0.1, 64), 640);
}

TEST(WalkForecast, WhereNoneAreAcceptedNearAWalkMustGetBeyond) {
  const double met = rows_to_meet(sampled(200, 60, 200, 7), 10, 0.1, 64);  // 20 of the last 140
  EXPECT_GT(met, 600 + 60 / 0.15);
  EXPECT_LT(met, 600 + 64 / 0.14);
}

TEST(WalkForecast, WhereAllAreAcceptedNearItMeetsLittleMoreThanItKeeps) {
  EXPECT_NEAR(rows_to_meet(sampled(200, 0, 20, 1), 10, 0.1, 64), 64, 3);
}

TEST(WalkForecast, IsSeldomMisledByChance) {
  std::mt19937_64 random(5);
  for (const double share : {0.5, 0.1, 0.02}) {
    std::bernoulli_distribution accept(share);
    int misled = 0;
    for (int trial = 0; trial < 400; ++trial) {
      std::vector<char> accepted(300);
      std::generate(accepted.begin(), accepted.end(), [&] { return accept(random) ? char{1} : char{0}; });
      const double met = rows_to_meet(accepted, 100, share, 64);
      misled += met > 2 * 64 / share || met < 64 / share / 2 ? 1 : 0;
    }
    EXPECT_LT(misled, 100) << share;
  }
}

TEST(WalkForecast, ExtremeSharesAreHarmless) {
  EXPECT_NEAR(rows_to_meet(sampled(100, 0, 100, 1), 10, 1, 64), 64, 1);
  EXPECT_GT(rows_to_meet(sampled(100, 0, 0, 1), 10, 0, 64), 1e6);
}

}  // namespace
}  // namespace annulus
