#include "shard/bound_merge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace annulus {
namespace {

TEST(MergeDistances, KeepsTheNearestOfBoth) {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    const std::size_t wanted = 1 + random() % 12;
    // few values, so that many are equal
    std::vector<float> nearest(random() % (wanted + 1)), distances(random() % 20);
    for (float& value : nearest) value = static_cast<float>(random() % 9);
    for (float& value : distances) value = static_cast<float>(random() % 9);
    std::sort(nearest.begin(), nearest.end());
    std::sort(distances.begin(), distances.end());
    std::vector<CandidateLists::Entry> found;
    for (const float distance : distances) found.push_back({distance, {}, 0, 0, 0});
    std::vector<float> all = nearest;
    all.insert(all.end(), distances.begin(), distances.end());
    std::sort(all.begin(), all.end());
    if (all.size() > wanted) all.resize(wanted);
    merge_distances(found, wanted, nearest);
    ASSERT_EQ(nearest, all) << "round " << round;
  }
}

TEST(MostInAShare, IsNeverMoreThanAllAndHardlyEverTooFew) {
  EXPECT_EQ(most_in_a_share(40, 0.125), 17U);
  EXPECT_EQ(most_in_a_share(40, 1), 40U);
  EXPECT_EQ(most_in_a_share(1, 0.01), 1U);
  std::mt19937_64 random(7);
  for (const double share : {0.02, 0.125, 0.5, 0.9}) {
    std::binomial_distribution<std::size_t> held(40, share);
    std::size_t too_few = 0;
    for (int i = 0; i < 100'000; ++i) too_few += held(random) > most_in_a_share(40, share) ? 1 : 0;
    EXPECT_LE(too_few, 10U) << share;
  }
}

}  // namespace
}  // namespace annulus
