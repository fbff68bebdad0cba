#include "core/matrix.h"

#include <gtest/gtest.h>

#include <array>

namespace annulus {
namespace {

const float* first_of(const MatrixView& view) { return view.data(); }

TEST(MatrixView, SeesRowMajorMemoryWithoutCopying) {
  const std::array<float, 6> memory = {1, 2, 3, 4, 5, 6};
  const auto map = map_rows(memory.data(), 2, 3);
  EXPECT_EQ(map(1, 0), 4.0F);
  EXPECT_EQ(first_of(map), memory.data());
  const Matrix matrix = map;
  EXPECT_EQ(first_of(matrix), matrix.data());
  EXPECT_EQ(first_of(matrix.bottomRows(1)), matrix.data() + 3);
}

TEST(MatrixView, KeepsTheStrideOfABlock) {
  Matrix matrix(2, 4);
  matrix << 1, 2, 3, 4, 5, 6, 7, 8;
  const MatrixView block = matrix.rightCols(2);
  EXPECT_EQ(block.data(), matrix.data() + 2);
  EXPECT_EQ(row_data(block, 1), matrix.data() + 6);
  EXPECT_EQ(row_data(block, 1)[1], 8.0F);
}

TEST(MatrixView, CopiesColumnMajorMatricesSoThatRowsAreContiguous) {
  Eigen::MatrixXf columns(2, 3);
  columns << 1, 2, 3, 4, 5, 6;
  const MatrixView view = columns;
  EXPECT_NE(view.data(), columns.data());
  EXPECT_EQ(row_data(view, 1)[0], 4.0F);
  EXPECT_EQ(row_data(view, 1)[2], 6.0F);
}

}  // namespace
}  // namespace annulus
