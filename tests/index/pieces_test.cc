#include "index/pieces.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace annulus {
namespace {

using Entry = std::vector<std::uint8_t>;

Entry entry_of(std::size_t bytes, std::mt19937& random) {
  Entry entry(bytes);
  for (std::uint8_t& byte : entry) byte = static_cast<std::uint8_t>(random());
  return entry;
}

void expect_equal(const EntryLists& lists, const std::vector<std::vector<Entry>>& model) {
  for (std::size_t list = 0; list < model.size(); ++list) {
    ASSERT_EQ(lists.size(list), model[list].size());
    for (std::size_t i = 0; i < model[list].size();) {
      const std::size_t run = std::min(lists.run(i), model[list].size() - i);
      ASSERT_GE(run, 1U);
      const std::uint8_t* entries = lists.entry(list, i);
      for (std::size_t j = 0; j < run; ++j, ++i) {
        ASSERT_EQ(std::memcmp(entries + j * lists.entry_bytes(), model[list][i].data(), lists.entry_bytes()), 0)
            << "entry " << i << " of list " << list;
      }
    }
  }
}

TEST(EntryTable, KeepsEntriesWhereTheyAreInAnyOrder) {
  EntryTable table(100);
  std::vector<const std::uint8_t*> where;
  for (std::size_t size = 0; size < 1000;) {
    const std::size_t end = size + 1 + size / 3;
    table.reserve(size, end);
    for (std::size_t entry = end; entry-- > size;) std::memset(table[entry], static_cast<int>(entry % 251), 100);
    for (; size < end; ++size) where.push_back(table[size]);
  }
  for (std::size_t entry = 0; entry < where.size(); ++entry) {
    ASSERT_EQ(std::as_const(table)[entry], where[entry]);
    for (std::size_t i = 0; i < 100; ++i) ASSERT_EQ(where[entry][i], entry % 251) << "byte " << i << " of " << entry;
  }
}

TEST(Pieces, AreApartAndComeBack) {
  Pieces pieces(96);
  std::set<std::uint32_t> taken;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const std::uint32_t piece = pieces.take();
    ASSERT_TRUE(taken.insert(piece).second);
    std::memset(pieces[piece], static_cast<int>(piece % 251), pieces.bytes());
  }
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pieces[0]) % 64, 0U);
  EXPECT_EQ(pieces.memory_bytes(), 96'000U);
  for (const std::uint32_t piece : taken) {
    for (std::size_t i = 0; i < pieces.bytes(); ++i) ASSERT_EQ(pieces[piece][i], piece % 251) << "byte " << i << " of " << piece;
  }
  for (std::uint32_t piece = 100; piece < 200; ++piece) pieces.give_back(piece);
  std::set<std::uint32_t> again;
  for (int i = 0; i < 100; ++i) again.insert(pieces.take());
  EXPECT_EQ(again.size(), 100U);
  EXPECT_EQ(*again.begin(), 100U);
  EXPECT_EQ(*again.rbegin(), 199U);
  EXPECT_EQ(pieces.memory_bytes(), 96'000U);
  EXPECT_EQ(pieces.take(), 1000U);
}

class EntryListsOf : public ::testing::TestWithParam<std::size_t> {};

INSTANTIATE_TEST_SUITE_P(Bytes, EntryListsOf, ::testing::Values(4, 7, 100, 400, 1025, 3072), ::testing::PrintToStringParamName());

TEST_P(EntryListsOf, AreWhatAVectorOfEntriesIs) {
  std::mt19937 random(static_cast<std::uint32_t>(GetParam()));
  EntryLists lists(3, GetParam());
  std::vector<std::vector<Entry>> model(3);
  for (int step = 0; step < 3000; ++step) {
    const std::size_t list = random() % 3;
    auto& of = model[list];
    if (of.empty() || random() % 8 < (step < 2000 ? 5 : 2)) {
      of.push_back(entry_of(GetParam(), random));
      lists.append(list, of.back().data());
    } else {
      const std::size_t at = random() % of.size();
      lists.take_out(list, at);
      of[at] = of.back();
      of.pop_back();
    }
    if (step % 250 == 0) expect_equal(lists, model);
  }
  expect_equal(lists, model);
}

TEST_P(EntryListsOf, StayWhereTheyAreWhileTheyGrow) {
  std::mt19937 random(1);
  EntryLists lists(2, GetParam());
  std::vector<const std::uint8_t*> where;
  for (std::size_t size = 0; size < 1500;) {
    const std::size_t more = 1 + random() % 40;
    lists.reserve(lists.tables().growth(1, more));
    ListTables::Room room = lists.tables().enlarged(1, more);
    if (room) lists.tables().exchange(room);
    for (std::size_t i = 0; i < where.size(); ++i) ASSERT_EQ(lists.entry(1, i), where[i]);
    for (std::size_t i = 0; i < more; ++i, ++size) {
      lists.append(1, entry_of(GetParam(), random).data());
      where.push_back(lists.entry(1, size));
    }
    ASSERT_FALSE(lists.tables().enlarged(1, 0));
    ASSERT_EQ(lists.tables().growth(1, 0), 0U);
  }
}

TEST_P(EntryListsOf, HaveLittleThatIsEmptyAndReuseWhatOthersHad) {
  constexpr std::size_t kLists = 50;
  std::mt19937 random(2);
  EntryLists lists(kLists, GetParam());
  const std::size_t empty = lists.memory_bytes();
  std::size_t entries = 0;
  for (std::size_t list = 0; list < kLists; ++list) {
    for (std::size_t i = 0; i < 10 * list; ++i, ++entries) lists.append(list, entry_of(GetParam(), random).data());
  }
  const std::size_t full = lists.memory_bytes();
  EXPECT_GE(full, empty + entries * GetParam());
  // a piece that is not full, and a table with an eighth to spare
  EXPECT_LE(full, empty + entries * GetParam() + kLists * (1024 + 64) + entries * 5);
  for (std::size_t list = kLists / 2; list < kLists; ++list) {
    while (lists.size(list) != 0) lists.take_out(list, 0);
  }
  for (std::size_t list = 0; list < kLists / 2; ++list) {
    for (std::size_t i = 0; i < 10 * list; ++i) lists.append(list, entry_of(GetParam(), random).data());
  }
  EXPECT_LE(lists.memory_bytes(), full + entries * 5);
}

}  // namespace
}  // namespace annulus
