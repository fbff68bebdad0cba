#include "index/row_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <random>
#include <vector>

namespace annulus {
namespace {

// What a row table is by definition.
struct Model {
  std::map<VectorId, Row> row_of;
  std::vector<RowState> states;
  std::vector<Row> free;
};

void expect_equal(const RowTable& table, const Model& model) {
  ASSERT_EQ(table.rows(), model.states.size());
  ASSERT_EQ(table.live(), model.row_of.size());
  ASSERT_EQ(table.dead(), static_cast<std::size_t>(std::count(model.states.begin(), model.states.end(), RowState::kDead)));
  for (Row row = 0; row < model.states.size(); ++row) {
    ASSERT_EQ(table.state(row), model.states[row]) << "row " << row;
    ASSERT_EQ(table.is_live(row), model.states[row] == RowState::kLive);
  }
  for (const auto& [id, row] : model.row_of) {
    ASSERT_EQ(table.find(id), row) << "id " << id;
    ASSERT_EQ(table.id(row), id);
  }
  std::optional<Row> free = table.first_free();
  for (std::size_t i = model.free.size(); i-- > 0; free = table.free_after(*free)) ASSERT_EQ(free, model.free[i]);
  ASSERT_EQ(free, std::nullopt);
}

enum class Kind { kAppend, kReuse, kDense };

void churn(Kind kind, const std::vector<VectorId>& ids, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  RowTable table;
  Model model;
  for (int step = 0; step < 3000; ++step) {
    const VectorId id = ids[random() % ids.size()];
    const auto known = model.row_of.find(id);
    if (known == model.row_of.end() || (kind == Kind::kAppend && random() % 2 == 0)) {
      table.reserve(1, id);
      Row row = static_cast<Row>(model.states.size());
      if (!model.free.empty()) {
        row = model.free.back();
        model.free.pop_back();
      } else {
        model.states.push_back(RowState::kFree);
      }
      table.assign(id, row);
      if (known != model.row_of.end()) model.states[known->second] = RowState::kDead;
      model.states[row] = RowState::kLive;
      model.row_of[id] = row;
    } else if (kind == Kind::kDense) {
      table.release_swapping_last(id);
      const Row last = static_cast<Row>(model.states.size() - 1);
      for (auto& [other, row] : model.row_of) {
        if (row == last) row = known->second;
      }
      model.row_of.erase(id);
      model.states.pop_back();
    } else {
      const RowState state = kind == Kind::kReuse ? RowState::kFree : RowState::kDead;
      table.release(id, state);
      model.states[known->second] = state;
      if (kind == Kind::kReuse) model.free.push_back(known->second);
      model.row_of.erase(id);
    }
    ASSERT_EQ(table.find(ids[random() % ids.size()] + 1'000'000'007), std::nullopt);
    if (step % 20 == 0) {
      ASSERT_NO_FATAL_FAILURE(expect_equal(table, model)) << "step " << step;
    }
  }
  ASSERT_NO_FATAL_FAILURE(expect_equal(table, model));
}

std::vector<VectorId> ids_by(std::size_t count, VectorId first, VectorId step) {
  std::vector<VectorId> ids(count);
  for (std::size_t i = 0; i < count; ++i) ids[i] = first + i * step;
  return ids;
}

class RowTables : public ::testing::TestWithParam<Kind> {};

TEST_P(RowTables, AgreeWithAModelForDenseIds) { churn(GetParam(), ids_by(300, 0, 1), 1); }
TEST_P(RowTables, AgreeWithAModelForIdsThatAreFarApart) { churn(GetParam(), ids_by(300, 9000, 1000003), 2); }
TEST_P(RowTables, AgreeWithAModelForIdsOf64Bits) {
  std::vector<VectorId> ids = ids_by(200, 0, 3);
  for (const VectorId id : ids_by(200, ~VectorId{0} - 3'000'000'000, 77)) ids.push_back(id);
  churn(GetParam(), ids, 3);
}

INSTANTIATE_TEST_SUITE_P(Policies, RowTables, ::testing::Values(Kind::kAppend, Kind::kReuse, Kind::kDense), [](const auto& kind) {
  return std::string(kind.param == Kind::kAppend ? "Append" : kind.param == Kind::kReuse ? "Reuse" : "Dense");
});

TEST(RowTable, FindsIdsDenseAgainOnceThereAreMore) {
  constexpr std::size_t kRows = 100000;
  RowTable table;
  for (std::size_t i = 0; i < kRows; ++i) {  // the greatest first: too far from 0 for an array at the beginning
    table.reserve(1, kRows - 1 - i);
    table.assign(kRows - 1 - i, static_cast<Row>(i));
  }
  for (std::size_t i = 0; i < kRows; ++i) ASSERT_EQ(table.find(kRows - 1 - i), static_cast<Row>(i));
  EXPECT_LE(table.memory_bytes(), kRows * 9);
}

TEST(RowTable, TakesLessThan9BytesARowWithDenseIds) {
  constexpr std::size_t kRows = 300000;
  RowTable table;
  for (std::size_t i = 0; i < kRows; ++i) {
    table.reserve(1, i);
    table.assign(i, static_cast<Row>(i));
  }
  EXPECT_LE(table.memory_bytes(), kRows * 9);
}

TEST(RowTable, AsksToBeAloneOnlyForWhatSearchesRead) {
  std::size_t alone = 0;
  const WhileAlone count = [&](const std::function<void()>& step) { ++alone, step(); };
  RowTable table;
  const auto add = [&](VectorId id) {
    const std::size_t before = alone;
    table.reserve(1, id, count);
    table.assign(id, static_cast<Row>(table.rows()));
    EXPECT_EQ(table.find(id), static_cast<Row>(table.rows() - 1));
    return alone - before;
  };
  EXPECT_EQ(add(100), 1U);  // the array of rows by id grows
  for (VectorId id = 0; id < 100; ++id) EXPECT_EQ(add(id), 0U);
  EXPECT_EQ(add(VectorId{1} << 50), 2U);  // wider ids, and a map
  std::size_t rehashes = 0;
  for (VectorId id = 1; id < 2000; ++id) rehashes += add(id << 32);
  EXPECT_GE(rehashes, 1U);
  EXPECT_LE(rehashes, 8U);
  EXPECT_EQ(table.live(), 2101U);
}

TEST(RowTable, MakesRoomForIdsOfTheirOwnRowsBesideSearches) {
  std::size_t alone = 0;
  const WhileAlone count = [&](const std::function<void()>& step) { ++alone, step(); };
  RowTable table(RowNumbers::kIds);
  for (VectorId id = 0; id < 5000; ++id) {
    table.reserve(1, id, count);
    table.assign(id, static_cast<Row>(id));
  }
  EXPECT_EQ(alone, 0U);
  table.reserve(1, VectorId{1} << 40, count);
  EXPECT_EQ(alone, 3U);  // an array, wider ids, and a map
  EXPECT_FALSE(table.by_id());
}

// A table of so many rows, and what makes it change how it looks them up.
struct Conversion {
  const char* name;
  RowNumbers numbers;
  VectorId step;      // between ids
  std::size_t count;  // of the ids to make room for
  VectorId greatest;  // of them
};

void PrintTo(const Conversion& conversion, std::ostream* out) { *out << conversion.name; }

class RowTableConversions : public ::testing::TestWithParam<Conversion> {
 protected:
  static constexpr std::size_t kRows = 300000;
  static RowTable filled() {
    RowTable table(GetParam().numbers);
    for (std::size_t i = 0; i < kRows; ++i) {
      table.reserve(1, i * GetParam().step);
      table.assign(i * GetParam().step, static_cast<Row>(i));
    }
    return table;
  }
};

INSTANTIATE_TEST_SUITE_P(All, RowTableConversions,
                         ::testing::Values(Conversion{"LookUp", RowNumbers::kIds, 1, 1, VectorId{1} << 31},
                                           Conversion{"ToHashed", RowNumbers::kInOrder, 1, 1, VectorId{1} << 31},
                                           Conversion{"Widen", RowNumbers::kInOrder, 1, 1, VectorId{1} << 40},
                                           Conversion{"GrowDense", RowNumbers::kInOrder, 1, 300000, 1200000},
                                           Conversion{"GrowHashed", RowNumbers::kInOrder, 1000, 1000000, 1000},
                                           Conversion{"ToDense", RowNumbers::kInOrder, 10, 2000000, 1000}),
                         [](const auto& conversion) { return std::string(conversion.param.name); });

// What searches wait for is the exchange of what was made beside them, whatever there is of rows; and nothing is lost.
TEST_P(RowTableConversions, KeepSearchesWaitingForNoWorkOnAllRows) {
  using Clock = std::chrono::steady_clock;
  double least = 1;  // of some attempts: the clock also runs while another program does
  for (int attempt = 0; attempt < 5; ++attempt) {
    RowTable table = filled();
    Clock::duration waited{};
    std::size_t steps = 0;
    const auto began = Clock::now();
    table.reserve(GetParam().count, GetParam().greatest, [&](const std::function<void()>& step) {
      const auto at = Clock::now();
      step();
      waited += Clock::now() - at;
      ++steps;
    });
    const auto taken = Clock::now() - began;
    ASSERT_GE(steps, 1U);
    ASSERT_LE(steps, 3U);
    least = std::min(least, std::chrono::duration<double>(waited) / std::chrono::duration<double>(taken));
    for (std::size_t i = 0; i < kRows; i += 7) {
      ASSERT_EQ(table.find(i * GetParam().step), static_cast<Row>(i));
      ASSERT_EQ(table.id(static_cast<Row>(i)), i * GetParam().step);
    }
    ASSERT_EQ(table.find(GetParam().greatest * GetParam().step + 1), std::nullopt);
  }
  EXPECT_LT(least, 0.05);
}

TEST(RowTable, RestoresFreeDeadAndLiveRows) {
  using enum RowState;
  const auto table = RowTable::restore({7, 0, 9, VectorId{1} << 40, 0}, {kLive, kFree, kDead, kLive, kFree});
  ASSERT_TRUE(table);
  EXPECT_EQ(table->find(7), Row{0});
  EXPECT_EQ(table->find(9), std::nullopt);
  EXPECT_EQ(table->find(VectorId{1} << 40), Row{3});
  EXPECT_EQ(table->first_free(), Row{1});
  EXPECT_EQ(table->free_after(1), Row{4});
  EXPECT_EQ(table->free_after(4), std::nullopt);
  EXPECT_EQ(table->dead(), 1U);
  EXPECT_FALSE(RowTable::restore({7, 7}, {kLive, kLive}));
  EXPECT_FALSE(RowTable::restore({7}, {static_cast<RowState>(3)}));
}

// Upserts and erases of ids up to `greatest`, in a table that gives rows their ids' numbers as long as it can.
void churn_by_id(RowTable& table, std::map<VectorId, Row>& model, VectorId greatest, std::mt19937_64& random) {
  for (int step = 0; step < 4000; ++step) {
    const VectorId id = random() % (greatest + 1);
    if (model.contains(id)) {
      table.release(id, RowState::kFree);
      model.erase(id);
      continue;
    }
    table.reserve(1, id);
    Row row = static_cast<Row>(id);
    if (!table.by_id()) row = table.first_free().value_or(static_cast<Row>(table.rows()));
    table.assign(id, row);
    model[id] = row;
    if (step % 50 != 0) continue;
    ASSERT_EQ(table.live(), model.size());
    for (VectorId asked = 0; asked <= greatest; asked += 1 + greatest / 1000) {
      const auto known = model.find(asked);
      ASSERT_EQ(table.find(asked), known == model.end() ? std::nullopt : std::optional<Row>(known->second)) << "id " << asked;
    }
    for (const auto& [live, at] : model) {
      ASSERT_EQ(table.id(at), live);
      ASSERT_TRUE(table.is_live(at));
    }
  }
}

TEST(RowTable, GivesDenseIdsTheirOwnRowsForAQuarterOfAByte) {
  std::mt19937_64 random(1);
  RowTable table(RowNumbers::kIds);
  std::map<VectorId, Row> model;
  ASSERT_NO_FATAL_FAILURE(churn_by_id(table, model, 4000, random));
  EXPECT_TRUE(table.by_id());
  EXPECT_LE(table.rows(), 4001U);
  EXPECT_LE(table.memory_bytes(), 4001 / 4 + 1U);
}

TEST(RowTable, LooksRowsUpOnceAnIdIsFarAway) {
  for (const VectorId greatest : {VectorId{100000}, VectorId{1} << 33}) {
    std::mt19937_64 random(2);
    RowTable table(RowNumbers::kIds);
    std::map<VectorId, Row> model;
    ASSERT_NO_FATAL_FAILURE(churn_by_id(table, model, 500, random));
    ASSERT_TRUE(table.by_id());
    ASSERT_NO_FATAL_FAILURE(churn_by_id(table, model, greatest, random));
    ASSERT_NO_FATAL_FAILURE(churn_by_id(table, model, 500, random));
    EXPECT_FALSE(table.by_id());
  }
}

TEST(RowTable, RestoresRowsByIdWhereTheyAre) {
  using enum RowState;
  const auto by_id = RowTable::restore({0, 0, 2}, {kFree, kFree, kLive}, RowNumbers::kIds);
  ASSERT_TRUE(by_id && by_id->by_id());
  EXPECT_EQ(by_id->find(2), Row{2});
  EXPECT_EQ(by_id->find(0), std::nullopt);
  EXPECT_EQ(by_id->rows(), 3U);
  EXPECT_EQ(by_id->live(), 1U);
  for (const RowState other : {kLive, kDead}) {
    const auto looked_up = RowTable::restore({1, 0, 2}, {kLive, kFree, other}, RowNumbers::kIds);
    ASSERT_TRUE(looked_up && !looked_up->by_id());
    EXPECT_EQ(looked_up->find(1), Row{0});
  }
  const auto dead = RowTable::restore({0, 1}, {kLive, kDead}, RowNumbers::kIds);
  ASSERT_TRUE(dead && !dead->by_id());
}

}  // namespace
}  // namespace annulus
