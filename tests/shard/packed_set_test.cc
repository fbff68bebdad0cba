#include "shard/packed_set.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <set>
#include <vector>

namespace annulus {
namespace {

using Set = PackedSet<std::uint64_t, std::less<>>;
using Model = std::set<std::uint64_t>;

void expect_equal(const Set& set, const Model& model, std::mt19937_64& random, std::uint64_t greatest) {
  ASSERT_EQ(set.size(), model.size());
  ASSERT_EQ(std::vector<std::uint64_t>(model.begin(), model.end()), [&] {
    std::vector<std::uint64_t> all;
    for (auto it = set.begin(); it != set.end(); ++it) all.push_back(*it);
    return all;
  }());
  const auto same = [&](const Set::Iterator& found, const Model::const_iterator& expected) {
    return expected == model.end() ? found == set.end() : found != set.end() && *found == *expected;
  };
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t probe = i == 0 ? 0 : i == 1 ? greatest : random() % (greatest + 1);
    ASSERT_TRUE(same(set.find(probe), model.find(probe))) << probe;
    ASSERT_TRUE(same(set.lower_bound(probe), model.lower_bound(probe))) << probe;
    ASSERT_TRUE(same(set.upper_bound(probe), model.upper_bound(probe))) << probe;
  }
}

TEST(PackedSet, AgreesWithASetWhileItGrowsAndShrinks) {
  for (const std::uint64_t greatest : {std::uint64_t{700}, std::uint64_t{20000}, ~std::uint64_t{0} - 1}) {
    std::mt19937_64 random(greatest);
    Set set{std::less<>()};
    Model model;
    for (int step = 0; step < 60000; ++step) {
      const bool grows = step % 20000 < 12000;
      std::uint64_t element = random() % (greatest + 1);
      if (!grows && !model.empty()) {
        const auto near = model.lower_bound(element);
        element = near == model.end() ? *model.begin() : *near;
      }
      const bool known = model.contains(element);
      if (known && (!grows || random() % 4 == 0)) {
        model.erase(element);
        set.erase(element);
      } else if (!known && grows) {
        model.insert(element);
        set.insert(element);
      }
      if (step % 1000 == 0) {
        ASSERT_NO_FATAL_FAILURE(expect_equal(set, model, random, greatest)) << "step " << step;
      }
    }
    for (const std::uint64_t element : model) set.erase(element);
    ASSERT_NO_FATAL_FAILURE(expect_equal(set, {}, random, greatest));
  }
}

TEST(PackedSet, TakesElementsInOrderFromBothEnds) {
  std::mt19937_64 random(1);
  Set set{std::less<>()};
  Model model;
  for (std::uint64_t i = 0; i < 5000; ++i) {
    for (const std::uint64_t element : {10000 + i, 9999 - i}) {
      set.insert(element);
      model.insert(element);
    }
  }
  expect_equal(set, model, random, 20000);
}

TEST(PackedSet, TakesATwentiethMoreThanItsElements) {
  for (const std::size_t n : {100000, 131073, 200000}) {
    std::mt19937_64 random(n);
    Set set{std::less<>()};
    while (set.size() < n) set.insert(random());
    const auto bytes = static_cast<double>(set.memory_bytes());
    EXPECT_GE(bytes, 8.0 * static_cast<double>(n));
    EXPECT_LE(bytes, 8.4 * static_cast<double>(n));
    // what is gone gives its memory back
    for (std::size_t left = n; left > n / 4; --left) {
      const auto it = set.lower_bound(random());
      set.erase(*(it == set.end() ? set.begin() : it));
    }
    EXPECT_LE(static_cast<double>(set.memory_bytes()), bytes / 2.5);
  }
}

}  // namespace
}  // namespace annulus
