#include "index/int8_scale.h"

#include <cmath>
#include <limits>

#include "tests/index/support.h"

namespace annulus {
namespace {

using testing::expect_error;
using testing::random_matrix;

/// The distance that codes give, by a plain loop.
double coded_distance(const Int8Scale& scale, const float* q, const float* x) {
  const std::size_t d = scale.dimension();
  std::vector<std::uint8_t> row(d);
  std::vector<std::int8_t> query(d);
  const std::int32_t norm = scale.encode_row(x, row.data());
  const Int8Query form = scale.encode_query(q, query.data());
  std::int64_t product = 0;
  std::int64_t squares = 0;
  for (std::size_t j = 0; j < d; ++j) {
    product += std::int64_t{row[j]} * query[j];
    squares += (std::int64_t{row[j]} - 128) * (std::int64_t{row[j]} - 128);
  }
  EXPECT_EQ(norm, squares);
  const float approximate =
      form.norm_factor * static_cast<float>(norm) + form.product_factor * static_cast<float>(product) + form.constant;
  EXPECT_FALSE(std::isnan(approximate));
  return approximate;
}

/// Rows of mean `shift` and deviation `size`.
Matrix rows_around(float shift, float size, std::size_t n, std::size_t d, std::uint64_t seed) {
  Matrix m = random_matrix(n, d, seed) * size;
  m.array() += shift;
  return m;
}

struct Shape {
  Metric metric;
  float shift, size;
};

class Int8ScaleOnEachShape : public ::testing::TestWithParam<Shape> {};

INSTANTIATE_TEST_SUITE_P(Shapes, Int8ScaleOnEachShape,
                         ::testing::Values(Shape{Metric::kL2, 0, 1}, Shape{Metric::kL2, 100, 1}, Shape{Metric::kL2, -3e9F, 1e6F},
                                           Shape{Metric::kL2, 0, 1e-14F}, Shape{Metric::kL2, 0, 1e16F},
                                           Shape{Metric::kInnerProduct, 0, 1}, Shape{Metric::kInnerProduct, 0, 1e-14F},
                                           Shape{Metric::kInnerProduct, 0, 1e16F}, Shape{Metric::kCosine, 0, 1}));

TEST_P(Int8ScaleOnEachShape, GivesTheDistanceWithinTheErrorOfItsSteps) {
  const auto [metric, shift, size] = GetParam();
  const std::size_t n = 2000;
  for (const std::size_t d : {1UL, 3UL, 40UL, 100UL}) {
    const Matrix rows = rows_around(shift, size, n, d, d);
    const Matrix queries = rows_around(shift, size, 20, d, d + 1);
    const Int8Scale scale = Int8Scale::learn(metric, rows.data(), n, d);
    EXPECT_EQ(scale.metric(), metric);
    for (Eigen::Index i = 0; i < 20; ++i) {
      const double exact = distance(metric, queries.row(i).data(), rows.row(i).data(), d);
      // Steps of about 4 deviations / 127 in each of d components, whose errors add up like a random walk; few are cut.
      const double unit = double{size} * double{size} * std::sqrt(static_cast<double>(d));
      EXPECT_NEAR(coded_distance(scale, queries.row(i).data(), rows.row(i).data()), exact, 0.5 * unit) << d << " " << i;
    }
  }
}

class Int8ScaleOnEachMagnitude : public ::testing::TestWithParam<float> {};

INSTANTIATE_TEST_SUITE_P(Magnitudes, Int8ScaleOnEachMagnitude,
                         ::testing::Values(1e-44F, 1e-38F, 1e-30F, 1e-20F, 1.0F, 1e20F, 1e30F, 1e37F));

TEST_P(Int8ScaleOnEachMagnitude, KeepsTheOrderOfRowsThatCodesCanTellApart) {
  const float size = GetParam();
  const std::size_t d = 24;
  const Matrix rows = rows_around(0, 1, 500, d, 3);
  const Matrix sized = rows * size;
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
    const Int8Scale scale = Int8Scale::learn(metric, sized.data(), 500, d);
    EXPECT_TRUE(std::isnormal(scale.scale()));
    if (size < 1e-36F) continue;  // steps cannot be so small
    const double unit = std::sqrt(static_cast<double>(d));
    for (Eigen::Index i = 1; i + 1 < 100; ++i) {
      const double a = distance(metric, rows.row(0).data(), rows.row(i).data(), d);
      const double b = distance(metric, rows.row(0).data(), rows.row(i + 1).data(), d);
      if (std::abs(a - b) < 0.5 * unit) continue;
      const double coded_a = coded_distance(scale, sized.row(0).data(), sized.row(i).data());
      const double coded_b = coded_distance(scale, sized.row(0).data(), sized.row(i + 1).data());
      EXPECT_EQ(coded_a < coded_b, a < b) << i;
    }
  }
}

TEST_P(Int8ScaleOnEachMagnitude, IsNeverNaNForOneRowConstantDimensionsEqualRowsAndFarQueries) {
  const float size = GetParam();
  const std::size_t d = 9;
  Matrix constant = rows_around(0, 1, 50, d, 5) * size;
  constant.leftCols(8).setConstant(size);
  Matrix equal(50, d);
  equal.setConstant(-size);
  Matrix sparse = Matrix::Zero(3000, d);
  sparse(1234, 4) = size;
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
    for (const Matrix& rows : {Matrix(constant.topRows(1)), constant, equal, sparse}) {
      const Int8Scale scale = Int8Scale::learn(metric, rows.data(), static_cast<std::size_t>(rows.rows()), d);
      std::vector<float> far(d, 3e38F);
      far[1] = -3e38F;
      const std::vector<float> zero(d, 0.0F);
      for (const float* a : {rows.row(0).data(), static_cast<const float*>(far.data()), zero.data()}) {
        for (const float* b : {rows.row(0).data(), static_cast<const float*>(far.data()), zero.data()}) {
          EXPECT_TRUE(std::isfinite(coded_distance(scale, a, b)));
        }
      }
    }
  }
}

TEST(Int8Scale, FindsItsStepWhereFewComponentsAreNotZero) {
  Matrix sparse = Matrix::Zero(4096, 3);
  sparse(17, 1) = 5;
  const Int8Scale scale = Int8Scale::learn(Metric::kInnerProduct, sparse.data(), 4096, 3);
  EXPECT_FLOAT_EQ(scale.scale(), 5.0F / 127);
}

TEST(Int8Scale, IsNotLedAstrayByOneOutlierInAThousand) {
  Matrix rows = rows_around(0, 1, 4000, 8, 6);
  rows(7, 3) = 1e6F;
  EXPECT_LT(Int8Scale::learn(Metric::kInnerProduct, rows.data(), 4000, 8).scale(), 5.0F / 127);
}

TEST(Int8Scale, CentresL2AndNoOtherMetric) {
  const Matrix rows = rows_around(50, 1, 1000, 4, 7);
  const Int8Scale centred = Int8Scale::learn(Metric::kL2, rows.data(), 1000, 4);
  for (const float c : centred.centre()) EXPECT_NEAR(c, 50, 0.2);
  const Int8Scale plain = Int8Scale::learn(Metric::kInnerProduct, rows.data(), 1000, 4);
  for (const float c : plain.centre()) EXPECT_EQ(c, 0);
}

TEST(Int8Scale, IsTheSameForTheSameRowsAndAsItWasWhenMadeAnew) {
  const Matrix rows = rows_around(3, 2, 10000, 12, 8);
  const Int8Scale scale = Int8Scale::learn(Metric::kL2, rows.data(), 10000, 12);
  EXPECT_EQ(scale, Int8Scale::learn(Metric::kL2, rows.data(), 10000, 12));
  EXPECT_EQ(scale, Int8Scale(Metric::kL2, {scale.centre().begin(), scale.centre().end()}, scale.scale()));
}

TEST(Int8Scale, RefusesNumbersThatItCannotDivideBy) {
  for (const float bad : {0.0F, -1.0F, 1e-44F, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    expect_error(ErrorCode::kInvalidArgument, {"int8 scale"}, [&] { Int8Scale(Metric::kL2, {0, 0}, bad); });
  }
  expect_error(ErrorCode::kInvalidArgument, {"centre"}, [&] { Int8Scale(Metric::kL2, {0, std::nanf("")}, 1); });
}

}  // namespace
}  // namespace annulus
