#include "index/int8_blocks.h"

#include <limits>
#include <random>

#include "tests/index/support.h"

namespace annulus {
namespace {

struct Entry {
  std::vector<std::uint8_t> code;
  std::int32_t norm;
  Row row;
};

void expect_lists(const Int8BlockLists& lists, std::size_t d, const std::vector<std::vector<Entry>>& model) {
  std::vector<std::uint8_t> code(d);
  for (std::size_t list = 0; list < model.size(); ++list) {
    ASSERT_EQ(lists.size(list), model[list].size());
    for (std::size_t i = 0; i < model[list].size(); ++i) {
      ASSERT_EQ(lists.read(list, i, code.data()), model[list][i].norm);
      ASSERT_EQ(code, model[list][i].code);
      ASSERT_EQ(lists.row(list, i), model[list][i].row);
    }
  }
}

TEST(Int8BlockLists, AreWhatAVectorOfEntriesIs) {
  for (const std::size_t d : {1UL, 6UL, 32UL}) {
    SCOPED_TRACE(d);
    std::mt19937 generator(static_cast<std::uint32_t>(d));
    Int8BlockLists lists(3, d, true);
    std::vector<std::vector<Entry>> model(3);
    for (Row row = 0; row < 2000; ++row) {
      const std::size_t list = generator() % 3;
      Entry entry{std::vector<std::uint8_t>(d), static_cast<std::int32_t>(generator()), row};
      for (std::uint8_t& byte : entry.code) byte = static_cast<std::uint8_t>(generator());
      const std::size_t what = generator() % 8;
      auto& of = model[list];
      if (what < 4 || of.empty()) {
        lists.append(list, entry.code.data(), entry.norm, row);
        of.push_back(entry);
      } else if (what < 6) {
        const std::size_t at = generator() % of.size();
        lists.overwrite(list, at, entry.code.data(), entry.norm, row);
        of[at] = entry;
      } else {
        const std::size_t at = generator() % of.size();
        lists.take_out(list, at);
        of[at] = of.back();
        of.pop_back();
      }
      if (row % 100 == 0) expect_lists(lists, d, model);
    }
    expect_lists(lists, d, model);
  }
}

TEST(Int8BlockLists, AreScannedWhereTheyLie) {
  Int8BlockLists lists(1, 8, true);
  const std::vector<std::int8_t> query(8, 1);
  for (Row row = 0; row < 40; ++row)
    lists.append(0, std::vector<std::uint8_t>(8, static_cast<std::uint8_t>(row)).data(), 0, 100 + row);
  std::vector<kernels::BlockHit> hits(40);
  const kernels::BlockQuery form{query.data(), 0, 1, 0};
  std::vector<const std::uint8_t*> blocks;
  std::vector<std::uint16_t> lanes;
  for (std::size_t i = 0; i < lists.parts(0); ++i) {
    blocks.push_back(lists.part(0, i).block);
    lanes.push_back(lists.part(0, i).lanes);
  }
  EXPECT_EQ(lanes, (std::vector<std::uint16_t>{0xFFFF, 0xFFFF, 0xFF}));
  const std::size_t found = kernels::scan_blocks(form, blocks, lanes, lists.layout(), 80.0F, hits.data());
  ASSERT_EQ(found, 11U);  // 8 * 0 to 8 * 10
  for (std::size_t i = 0; i < found; ++i) {
    EXPECT_EQ(lists.row(0, hits[i].position), 100 + i);
    EXPECT_EQ(hits[i].distance, 8.0F * static_cast<float>(i));
  }
}

TEST(Int8BlockLists, StayWhereTheyAreWhileTheyGrow) {
  Int8BlockLists lists(2, 4, true);
  const std::vector<std::uint8_t> code = {1, 2, 3, 4};
  for (Row row = 0; row < 16; ++row) lists.append(1, code.data(), 5, row);
  const std::uint8_t* before = lists.part(1, 0).block;
  EXPECT_FALSE(lists.tables().enlarged(1, 0));
  ListTables::Room room = lists.tables().enlarged(1, 500);
  ASSERT_TRUE(room);
  EXPECT_EQ(lists.row(1, 15), 15U);
  lists.tables().exchange(room);
  for (Row row = 16; row < 516; ++row) lists.append(1, code.data(), 5, row);
  EXPECT_EQ(lists.part(1, 0).block, before);
  EXPECT_EQ(lists.parts(1), 33U);
  for (Row row = 0; row < 516; ++row) EXPECT_EQ(lists.row(1, row), row);
}

TEST(Int8BlockLists, TakeALineLessABlockWithoutNorms) {
  Int8BlockLists lists(1, 6, false);
  const std::vector<std::uint8_t> code = {1, 2, 3, 4, 5, 6};
  for (Row row = 0; row < 30; ++row) lists.append(0, code.data(), 7, 1000 + row);
  lists.take_out(0, 3);
  std::vector<std::uint8_t> read(6);
  for (std::size_t i = 0; i < 29; ++i) {
    EXPECT_EQ(lists.read(0, i, read.data()), 0);
    EXPECT_EQ(read, code);
    EXPECT_EQ(lists.row(0, i), i == 3 ? 1029U : 1000 + i);
  }
  EXPECT_EQ(lists.layout().bytes(), 3 * 64U);
}

TEST(Int8BlockLists, CountTheirMemory) {
  Int8BlockLists lists(10, 100, true);
  const std::size_t empty = lists.memory_bytes();
  EXPECT_EQ(empty, 160U);
  const std::vector<std::uint8_t> code(100, 7);
  for (Row row = 0; row < 16; ++row) lists.append(3, code.data(), 0, row);
  EXPECT_EQ(lists.memory_bytes(), empty + kernels::BlockLayout(100, true).bytes() + 24 + 1);  // a block, a table for 6, what of it is taken
}

}  // namespace
}  // namespace annulus
