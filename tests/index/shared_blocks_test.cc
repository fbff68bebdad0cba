// Blocks that lists share: parts never overlap, come back, and are taken where the rest is of least use.
#include "index/shared_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "index/int8_blocks.h"

namespace annulus {
namespace {

using kernels::BlockLayout;

struct Part {
  BlockSlot slot;
  std::size_t quarters;
};

/// The quarters of blocks that parts have taken: none twice, and each part where it may lie.
std::map<std::uint32_t, unsigned> taken_by(const std::vector<Part>& parts) {
  std::map<std::uint32_t, unsigned> taken;
  for (const Part& part : parts) {
    EXPECT_LE(part.slot.quarter + part.quarters, 4U);
    EXPECT_EQ(part.slot.quarter % std::min<std::size_t>(part.quarters, 3), 0U) << "not where it may lie";
    const unsigned mask = ((1U << part.quarters) - 1) << part.slot.quarter;
    EXPECT_EQ(taken[part.slot.block] & mask, 0U) << "taken twice";
    taken[part.slot.block] |= mask;
  }
  return taken;
}

TEST(SharedBlocks, AreTakenInPartsThatDoNotOverlap) {
  std::mt19937 random(1);
  SharedBlocks blocks(BlockLayout(8, true));
  std::vector<Part> parts;
  for (int step = 0; step < 20'000; ++step) {
    const unsigned what = random() % 8;
    const std::size_t at = parts.empty() ? 0 : random() % parts.size();
    if (parts.empty() || what < (parts.size() < 300 ? 4 : 2)) {
      const std::size_t quarters = 1 + random() % 4;
      parts.push_back({blocks.take(quarters), quarters});
    } else if (what < 5) {
      Part& part = parts[at];
      if (part.quarters < 4 && blocks.widen(part.slot, part.quarters)) ++part.quarters;
    } else if (what == 5 && parts[at].quarters > 1) {
      blocks.narrow(parts[at].slot, parts[at].quarters--);
    } else {
      blocks.give_back(parts[at].slot, parts[at].quarters);
      parts[at] = parts.back();
      parts.pop_back();
    }
    if (step % 500 != 0) continue;
    taken_by(parts);
    ASSERT_FALSE(HasFailure());
  }
  taken_by(parts);
  // what was never taken has been given back: all of it serves again
  const std::size_t most = blocks.memory_bytes();
  for (const Part& part : parts) blocks.give_back(part.slot, part.quarters);
  for (std::size_t i = 0; i < most / (blocks.bytes() + 1); ++i) blocks.take(4);
  EXPECT_EQ(blocks.memory_bytes(), most);
}

TEST(SharedBlocks, FillTheSmallestRestFirst) {
  SharedBlocks blocks(BlockLayout(8, false));
  const BlockSlot three = blocks.take(3);
  const BlockSlot two = blocks.take(2);
  EXPECT_NE(two.block, three.block);
  const BlockSlot one = blocks.take(1);  // behind the three, where nothing else fits
  EXPECT_EQ(one.block, three.block);
  EXPECT_EQ(one.quarter, 3U);
  const BlockSlot other_two = blocks.take(2);
  EXPECT_EQ(other_two.block, two.block);
  EXPECT_EQ(other_two.quarter, 2U);
  blocks.give_back(two, 2);
  const BlockSlot again = blocks.take(2);
  EXPECT_EQ(again.packed(), two.packed());
}

TEST(SharedBlocks, GiveARestToAPartThatFillsIt) {
  SharedBlocks blocks(BlockLayout(8, false));
  const BlockSlot three = blocks.take(3);
  EXPECT_FALSE(blocks.take_rest(2, UINT32_MAX));
  EXPECT_FALSE(blocks.take_rest(1, three.block)) << "its own";
  const std::optional<BlockSlot> one = blocks.take_rest(1, UINT32_MAX);
  ASSERT_TRUE(one);
  EXPECT_EQ(one->block, three.block);
  EXPECT_EQ(one->quarter, 3U);
  EXPECT_FALSE(blocks.take_rest(1, UINT32_MAX)) << "nothing is left";
}

TEST(SharedBlocks, WidenAPartWhereItLies) {
  SharedBlocks blocks(BlockLayout(8, false));
  const BlockSlot part = blocks.take(1);
  EXPECT_TRUE(blocks.widen(part, 1));
  const BlockSlot behind = blocks.take(1);
  EXPECT_EQ(behind.block, part.block);
  EXPECT_EQ(behind.quarter, 2U);
  EXPECT_FALSE(blocks.widen(part, 2)) << "another has it";
  EXPECT_TRUE(blocks.widen(behind, 1));
  EXPECT_FALSE(blocks.widen(behind, 2)) << "three are the first three";
  blocks.give_back(behind, 2);
  EXPECT_TRUE(blocks.widen(part, 2));
  EXPECT_TRUE(blocks.widen(part, 3));
}

struct Entry {
  std::vector<std::uint8_t> code;
  std::int32_t norm;
  Row row;
};

TEST(SharedBlocks, HoldManyShortListsThatChange) {
  constexpr std::size_t kLists = 500, kD = 10;
  std::mt19937 random(2);
  Int8BlockLists lists(kLists, kD, true);
  std::vector<std::vector<Entry>> model(kLists);
  std::vector<std::uint8_t> code(kD);
  const auto check = [&] {
    for (std::size_t list = 0; list < kLists; ++list) {
      const auto& expected = model[list];
      ASSERT_EQ(lists.size(list), expected.size());
      std::size_t rows = 0;
      for (std::size_t i = 0; i < lists.parts(list); ++i) {
        const Int8BlockLists::Part part = lists.part(list, i);
        for (std::size_t lane = 0; lane < kernels::kBlockRows; ++lane) {
          if ((part.lanes >> lane & 1) == 0) continue;
          ASSERT_EQ(lists.row_in(part.block, lane), expected[rows].row);
          ASSERT_EQ(lists.row(list, rows), expected[rows].row);
          ASSERT_EQ(lists.read(list, rows, code.data()), expected[rows].norm);
          ASSERT_EQ(code, expected[rows].code);
          ++rows;
        }
      }
      ASSERT_EQ(rows, expected.size());
    }
  };
  for (Row row = 0; row < 60'000; ++row) {
    const std::size_t number = random() % kLists;
    auto& list = model[number];
    if (list.empty() || random() % 16 < (row < 30'000 ? 10U : 8U)) {
      for (std::uint8_t& byte : code) byte = static_cast<std::uint8_t>(random());
      list.push_back({code, static_cast<std::int32_t>(random()), row});
      // as an index does: what can throw comes first
      const std::size_t before = lists.memory_bytes();
      lists.reserve(lists.tables().growth(number, 1));
      ASSERT_EQ(lists.memory_bytes(), before);
      lists.append(number, code.data(), list.back().norm, row);
    } else {
      const std::size_t at = random() % list.size();
      lists.take_out(number, at);
      list[at] = list.back();
      list.pop_back();
    }
    if (row % 5000 == 0 || row == 59'999) {
      ASSERT_NO_FATAL_FAILURE(check());
    }
  }
}

// What an index asks for before it changes anything, it asks for once a batch: whatever rows the batch takes out in between, which
// parts they move and whose blocks these then fill, appending needs no memory.
TEST(SharedBlocks, NeedNoMoreThanWasReservedForABatch) {
  constexpr std::size_t kLists = 200;
  constexpr std::size_t kD = 4;
  std::mt19937 random(5);
  Int8BlockLists lists(kLists, kD, false);
  const std::vector<std::uint8_t> code(kD, 1);
  for (int batch = 0; batch < 3000; ++batch) {
    std::vector<std::size_t> appended(1 + random() % 30);
    const std::size_t span = 1 + random() % kLists;  // few lists or many
    for (std::size_t& list : appended) list = random() % span;
    std::size_t growth = 0;
    for (std::size_t list = 0; list < kLists; ++list) {
      const auto more = static_cast<std::size_t>(std::count(appended.begin(), appended.end(), list));
      growth += lists.tables().growth(list, more);
      if (ListTables::Room room = lists.tables().enlarged(list, more)) lists.tables().exchange(room);
    }
    lists.reserve(growth);
    const std::size_t most = lists.tables().length() + growth;
    for (const std::size_t list : appended) {
      for (std::size_t out = random() % 3; out > 0; --out) {
        const std::size_t of = random() % kLists;
        if (lists.size(of) > (batch < 1500 ? 20U : 0U)) lists.take_out(of, random() % lists.size(of));
      }
      lists.append(list, code.data(), 0, 0);
      ASSERT_LE(lists.blocks_in_use(), most);
    }
  }
}

TEST(SharedBlocks, LeaveLittleEmpty) {
  constexpr std::size_t kLists = 1024;
  std::mt19937 random(3);
  const BlockLayout layout(100, false);
  Int8BlockLists lists(kLists, 100, false);
  const std::vector<std::uint8_t> code(100, 1);
  const auto empty_rows_a_list = [&] {
    std::size_t rows = 0, tables = 0;
    for (std::size_t list = 0; list < kLists; ++list) {
      rows += lists.size(list);
      tables += 4 * ((std::max<std::size_t>(lists.parts(list), 3) + 1) / 4 * 4 + 2);
    }
    const double blocks = static_cast<double>(lists.memory_bytes() - 16 * kLists - tables);
    return (blocks * kernels::kBlockRows / static_cast<double>(layout.bytes()) - static_cast<double>(rows)) / kLists;
  };
  // of 4 lanes in a quarter 1.5 are empty, and not every rest finds a list that it fits
  for (Row row = 0; row < 20'000; ++row) lists.append(random() % kLists, code.data(), 0, row);
  EXPECT_LT(empty_rows_a_list(), 2.2) << "20 rows a list";
  for (Row row = 0; row < 20'000; ++row) lists.append(random() % kLists, code.data(), 0, row);
  EXPECT_LT(empty_rows_a_list(), 2.2) << "40 rows a list";
  for (int step = 0; step < 100'000; ++step) {  // rows come and go
    const std::size_t list = random() % kLists;
    if (lists.size(list) != 0) lists.take_out(list, random() % lists.size(list));
    lists.append(random() % kLists, code.data(), 0, 0);
  }
  EXPECT_LT(empty_rows_a_list(), 2.5) << "after many changes";
}

}  // namespace
}  // namespace annulus
