#include "shard/record_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <utility>

namespace annulus {
namespace {

constexpr Token kLast = std::numeric_limits<Token>::max();
using Place = std::pair<Token, std::string>;

// The records of `arc` in clockwise order, by the definition of an arc.
std::vector<Place> expected_walk(const std::map<Place, Slot>& oracle, const Arc& arc) {
  std::vector<Place> places;
  for (const auto& [place, slot] : oracle) {
    if (arc.contains(place.first)) places.push_back(place);
  }
  // clockwise from behind lo: the distance from lo + 1 orders the tokens
  std::stable_sort(places.begin(), places.end(), [&](const Place& a, const Place& b) {
    return Token{a.first - arc.lo - 1} < Token{b.first - arc.lo - 1};
  });
  return places;
}

std::vector<Place> walked(const RecordTable& table, const Arc& arc) {
  std::vector<Place> places;
  EXPECT_TRUE(table.walk(arc, [&](Slot slot) {
    places.emplace_back(table[slot].token, table[slot].key);
    return true;
  }));
  return places;
}

// Tokens of which many are equal, and which meet both ends of the ring.
const std::vector<Token> kTokens = {0, 1, 2, 5, 6, 7, Token{1} << 63, (Token{1} << 63) + 1, kLast - 1, kLast};

TEST(RecordTable, AgreesWithAMapThroughRandomInsertsAndRemoves) {
  std::mt19937_64 random(17);
  RecordTable table;
  std::map<Place, Slot> oracle;
  std::size_t most = 0;
  for (int step = 0; step < 4000; ++step) {
    const Place place{kTokens[random() % kTokens.size()], "k" + std::to_string(random() % 40)};
    const auto known = oracle.find(place);
    ASSERT_EQ(table.find(place.first, place.second), known == oracle.end() ? RecordTable::kNoSlot : known->second);
    if (known == oracle.end()) {
      const Slot slot = table.insert(place.first, place.second);
      ASSERT_TRUE(std::none_of(oracle.begin(), oracle.end(), [&](const auto& entry) { return entry.second == slot; }));
      ASSERT_EQ(table[slot].key, place.second);
      ASSERT_EQ(table[slot].token, place.first);
      ASSERT_EQ(table[slot].version, Version{});
      ASSERT_FALSE(table[slot].deleted);
      table[slot].version = {random(), 0};
      table[slot].deleted = true;
      oracle[place] = slot;
    } else {
      table.remove(known->second);
      oracle.erase(known);
    }
    most = std::max(most, oracle.size());
    ASSERT_EQ(table.size(), oracle.size());
    for (const auto& [at, slot] : oracle) ASSERT_LT(slot, most) << "free slots are reused";
  }
}

class FilledTable : public ::testing::Test {
 protected:
  FilledTable() {
    for (const Token token : kTokens) {
      for (const char* key : {"b", "a", "c"}) oracle_[{token, key}] = table_.insert(token, key);
    }
  }
  // Every arc between interesting tokens: narrow, wide, wrapping, whole.
  template <typename Check>
  void for_each_arc(Check&& check) {
    std::vector<Token> ends = kTokens;
    ends.insert(ends.end(), {3, 4, (Token{1} << 63) + 2, kLast - 2});
    for (const Token lo : ends) {
      for (const Token hi : ends) check(Arc{lo, hi});
    }
  }

  RecordTable table_;
  std::map<Place, Slot> oracle_;
};

TEST_F(FilledTable, WalksEveryArcClockwise) {
  for_each_arc([this](const Arc& arc) { ASSERT_EQ(walked(table_, arc), expected_walk(oracle_, arc)) << arc.lo << ", " << arc.hi; });
}

TEST_F(FilledTable, StopsWhenTheVisitorSaysSo) {
  for_each_arc([this](const Arc& arc) {
    const std::size_t all = expected_walk(oracle_, arc).size();
    for (std::size_t stop = 1; stop <= all; ++stop) {
      std::size_t visits = 0;
      ASSERT_FALSE(table_.walk(arc, [&](Slot) { return ++visits < stop; }));
      ASSERT_EQ(visits, stop);
    }
  });
}

TEST_F(FilledTable, GoesOnBehindEveryRecordOfEveryArc) {
  for_each_arc([this](const Arc& arc) {
    const std::vector<Place> all = expected_walk(oracle_, arc);
    for (std::size_t i = 0; i < all.size(); ++i) {
      std::vector<Place> rest;
      ASSERT_TRUE(table_.walk_behind(arc, all[i].first, all[i].second, [&](Slot slot) {
        rest.emplace_back(table_[slot].token, table_[slot].key);
        return true;
      }));
      ASSERT_EQ(rest, (std::vector<Place>(all.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.end())))
          << arc.lo << ", " << arc.hi << " behind " << all[i].first;
      if (rest.empty()) continue;
      std::size_t visits = 0;
      ASSERT_FALSE(table_.walk_behind(arc, all[i].first, all[i].second, [&](Slot) { return ++visits < 1; }));
      ASSERT_EQ(visits, 1u);
    }
  });
}

TEST_F(FilledTable, GoesOnBehindARecordThatIsGone) {
  const std::vector<Place> all = expected_walk(oracle_, {7, 5});
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Slot slot = table_.find(all[i].first, all[i].second);
    table_.remove(slot);
    std::vector<Place> rest;
    table_.walk_behind({7, 5}, all[i].first, all[i].second, [&](Slot s) {
      rest.emplace_back(table_[s].token, table_[s].key);
      return true;
    });
    ASSERT_EQ(rest, (std::vector<Place>(all.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.end())));
  }
}

TEST_F(FilledTable, CountsLongKeysInItsMemory) {
  const std::size_t before = table_.memory_bytes();
  EXPECT_GT(before, table_.size() * sizeof(RecordTable::Record) / 2);
  table_.insert(9, std::string(1000, 'x'));
  EXPECT_GE(table_.memory_bytes(), before + 1000);
}

}  // namespace
}  // namespace annulus
