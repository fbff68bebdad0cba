#include "index/sq8_scale.h"

#include <faiss/IndexScalarQuantizer.h>

#include <cmath>
#include <memory>

#include "index/distance.h"
#include "index/sq8_kernels.h"
#include "tests/index/support.h"
#include "tests/index/targets.h"

namespace annulus {
namespace {

using testing::force_nothing;
using testing::force_target;
using testing::random_matrix;

class Sq8OnEachTarget : public ::testing::TestWithParam<std::pair<std::string, std::int64_t>> {
 protected:
  void SetUp() override { force_target(GetParam().second); }
  void TearDown() override { force_nothing(); }
};

INSTANTIATE_TEST_SUITE_P(Targets, Sq8OnEachTarget, ::testing::ValuesIn(testing::targets(&kernels::sq8_target)),
                         [](const auto& target) { return target.param.first; });

TEST_P(Sq8OnEachTarget, IsTheOneThatWasForced) { EXPECT_EQ(kernels::sq8_target(), GetParam().first); }

TEST_P(Sq8OnEachTarget, SumsAsAPlainLoopDoesAndReadsNothingBehindACode) {
  std::mt19937_64 random(1);
  for (std::size_t d = 1; d <= 150; ++d) {
    const Matrix factors = random_matrix(2, d, d);
    const float* offsets = factors.row(0).data();
    const float* steps = factors.row(1).data();
    // blocks of their exact size: a read past the end is seen by AddressSanitizer
    std::vector<std::unique_ptr<std::uint8_t[]>> codes;
    std::vector<const std::uint8_t*> where;
    for (int i = 0; i < 5; ++i) {
      codes.push_back(std::make_unique<std::uint8_t[]>(d));
      for (std::size_t j = 0; j < d; ++j) codes.back()[j] = static_cast<std::uint8_t>(i == 0 ? 255 : random());
      where.push_back(codes.back().get());
    }
    std::vector<float> differences(codes.size()), products(codes.size());
    kernels::sq8_differences(offsets, steps, where.data(), where.size(), d, differences.data());
    kernels::sq8_products(offsets, where.data(), where.size(), d, products.data());
    for (std::size_t i = 0; i < codes.size(); ++i) {
      double difference = 0, product = 0, terms = 0;
      for (std::size_t j = 0; j < d; ++j) {
        const double left = double{offsets[j]} - double{steps[j]} * codes[i][j];
        difference += left * left;
        product += double{offsets[j]} * codes[i][j];
        terms += std::abs(double{offsets[j]} * codes[i][j]);
      }
      const double rounding = static_cast<double>(d + 4) * 1.2e-7;
      ASSERT_NEAR(differences[i], difference, rounding * (difference + 1)) << d;
      ASSERT_NEAR(products[i], product, rounding * terms) << d;
      float alone = 0;
      kernels::sq8_differences(offsets, steps, &where[i], 1, d, &alone);
      ASSERT_EQ(alone, differences[i]) << "another order alone";
      kernels::sq8_products(offsets, &where[i], 1, d, &alone);
      ASSERT_EQ(alone, products[i]) << "another order alone";
    }
  }
}

// Distances to what FAISS decodes, for every metric and range of values.
TEST_P(Sq8OnEachTarget, AgreesWithWhatFaissDecodes) {
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
    for (const float size : {1e-20F, 1.0F, 1e12F}) {
      constexpr std::size_t kDimension = 37;
      const Matrix rows = random_matrix(100, kDimension, 3) * size;
      faiss::ScalarQuantizer quantizer(kDimension, faiss::ScalarQuantizer::QT_8bit);
      quantizer.train(100, rows.data());
      const std::unique_ptr<faiss::ScalarQuantizer::SQuantizer> coder(quantizer.select_quantizer());
      const Sq8Scale scale(metric, quantizer);
      const Matrix queries = random_matrix(2, kDimension, 5) * size;
      const float* origin = queries.row(1).data();
      for (const bool residual : {false, true}) {
        Sq8Query query;
        scale.prepare(queries.row(0).data(), residual ? origin : nullptr, query);
        for (Eigen::Index row = 0; row < rows.rows(); ++row) {
          std::vector<std::uint8_t> code(kDimension);
          coder->encode_vector(rows.row(row).data(), code.data());
          std::vector<float> decoded(kDimension);
          coder->decode_vector(code.data(), decoded.data());
          for (std::size_t i = 0; residual && i < kDimension; ++i) decoded[i] += origin[i];
          const std::uint8_t* where = code.data();
          float found = 0;
          scale.distances(query, std::span(&where, 1), &found);
          const float expected = distance(metric, queries.row(0).data(), decoded.data(), kDimension);
          ASSERT_NEAR(found, expected, 1e-4F * kDimension * size * size) << to_string(metric) << ' ' << size;
        }
      }
    }
  }
}

TEST(Sq8Scale, NeverGivesANumberThatIsNone) {
  faiss::ScalarQuantizer quantizer(2, faiss::ScalarQuantizer::QT_8bit);
  const std::vector<float> rows = {-3e38F, -3e38F, 3e37F, 3e37F};
  quantizer.train(2, rows.data());
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
    const Sq8Scale scale(metric, quantizer);
    const std::vector<float> values = {3e38F, -3e38F};
    Sq8Query query;
    scale.prepare(values.data(), nullptr, query);
    for (const int code : {0, 255}) {
      const std::vector<std::uint8_t> codes = {static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(255 - code)};
      const std::uint8_t* where = codes.data();
      float found = 0;
      scale.distances(query, std::span(&where, 1), &found);
      EXPECT_FALSE(std::isnan(found)) << to_string(metric) << ' ' << code;
    }
  }
}

}  // namespace
}  // namespace annulus
