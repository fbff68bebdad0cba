#include "shard/record_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace annulus {
namespace {

constexpr Token kLast = std::numeric_limits<Token>::max();
using Place = std::pair<Token, std::string>;

// Keys that begin with their token, so that a test chooses it.
Token leading_token(KeyView key) noexcept { return id_of_key(key.substr(0, 8)); }
std::string key_at(Token token, const std::string& name) { return std::string(KeyView(IdKey(token))) + name; }
std::string key_at(const Place& place) { return key_at(place.first, place.second); }

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
    places.emplace_back(table.token(slot), table.key(slot).substr(8));
    return true;
  }));
  return places;
}

// Tokens of which many are equal, and which meet both ends of the ring.
const std::vector<Token> kTokens = {0, 1, 2, 5, 6, 7, Token{1} << 63, (Token{1} << 63) + 1, kLast - 1, kLast};

TEST(RecordTable, AgreesWithAMapThroughRandomInsertsAndRemoves) {
  std::mt19937_64 random(17);
  RecordTable table(leading_token);
  std::map<Place, Slot> oracle;
  std::size_t most = 0;
  for (int step = 0; step < 4000; ++step) {
    const Place place{kTokens[random() % kTokens.size()], "k" + std::to_string(random() % 40)};
    const auto known = oracle.find(place);
    ASSERT_EQ(table.find(place.first, key_at(place)), known == oracle.end() ? RecordTable::kNoSlot : known->second);
    if (known == oracle.end()) {
      const Slot slot = table.insert(place.first, key_at(place));
      ASSERT_TRUE(std::none_of(oracle.begin(), oracle.end(), [&](const auto& entry) { return entry.second == slot; }));
      ASSERT_EQ(table[slot].key, key_at(place));
      ASSERT_EQ(table.token(slot), place.first);
      ASSERT_EQ(table[slot].version, Version{});
      ASSERT_FALSE(table[slot].deleted);
      table.set(slot, {random(), static_cast<std::uint32_t>(random())}, random(), true);
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

TEST(RecordTable, FindsManyKeysTogetherAsItFindsEach) {
  std::mt19937_64 random(5);
  RecordTable table(leading_token);
  // few tokens of an upper half, some, and more than a leaf of the table holds
  std::map<Place, Slot> oracle;
  for (int i = 0; i < 6000; ++i) {
    const Token above = i % 3 == 0 ? 7 : i % 3 == 1 ? 100 + random() % 500 : random() >> 32;
    const Place place{above << 32 | (random() >> 32), "k"};
    if (!oracle.contains(place)) oracle[place] = table.insert(place.first, key_at(place));
  }
  std::vector<Token> tokens;
  std::vector<std::string> names;
  std::vector<Slot> expected;
  for (const auto& [place, slot] : oracle) {
    for (const char* name : {"k", "absent"}) {
      tokens.push_back(place.first);
      names.push_back(key_at(place.first, name));
      expected.push_back(*name == 'k' ? slot : RecordTable::kNoSlot);
    }
    tokens.push_back(place.first ^ 1);  // of the same upper half
    names.push_back(key_at(place.first ^ 1, "k"));
    const auto other = oracle.find({place.first ^ 1, "k"});
    expected.push_back(other == oracle.end() ? RecordTable::kNoSlot : other->second);
  }
  const std::vector<KeyView> keys(names.begin(), names.end());
  std::vector<Slot> found(keys.size());
  table.find(tokens, keys, found);
  EXPECT_EQ(found, expected);
  for (std::size_t i = 0; i < keys.size(); ++i) ASSERT_EQ(table.find(tokens[i], keys[i]), expected[i]) << i;
}

class FilledTable : public ::testing::Test {
 protected:
  FilledTable() {
    for (const Token token : kTokens) {
      for (const char* key : {"b", "a", "c"}) oracle_[{token, key}] = table_.insert(token, key_at(token, key));
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

  RecordTable table_{leading_token};
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
      ASSERT_TRUE(table_.walk_behind(arc, all[i].first, key_at(all[i]), [&](Slot slot) {
        rest.emplace_back(table_.token(slot), table_.key(slot).substr(8));
        return true;
      }));
      ASSERT_EQ(rest, (std::vector<Place>(all.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.end())))
          << arc.lo << ", " << arc.hi << " behind " << all[i].first;
      if (rest.empty()) continue;
      std::size_t visits = 0;
      ASSERT_FALSE(table_.walk_behind(arc, all[i].first, key_at(all[i]), [&](Slot) { return ++visits < 1; }));
      ASSERT_EQ(visits, 1u);
    }
  });
}

TEST_F(FilledTable, GoesOnBehindARecordThatIsGone) {
  const std::vector<Place> all = expected_walk(oracle_, {7, 5});
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Slot slot = table_.find(all[i].first, key_at(all[i]));
    table_.remove(slot);
    std::vector<Place> rest;
    table_.walk_behind({7, 5}, all[i].first, key_at(all[i]), [&](Slot s) {
      rest.emplace_back(table_.token(s), table_.key(s).substr(8));
      return true;
    });
    ASSERT_EQ(rest, (std::vector<Place>(all.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.end())));
  }
}

TEST_F(FilledTable, CountsLongKeysInItsMemory) {
  const std::size_t before = table_.memory_bytes();
  EXPECT_GE(before, table_.size() * 32);
  table_.insert(9, key_at(9, std::string(1000, 'x')));
  EXPECT_GE(table_.memory_bytes(), before + 1000);
}

struct Held {
  Slot slot;
  Version version;
  std::uint64_t vector_hash;
  bool deleted;
};

TEST(RecordTable, KeepsWhatItIsToldThroughChurnOfKeysOfAllLengths) {
  std::mt19937_64 random(3);
  RecordTable table;
  std::map<std::string, Held> oracle;
  for (int step = 0; step < 20000; ++step) {
    if (oracle.size() > 300 || (!oracle.empty() && random() % 3 == 0)) {
      const auto gone = std::next(oracle.begin(), static_cast<std::ptrdiff_t>(random() % oracle.size()));
      ASSERT_EQ(table.find(token_of_key(gone->first), gone->first), gone->second.slot);
      table.remove(gone->second.slot);
      ASSERT_FALSE(table.holds(gone->second.slot, gone->first));
      oracle.erase(gone);
      continue;
    }
    std::string key(1 + (random() % 4 == 0 ? random() % kMaxKeyBytes : random() % 20), ' ');
    for (char& c : key) c = static_cast<char>(random());
    if (oracle.contains(key)) continue;
    const Slot foretold = table.upcoming(2)[0];
    const Slot slot = table.insert(token_of_key(key), key);
    ASSERT_EQ(slot, foretold);
    const Held held{slot, {random(), static_cast<std::uint32_t>(random())}, random(), random() % 2 == 0};
    table.set(slot, held.version, held.vector_hash, held.deleted);
    oracle[key] = held;
    if (step % 50 != 0) continue;
    for (const auto& [known, expected] : oracle) {
      ASSERT_TRUE(table.holds(expected.slot, known));
      const RecordTable::Record record = table[expected.slot];
      ASSERT_EQ(record.key, known);
      ASSERT_EQ(record.version, expected.version);
      ASSERT_EQ(record.vector_hash, expected.vector_hash);
      ASSERT_EQ(record.deleted, expected.deleted);
    }
    std::vector<std::pair<Token, std::string>> walked, sorted;
    table.walk({0, 0}, [&](Slot at) { return walked.emplace_back(table.token(at), table.key(at)), true; });
    for (const auto& [known, expected] : oracle) sorted.emplace_back(token_of_key(known), known);
    std::sort(sorted.begin(), sorted.end());
    ASSERT_EQ(walked, sorted);
  }
}

TEST(RecordTable, NeedsNoMoreMemoryForKeysThatComeAndGo) {
  RecordTable table;
  const auto key_of = [](int i) { return std::string(static_cast<std::size_t>(1 + i * 7 % 1000), 'k') + std::to_string(i % 1000); };
  std::size_t after_first = 0;
  for (int round = 0; round < 20; ++round) {
    std::vector<Slot> slots;
    for (int i = 0; i < 2000; ++i) {
      const std::string key = key_of(i) + std::to_string(i);
      slots.push_back(table.insert(token_of_key(key), key));
    }
    if (round == 0) after_first = table.memory_bytes();
    ASSERT_EQ(table.memory_bytes(), after_first) << "round " << round;
    for (const Slot slot : slots) table.remove(slot);
  }
}

TEST(RecordTable, Takes40BytesARecordBesideItsKeyAtMost) {
  RecordTable table;
  constexpr std::size_t kRecords = 300000;
  for (std::uint64_t i = 0; i < kRecords; ++i) table.insert(token_of_key(IdKey(i)), IdKey(i));
  EXPECT_LE(static_cast<double>(table.memory_bytes()) / kRecords - 8, 40.0);
}

}  // namespace
}  // namespace annulus
