#include "io/fbin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/durable_file.h"
#include "core/error.h"
#include "io/lines.h"
#include "tests/io/scratch_file.h"

namespace annulus {
namespace {

using ::testing::HasSubstr;

const std::string kOneAsFloat("\x00\x00\x80\x3f", 4);

template <class Call>
Error error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error was thrown";
  return Error(ErrorCode::kInternal, "");
}

TEST(Fbin, ReadsBackWhatWasWritten) {
  Matrix rows(3, 2);
  rows << 1, -2, 3.5F, 1e-30F, std::numeric_limits<float>::max(), 0;
  ScratchFile file;
  write_fbin(file.path(), rows);
  EXPECT_EQ(read_fbin(file.path()), rows);
}

TEST(Fbin, TheLayoutIsTwoNumbersAndTheRowsInLittleEndian) {
  ScratchFile file;
  write_fbin(file.path(), Matrix::Ones(1, 2));
  EXPECT_EQ(read_file(file.path()), u32(1) + u32(2) + kOneAsFloat + kOneAsFloat);
}

TEST(Fbin, WritesRowsOfAWiderMatrixWithoutTheirNeighbours) {
  Matrix wide(2, 4);
  wide << 1, 2, 3, 4, 5, 6, 7, 8;
  ScratchFile file;
  write_fbin(file.path(), wide.leftCols(2));
  EXPECT_EQ(read_fbin(file.path()), wide.leftCols(2));
}

TEST(Fbin, NanAndInfinityPassThrough) {
  Matrix rows(1, 2);
  rows << std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity();
  ScratchFile file;
  write_fbin(file.path(), rows);
  const Matrix read = read_fbin(file.path());
  EXPECT_TRUE(std::isnan(read(0, 0)));
  EXPECT_EQ(read(0, 1), -std::numeric_limits<float>::infinity());
}

TEST(Fbin, EveryTruncationIsDataLoss) {
  const std::string whole = u32(2) + u32(1) + kOneAsFloat + kOneAsFloat;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ScratchFile file(whole.substr(0, size));
    const Error error = error_of([&] { read_fbin(file.path()); });
    EXPECT_EQ(error.code(), ErrorCode::kDataLoss) << size;
    EXPECT_THAT(error.what(), HasSubstr("truncated")) << size;
    EXPECT_THAT(error.what(), HasSubstr(file.path().string()));
  }
}

TEST(Fbin, BytesToSpareAreDataLoss) {
  for (const std::string& extra : {std::string("x"), kOneAsFloat}) {
    ScratchFile file(u32(1) + u32(1) + kOneAsFloat + extra);
    const Error error = error_of([&] { read_fbin(file.path()); });
    EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
    EXPECT_THAT(error.what(), HasSubstr("has bytes to spare: its header says 1 x 1 floats, but " +
                                        std::to_string(4 + extra.size()) + " bytes follow"));
  }
}

TEST(Fbin, AnAbsurdHeaderIsDataLossAndAllocatesNothing) {
  struct Case {
    std::uint32_t n, d;
  };
  // 2^30 x 4 floats are 2^34 bytes, and 2^31 x 2^31 x 4 bytes wrap to 0: the size of the payload here.
  for (const Case c : {Case{0xFFFFFFFF, 0xFFFFFFFF}, Case{1U << 30, 4}, Case{1U << 31, 1U << 31}, Case{1U << 31, 1}}) {
    ScratchFile file(u32(c.n) + u32(c.d));
    const Error error = error_of([&] { read_fbin(file.path()); });
    EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(c.n) + " x " + std::to_string(c.d) + " floats, but 0 bytes follow"));
  }
}

TEST(Fbin, AnEmptyShapeIsRefusedInBothDirections) {
  for (const std::string& header : {u32(0) + u32(3), u32(3) + u32(0)}) {
    ScratchFile file(header);
    const Error error = error_of([&] { read_fbin(file.path()); });
    EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
    EXPECT_THAT(error.what(), HasSubstr("must be at least 1"));
  }
  ScratchFile file;
  const Error error = error_of([&] { write_fbin(file.path(), Matrix(0, 3)); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.what(), HasSubstr("0 x 3"));
  EXPECT_FALSE(std::filesystem::exists(file.path()));
}

TEST(Fbin, AMissingFileAndAFolderAreTold) {
  ScratchFile missing;
  const Error absent = error_of([&] { read_fbin(missing.path()); });
  EXPECT_EQ(absent.code(), ErrorCode::kNotFound);
  EXPECT_THAT(absent.what(), HasSubstr(missing.path().string()));
  const Error folder = error_of([&] { read_fbin(::testing::TempDir()); });
  EXPECT_EQ(folder.code(), ErrorCode::kUnavailable);
  EXPECT_THAT(folder.what(), HasSubstr("not a regular file"));
}

TEST(ShippedData, HoldsTenThousandWordsWithFiniteVectors) {
  const std::filesystem::path folder = std::filesystem::path(ANNULUS_SOURCE_DIR) / "data";
  const std::vector<std::string> words = read_lines(folder / "words.txt");
  const Matrix vectors = read_fbin(folder / "words.fbin");
  EXPECT_EQ(words.size(), 10000U);
  EXPECT_EQ(vectors.rows(), 10000);
  EXPECT_EQ(vectors.cols(), 100);
  EXPECT_TRUE(vectors.allFinite());
  EXPECT_GT(vectors.rowwise().squaredNorm().minCoeff(), 0);
}

TEST(ShippedData, AWordsNeighbourIsAWordOfLikeMeaning) {
  const std::filesystem::path folder = std::filesystem::path(ANNULUS_SOURCE_DIR) / "data";
  const std::vector<std::string> words = read_lines(folder / "words.txt");
  const Matrix vectors = read_fbin(folder / "words.fbin").rowwise().normalized();
  const auto king = std::find(words.begin(), words.end(), "king") - words.begin();
  ASSERT_LT(king, vectors.rows());
  Eigen::VectorXf similarity = vectors * vectors.row(king).transpose();
  similarity(king) = -1;
  Eigen::Index nearest = 0;
  similarity.maxCoeff(&nearest);
  EXPECT_EQ(words[static_cast<std::size_t>(nearest)], "prince");
}

}  // namespace
}  // namespace annulus
