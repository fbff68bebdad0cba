#include "cli/progress.h"

#include <gtest/gtest.h>

#include "cli/table.h"

namespace annulus::cli {
namespace {

TEST(ProgressLine, SaysHowFarHowFastAndHowLongStill) {
  EXPECT_EQ(progress_line("moving", 3000, 12000, "keys", 2.0, 120),
            "moving  ██████░░░░░░░░░░░░░░░░░░   25 %  3,000 of 12,000 keys  1,500/s  6 s to go");
}

TEST(ProgressLine, ShowsPartsOfACell) {
  EXPECT_EQ(progress_line("moving", 1, 48, "keys", 0, 40), "moving  ▌░░░░░░░░░░░░░░░░░░░░░░░    2 %");
}

TEST(ProgressLine, SaysAHundredPercentOnlyWhenDone) {
  EXPECT_NE(progress_line("moving", 9999, 10000, "keys", 1.0, 120).find(" 99 %"), std::string::npos);
  EXPECT_EQ(progress_line("moving", 10000, 10000, "keys", 1.0, 120),
            "moving  ████████████████████████  100 %  10,000 of 10,000 keys  10,000/s");
}

TEST(ProgressLine, WithoutATotalCountsOnly) {
  EXPECT_EQ(progress_line("reading", 12, 0, "keys", 1.0, 120), "reading  12 keys  12/s");
}

TEST(ProgressLine, MoreThanTheTotalDoesNotOverflowTheBar) {
  EXPECT_EQ(progress_line("moving", 20, 10, "keys", 0, 43), "moving  ████████████████████████  100 %");
}

TEST(ProgressLine, NeverExceedsTheTerminal) {
  for (std::size_t columns = 0; columns < 100; ++columns) {
    EXPECT_LE(display_width(progress_line("moving", 3, 7000, "keys", 2.0, columns)), columns);
  }
}

TEST(ProgressLine, LongTimesAreShownInMinutesAndHours) {
  EXPECT_NE(progress_line("moving", 1, 91, "keys", 1.0, 120).find("1:30 to go"), std::string::npos);
  EXPECT_NE(progress_line("moving", 1, 3662, "keys", 1.0, 120).find("1:01:01 to go"), std::string::npos);
}

TEST(ProgressBar, PrintsNothingWhereThereIsNoTerminal) {
  testing::internal::CaptureStderr();
  {
    ProgressBar bar("moving", 10, "keys");
    bar.update(5);
    bar.update(10, 10);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace annulus::cli
