#include "cli/terminal_style.h"

#include <gtest/gtest.h>

#include "cli/table.h"

namespace annulus::cli {
namespace {

TEST(TerminalStyle, SetsColoursAndTakesThemBack) {
  EXPECT_EQ(TerminalStyle(true).good("done"), "\x1b[32mdone\x1b[0m");
  EXPECT_EQ(TerminalStyle(true).good(""), "");
}

TEST(TerminalStyle, LeavesTextAsItIsWithoutColours) {
  const TerminalStyle plain(false);
  EXPECT_EQ(plain.heading("a") + plain.faint("b") + plain.good("c") + plain.bad("d") + plain.accent("e"), "abcde");
}

TEST(TerminalStyle, HasNoColoursWhereStdoutIsNoTerminal) {
  testing::internal::CaptureStdout();
  const TerminalStyle style = TerminalStyle::of_stdout();
  testing::internal::GetCapturedStdout();
  EXPECT_EQ(style.bad("x"), "x");
}

TEST(ShareBar, CountsInEighthsOfAColumn) {
  EXPECT_EQ(share_bar(0, 4), "");
  EXPECT_EQ(share_bar(1, 4), "████");
  EXPECT_EQ(share_bar(0.5, 4), "██");
  EXPECT_EQ(share_bar(0.375, 4), "█▌");
  EXPECT_EQ(share_bar(0.0001, 4), "▏");
  EXPECT_EQ(share_bar(7, 4), "████");
  for (int i = 0; i <= 100; ++i) EXPECT_LE(display_width(share_bar(i / 100.0, 10)), 10U);
}

}  // namespace
}  // namespace annulus::cli
