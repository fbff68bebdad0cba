#include "index/distance.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/index/support.h"
#include "tests/index/targets.h"

namespace annulus {
namespace {

using testing::expect_error;
using testing::force_nothing;
using testing::force_target;
using testing::random_matrix;

constexpr float kInf = std::numeric_limits<float>::infinity();

class DistanceOnEachTarget : public ::testing::TestWithParam<std::pair<std::string, std::int64_t>> {
 protected:
  void SetUp() override { force_target(GetParam().second); }
  void TearDown() override { force_nothing(); }
};

INSTANTIATE_TEST_SUITE_P(Targets, DistanceOnEachTarget, ::testing::ValuesIn(testing::targets(&simd_target)),
                         [](const auto& target) { return target.param.first; });

struct Sums {
  double l2 = 0;
  double ip = 0;
  double l2_terms = 0;  ///< of absolute values, for the error bound
  double ip_terms = 0;
};

Sums plain_loop(const float* x, const float* y, std::size_t d) {
  Sums s;
  for (std::size_t i = 0; i < d; ++i) {
    const double difference = double{x[i]} - double{y[i]};
    s.l2 += difference * difference;
    s.ip += double{x[i]} * double{y[i]};
    s.ip_terms += std::abs(double{x[i]} * double{y[i]});
  }
  s.l2_terms = s.l2;
  return s;
}

/// A sum of d rounded terms is off by at most (d + 2) u times the sum of their magnitudes (Higham, section 3.1), and a
/// denormal result by an absolute amount besides.
double bound(std::size_t d, double terms) { return static_cast<double>(d + 3) * 6e-8 * terms + static_cast<double>(d) * 1.5e-45; }

TEST_P(DistanceOnEachTarget, IsTheOneThatWasForced) { EXPECT_EQ(simd_target(), GetParam().first); }

TEST_P(DistanceOnEachTarget, AgreesWithAPlainLoopOnEveryLength) {
  for (std::size_t d = 1; d <= 200; ++d) {
    const Matrix m = random_matrix(2, d, 7 * d);
    const float* x = m.row(0).data();
    const float* y = m.row(1).data();
    const Sums s = plain_loop(x, y, d);
    ASSERT_NEAR(l2_squared(x, y, d), s.l2, bound(d, s.l2_terms)) << d;
    ASSERT_NEAR(inner_product(x, y, d), s.ip, bound(d, s.ip_terms)) << d;
    ASSERT_NEAR(squared_norm(x, d), plain_loop(x, x, d).ip, bound(d, plain_loop(x, x, d).ip)) << d;
  }
}

TEST_P(DistanceOnEachTarget, AgreesWithAPlainLoopOnHugeTinyAndDenormalNumbers) {
  for (const float scale : {1e18F, 1e-18F, 1e-22F, 1e-38F, 1e-42F}) {
    for (const std::size_t d : {3UL, 16UL, 31UL, 64UL, 100UL, 129UL}) {
      const Matrix m = random_matrix(2, d, d) * scale;
      const float* x = m.row(0).data();
      const float* y = m.row(1).data();
      const Sums s = plain_loop(x, y, d);
      EXPECT_NEAR(l2_squared(x, y, d), s.l2, bound(d, s.l2_terms)) << scale << " " << d;
      EXPECT_NEAR(inner_product(x, y, d), s.ip, bound(d, s.ip_terms)) << scale << " " << d;
    }
  }
}

TEST_P(DistanceOnEachTarget, ReadsNothingBehindTheVector) {
  // Exact-size heap blocks: AddressSanitizer sees a read past the end; NaN behind the end would show in the sum.
  for (std::size_t d = 1; d <= 70; ++d) {
    std::vector<float> x(d, 1.0F);
    std::vector<float> y(d, 3.0F);
    ASSERT_EQ(l2_squared(x.data(), y.data(), d), 4.0F * static_cast<float>(d));
    x.push_back(std::nanf(""));
    y.push_back(std::nanf(""));
    ASSERT_EQ(inner_product(x.data(), y.data(), d), 3.0F * static_cast<float>(d));
  }
}

TEST_P(DistanceOnEachTarget, IsTheSameInEveryBatchAndAtEveryAlignment) {
  for (const std::size_t d : {1UL, 15UL, 33UL, 100UL, 127UL}) {
    const std::size_t n = 37;
    const Matrix rows = random_matrix(n, d, d + 1);
    const Matrix query = random_matrix(1, d, d + 2);
    for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
      std::vector<float> batch(n);
      distances(metric, query.data(), rows.data(), n, d, d, batch.data());
      std::vector<std::uint32_t> reversed(n);
      for (std::uint32_t i = 0; i < n; ++i) reversed[i] = static_cast<std::uint32_t>(n) - 1 - i;
      std::vector<float> gathered(n);
      distances_gather(metric, query.data(), rows.data(), reversed.data(), n, d, gathered.data());
      std::vector<float> shifted(d + 1);
      for (std::size_t i = 0; i < n; ++i) {
        const float one = distance(metric, query.data(), rows.row(static_cast<Eigen::Index>(i)).data(), d);
        std::memcpy(shifted.data() + 1, rows.row(static_cast<Eigen::Index>(i)).data(), d * sizeof(float));
        ASSERT_EQ(one, batch[i]);
        ASSERT_EQ(one, gathered[n - 1 - i]);
        ASSERT_EQ(one, distance(metric, query.data(), shifted.data() + 1, d));
        ASSERT_EQ(one, distance(metric, shifted.data() + 1, query.data(), d)) << "not symmetric";
      }
      std::vector<float> strided(n / 2);
      distances(metric, query.data(), rows.data(), n / 2, d, 2 * d, strided.data());
      for (std::size_t i = 0; i < n / 2; ++i) ASSERT_EQ(strided[i], batch[2 * i]);
    }
  }
}

TEST_P(DistanceOnEachTarget, IsNeverNaN) {
  const std::vector<float> x = {3e38F, 3e38F, -3e38F, 3e38F};
  const std::vector<float> y = {3e38F, 3e38F, 3e38F, -3e38F};
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine}) {
    EXPECT_EQ(distance(metric, x.data(), y.data(), 4), kInf);
    float out = 0;
    distances(metric, x.data(), y.data(), 1, 4, 4, &out);
    EXPECT_EQ(out, kInf);
  }
}

TEST(Distance, HasAWideInstructionSetAndAPlainOneToChooseFrom) {
  EXPECT_GE(testing::targets(&simd_target).size(), 2U);
  EXPECT_EQ(simd_target(), testing::targets(&simd_target).front().first) << "the best one is not in use";
}

TEST(Distance, IsSmallerForWhatIsNearer) {
  const std::vector<float> x = {1, 2};
  const std::vector<float> y = {3, 5};
  EXPECT_EQ(distance(Metric::kL2, x.data(), y.data(), 2), 13.0F);
  EXPECT_EQ(distance(Metric::kInnerProduct, x.data(), y.data(), 2), -13.0F);
  EXPECT_EQ(distance(Metric::kCosine, x.data(), y.data(), 2), -13.0F);
}

TEST(Distance, OfOrthogonalVectorsIsPositiveZero) {
  const std::vector<float> x = {1, 0};
  const std::vector<float> y = {0, 1};
  EXPECT_FALSE(std::signbit(distance(Metric::kInnerProduct, x.data(), y.data(), 2)));
}

TEST(Normalise, GivesUnitLengthToHugeAndDenormalVectorsAlike) {
  for (const float scale : {1.0F, 1e30F, 3e38F, 1e-30F, 1e-44F}) {
    std::vector<float> x = {scale, -scale, scale};
    ASSERT_TRUE(normalise(x.data(), 3)) << scale;
    EXPECT_NEAR(plain_loop(x.data(), x.data(), 3).ip, 1.0, 1e-6) << scale;
  }
}

TEST(Normalise, LeavesZeroAndNonFiniteVectorsAlone) {
  for (const float bad : {0.0F, kInf, std::nanf("")}) {
    std::vector<float> x = {0, bad, 0};
    EXPECT_FALSE(normalise(x.data(), 3));
    EXPECT_EQ(std::memcmp(&x[1], &bad, sizeof bad), 0);
  }
  EXPECT_FALSE(all_finite(std::vector<float>{1, -kInf}.data(), 2));
  EXPECT_TRUE(all_finite(std::vector<float>{1e-45F, -3.4e38F}.data(), 2));
}

TEST(ValidateVectors, NamesTheRowAndTheArgument) {
  Matrix m = random_matrix(3, 4, 1);
  EXPECT_NO_THROW(validate_vectors(m, 4, Metric::kCosine, "the queries"));
  expect_error(ErrorCode::kInvalidArgument, {"the queries", "dimension 4", "expected 5"},
               [&] { validate_vectors(m, 5, Metric::kL2, "the queries"); });
  m(2, 1) = std::nanf("");
  expect_error(ErrorCode::kInvalidArgument, {"row 2", "the queries", "NaN"},
               [&] { validate_vectors(m, 4, Metric::kL2, "the queries"); });
  m.row(2).setZero();
  EXPECT_NO_THROW(validate_vectors(m, 4, Metric::kL2, "the queries"));
  EXPECT_NO_THROW(validate_vectors(m, 4, Metric::kInnerProduct, "the queries"));
  expect_error(ErrorCode::kInvalidArgument, {"row 2", "zero"}, [&] { validate_vectors(m, 4, Metric::kCosine, "the queries"); });
}

}  // namespace
}  // namespace annulus
