#include "index/row_places.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace annulus {
namespace {

using Places = std::map<Row, std::pair<std::uint32_t, std::uint32_t>>;

void expect_equal(const RowPlaces& places, const Places& model, Row rows) {
  for (Row row = 0; row < rows; ++row) {
    const auto known = model.find(row);
    ASSERT_EQ(places.holds(row), known != model.end()) << "row " << row;
    if (known == model.end()) continue;
    ASSERT_EQ(places[row].list, known->second.first) << "row " << row;
    ASSERT_EQ(places[row].offset, known->second.second) << "row " << row;
  }
}

// Lists are at both ends, positions too, as far as `positions`.
void churn(std::size_t nlist, std::size_t positions, RowPlaces& places, Places& model, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  constexpr Row kRows = 3000;
  std::size_t steps = 0;
  places.reserve(kRows, positions, [&](const auto& step) { ++steps, step(); });
  EXPECT_LE(steps, 1U);
  for (int step = 0; step < 5000; ++step) {
    const Row row = static_cast<Row>(random() % kRows);
    if (places.holds(row) && random() % 3 == 0) {
      places.forget(row);
      model.erase(row);
      continue;
    }
    const auto end = [&](std::size_t count) {
      const std::size_t back = random() % std::min<std::size_t>(count, 3);
      return static_cast<std::uint32_t>(random() % 2 == 0 ? count - 1 - back : random() % count);
    };
    const RowPlaces::Place place{end(nlist), end(positions)};
    places.set(row, place);
    model[row] = {place.list, place.offset};
  }
  expect_equal(places, model, kRows + 10);
}

TEST(RowPlaces, AgreeWithAMapForAnyNumberOfLists) {
  for (const std::size_t nlist : {1, 2, 3, 4, 255, 256, 4096, 1 << 20}) {
    RowPlaces places(nlist);
    Places model;
    churn(nlist, 1 << 11, places, model, nlist);
    EXPECT_LE(places.memory_bytes(), 3000 * 4U);
  }
}

TEST(RowPlaces, StayWhatTheyAreWhenAListOutgrowsItsBits) {
  for (const std::size_t nlist : {4096, 1 << 20}) {
    RowPlaces places(nlist);
    Places model;
    churn(nlist, 1 << 11, places, model, 1);
    churn(nlist, std::size_t{1} << 31, places, model, 2);
    churn(nlist, std::size_t{1} << 31, places, model, 3);
    EXPECT_LE(places.memory_bytes(), 3000 * 8U);
  }
}

}  // namespace
}  // namespace annulus
