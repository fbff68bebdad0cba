#include "io/lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/io/scratch_file.h"

namespace annulus {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Lines, ComeWithoutTheirEnds) {
  EXPECT_THAT(read_lines(ScratchFile("a\nb c\n").path()), ElementsAre("a", "b c"));
  EXPECT_THAT(read_lines(ScratchFile("a\r\nb\r\n").path()), ElementsAre("a", "b"));
}

TEST(Lines, TheLastOneMayLackItsEnd) { EXPECT_THAT(read_lines(ScratchFile("a\nb").path()), ElementsAre("a", "b")); }

TEST(Lines, AnEmptyLineIsALineAndAnEmptyFileHasNone) {
  EXPECT_THAT(read_lines(ScratchFile("a\n\nb\n\n").path()), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(read_lines(ScratchFile("").path()), IsEmpty());
}

TEST(Lines, BytesStayAsTheyAre) {
  const std::string key("\xff\x00\r mid", 7);
  EXPECT_THAT(read_lines(ScratchFile(key + "\n").path()), ElementsAre(key));
}

TEST(Lines, AMissingFileIsNotFound) {
  ScratchFile missing;
  try {
    read_lines(missing.path());
    ADD_FAILURE() << "no error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

}  // namespace
}  // namespace annulus
