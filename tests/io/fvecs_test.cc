#include "io/fvecs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/durable_file.h"
#include "core/error.h"
#include "tests/io/scratch_file.h"

namespace annulus {
namespace {

using ::testing::HasSubstr;

const std::string kOneAsFloat("\x00\x00\x80\x3f", 4);

void expect_data_loss(const std::string& bytes, const std::string& message) {
  ScratchFile file(bytes);
  try {
    read_fvecs(file.path());
    ADD_FAILURE() << "no error was thrown, expected: " << message;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
    EXPECT_THAT(error.what(), HasSubstr(message));
    EXPECT_THAT(error.what(), HasSubstr(file.path().string()));
  }
}

TEST(Fvecs, ReadsBackWhatWasWritten) {
  Matrix rows(2, 3);
  rows << 1, -2, 3.5F, 1e-30F, std::numeric_limits<float>::max(), 0;
  ScratchFile file;
  write_fvecs(file.path(), rows);
  EXPECT_EQ(read_fvecs(file.path()), rows);
}

TEST(Fvecs, TheLayoutIsADimensionAndItsFloatsForEachVector) {
  ScratchFile file;
  write_fvecs(file.path(), Matrix::Ones(2, 1));
  EXPECT_EQ(read_file(file.path()), u32(1) + kOneAsFloat + u32(1) + kOneAsFloat);
}

TEST(Fvecs, NanPassesThrough) {
  ScratchFile file;
  write_fvecs(file.path(), Matrix::Constant(1, 1, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_TRUE(std::isnan(read_fvecs(file.path())(0, 0)));
}

TEST(Fvecs, EveryTruncationWithinAVectorIsDataLoss) {
  const std::string vector = u32(2) + kOneAsFloat + kOneAsFloat;
  for (std::size_t size = 0; size < vector.size(); ++size) {
    expect_data_loss(vector.substr(0, size), "truncated");
    if (size > 0) expect_data_loss(vector + vector.substr(0, size), "truncated");
  }
}

TEST(Fvecs, AnAbsurdDimensionIsDataLossAndAllocatesNothing) {
  expect_data_loss(u32(0x7FFFFFFF) + kOneAsFloat, "of a vector of 2147483647 dimensions");
  expect_data_loss(u32(0xFFFFFFFF) + kOneAsFloat, "first vector has -1 dimensions");
  expect_data_loss(u32(0), "first vector has 0 dimensions");
}

TEST(Fvecs, ADimensionThatChangesIsDataLossAndNamesTheVector) {
  expect_data_loss(u32(1) + kOneAsFloat + u32(1) + kOneAsFloat + u32(3) + kOneAsFloat,
                   "vector 2 has 3 dimensions, the first one has 1");
}

TEST(Fvecs, AMissingFileIsNotFound) {
  ScratchFile missing;
  try {
    read_fvecs(missing.path());
    ADD_FAILURE() << "no error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

TEST(Fvecs, AnEmptyMatrixIsNotWritten) {
  ScratchFile file;
  try {
    write_fvecs(file.path(), Matrix(3, 0));
    ADD_FAILURE() << "no error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("3 x 0"));
  }
  EXPECT_FALSE(std::filesystem::exists(file.path()));
}

}  // namespace
}  // namespace annulus
