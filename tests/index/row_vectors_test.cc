#include "index/row_vectors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <vector>

namespace annulus {
namespace {

constexpr std::size_t kBytes = 400;

void at_once(const std::function<void()>& step) { step(); }

/// What is held, each entry filled with a number of its own.
class Model {
 public:
  explicit Model(std::size_t expected = 0) : vectors(kBytes, expected) {}

  void reserve(std::size_t end, std::size_t count) {
    vectors.reserve(end, count, [this](Row row) { return held.contains(row); }, at_once);
  }
  void add(Row row) {
    vectors.add(row);
    held[row] = ++number_;
    std::uint8_t* entry = vectors[row];
    for (std::size_t i = 0; i < kBytes; i += sizeof number_) std::memcpy(entry + i, &number_, sizeof number_);
  }
  void remove(Row row) {
    vectors.remove(row);
    held.erase(row);
  }
  void check() const {
    for (const auto& [row, number] : held) {
      for (std::size_t i = 0; i < kBytes; i += sizeof number) {
        ASSERT_EQ(std::memcmp(vectors[row] + i, &number, sizeof number), 0) << "byte " << i << " of row " << row;
      }
    }
  }
  /// Bytes an entry that is held.
  double bytes() const { return static_cast<double>(vectors.memory_bytes()) / static_cast<double>(held.size()); }

  RowVectors vectors;
  std::map<Row, std::uint32_t> held;

 private:
  std::uint32_t number_ = 0;
};

TEST(RowVectors, LieAtTheirRowsAndCostNothingMore) {
  Model model;
  for (Row row = 0; row < 5000; ++row) {
    model.reserve(row + std::size_t{1}, 1);
    model.add(row);
  }
  ASSERT_NO_FATAL_FAILURE(model.check());
  EXPECT_EQ(model.bytes(), kBytes);
  EXPECT_EQ(model.vectors[101], model.vectors[100] + kBytes);
}

// As keys do that were erased and have tombstones: their rows do not come back for long.
TEST(RowVectors, ServeOthersWhenTheirRowsAreGone) {
  Model model;
  std::mt19937 random(1);
  Row next = 0;
  for (; next < 5000; ++next) {
    model.reserve(next + std::size_t{1}, 1);
    model.add(next);
  }
  for (int i = 0; i < 50'000; ++i) {
    auto gone = model.held.lower_bound(static_cast<Row>(random() % next));
    if (gone == model.held.end()) gone = model.held.begin();
    model.remove(gone->first);
    model.reserve(next + std::size_t{1}, 1);
    model.add(next++);
    if (i % 5000 != 0) continue;
    ASSERT_NO_FATAL_FAILURE(model.check());
  }
  ASSERT_NO_FATAL_FAILURE(model.check());
  // 55,000 rows, of which 5,000 are held: beside these a table, and what was not worth one
  EXPECT_LE(model.vectors.memory_bytes(), 5000 * kBytes + (256 << 10) + 3 * 4 * 55'000);
}

TEST(RowVectors, HaveAFewRowsFarApartInATable) {
  Model model;
  model.reserve(1'000'000, 10);
  for (Row row = 0; row < 10; ++row) model.add(row * 100'000);
  ASSERT_NO_FATAL_FAILURE(model.check());
  EXPECT_LE(model.vectors.memory_bytes(), 10 * kBytes + 4 * (std::size_t{9} * 100'000 + 1));
}

TEST(RowVectors, OfIdsWithGapsAreWithoutGaps) {
  Model model;
  for (Row row = 0; row < 40'000; row += 4) {
    model.reserve(row + std::size_t{1}, 1);
    model.add(row);
  }
  ASSERT_NO_FATAL_FAILURE(model.check());
  EXPECT_LE(model.bytes(), 1.05 * kBytes + 4 * 4);
}

// A copy that is made in order while others are written before their turn.
TEST(RowVectors, NeedNoTableWhereTheRestIsExpected) {
  constexpr Row kRows = 20'000;
  Model model(kRows);
  std::mt19937 random(2);
  for (Row row = 0; row < kRows; ++row) {
    for (const Row other : {static_cast<Row>(random() % kRows), row}) {
      if (model.held.contains(other)) continue;
      model.reserve(other + std::size_t{1}, 1);
      model.add(other);
    }
    if (row % 5000 == 17) {
      EXPECT_LE(model.bytes(), 1.01 * kBytes) << "what was not written counts for nothing";
    }
  }
  ASSERT_NO_FATAL_FAILURE(model.check());
  EXPECT_EQ(model.bytes(), kBytes);
}

TEST(RowVectors, NeedNoTableForThoseThatComeWhileOthersAreExpected) {
  constexpr Row kRows = 20'000;
  Model model(kRows);
  Row next = kRows;
  for (Row row = 0; row < kRows; ++row) {
    model.reserve(row + std::size_t{1}, 1);
    model.add(row);
    if (row % 2 == 0) continue;
    model.reserve(next + std::size_t{1}, 1);
    model.add(next++);
  }
  ASSERT_NO_FATAL_FAILURE(model.check());
  EXPECT_EQ(model.bytes(), kBytes);
  model.vectors.expect_no_more();
  for (Row row = 0; row < kRows; ++row) {  // and then, rows that go serve others
    model.remove(row);
    model.reserve(next + std::size_t{1}, 1);
    model.add(next++);
  }
  ASSERT_NO_FATAL_FAILURE(model.check());
  EXPECT_LE(model.bytes(), 1.1 * kBytes + 8);
}

TEST(RowVectors, AreReservedForABatchOfAnyRows) {
  std::mt19937 random(3);
  Model model;
  Row end = 0;
  for (int batch = 0; batch < 400; ++batch) {
    std::vector<Row> rows;
    const std::size_t count = 1 + random() % 100;
    for (std::size_t i = 0; i < count; ++i) rows.push_back(end += static_cast<Row>(random() % 3 == 0 ? 1 + random() % 9 : 1));
    model.reserve(end + std::size_t{1}, rows.size());
    const std::size_t before = model.vectors.memory_bytes();
    for (const Row row : rows) {
      if (random() % 3 == 0 && !model.held.empty()) model.remove(model.held.begin()->first);
      model.add(row);
    }
    EXPECT_LE(model.vectors.memory_bytes(), before + rows.size() * (kBytes + 40)) << "batch " << batch;
  }
  ASSERT_NO_FATAL_FAILURE(model.check());
}

}  // namespace
}  // namespace annulus
