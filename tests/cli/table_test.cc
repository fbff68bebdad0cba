#include "cli/table.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace annulus::cli {
namespace {

TEST(Table, AlignsTextLeftAndNumbersRight) {
  Table table({{"node"}, {"keys", Align::kRight}});
  table.add_row({"shard-1", "5,012"});
  table.add_row({"s2", "7"});
  EXPECT_EQ(table.to_string(),
            "  node      keys\n"
            "  ───────  ─────\n"
            "  shard-1  5,012\n"
            "  s2           7\n");
}

TEST(Table, AlignsByWhatATerminalShowsNotByBytes) {
  Table table({{"key"}, {"n", Align::kRight}});
  table.add_row({"日本", "1"});
  table.add_row({"café", "2"});
  table.add_row({"e\u0301", "3"});
  EXPECT_EQ(table.to_string(0),
            "key   n\n"
            "────  ─\n"
            "日本  1\n"
            "café  2\n"
            "e\u0301     3\n");
}

TEST(Table, MissingCellsAreEmptyAndLeaveNoTrailingSpaces) {
  Table table({{"a"}, {"b"}});
  table.add_row({"x"});
  table.add_rule();
  table.add_row({"", "y"});
  EXPECT_EQ(table.to_string(0), "a  b\n─  ─\nx\n─  ─\n   y\n");
}

TEST(Table, TooManyCellsAreRefused) {
  Table table({{"a"}});
  EXPECT_THROW(table.add_row({"x", "y"}), std::invalid_argument);
}

TEST(DisplayWidth, CountsABrokenByteAsOneColumn) {
  EXPECT_EQ(display_width(""), 0U);
  EXPECT_EQ(display_width("a\xff\xc3"), 3U);
  EXPECT_EQ(display_width("\xe2\x82"), 2U);
  EXPECT_EQ(display_width("─"), 1U);
  EXPECT_EQ(display_width("🚀"), 2U);
}

TEST(DisplayWidth, CountsNoColumnForColours) {
  EXPECT_EQ(display_width("\x1b[1;32mgood\x1b[0m"), 4U);
  EXPECT_EQ(display_width("\x1b[2J"), 4U);  // clears the screen: no colour
  EXPECT_EQ(display_width("\x1b["), 2U);
}

TEST(Numbers, AreGroupedByThousands) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(18446744073709551615U), "18,446,744,073,709,551,615");
}

TEST(Numbers, FractionsArePercentages) {
  EXPECT_EQ(percent(0.2512), "25.1 %");
  EXPECT_EQ(percent(1, 0), "100 %");
}

TEST(Numbers, DurationsAndSizesHaveThreeDigitsAndAUnit) {
  EXPECT_EQ(duration_text(0.0123), "12.3 ms");
  EXPECT_EQ(duration_text(1), "1.00 s");
  EXPECT_EQ(duration_text(123.4), "123 s");
  EXPECT_EQ(duration_text(6.9e-9), "6.90 ns");
  EXPECT_EQ(duration_text(0.9999), "1.00 s");
  EXPECT_EQ(duration_text(0), "0.00 ns");
  EXPECT_EQ(bytes_text(12), "12 B");
  EXPECT_EQ(bytes_text(4000008), "4.00 MB");
  EXPECT_EQ(bytes_text(999600), "1.00 MB");
}

}  // namespace
}  // namespace annulus::cli
