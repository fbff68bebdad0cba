#include "index/int8_kernels.h"

#include <cstring>
#include <random>

#include "index/aligned_buffer.h"
#include "tests/index/support.h"
#include "tests/index/targets.h"

namespace annulus {
namespace {

class Int8KernelsOnEachTarget : public ::testing::TestWithParam<std::pair<std::string, std::int64_t>> {
 protected:
  void SetUp() override { testing::force_target(GetParam().second); }
  void TearDown() override { testing::force_nothing(); }
};

INSTANTIATE_TEST_SUITE_P(Targets, Int8KernelsOnEachTarget, ::testing::ValuesIn(testing::targets(&kernels::products_target)),
                         [](const auto& target) { return target.param.first; });

enum class Fill { kRandom, kLargest, kAlternating };

/// Rows and a query of codes. What pads the rows is rubbish; the query is padded with zeros.
struct Codes {
  std::size_t d, stride;
  AlignedBuffer<std::uint8_t> rows;
  AlignedBuffer<std::int8_t> query;

  Codes(std::size_t n, std::size_t dimension, Fill fill, std::uint64_t seed)
      : d(dimension),
        stride((d + kernels::kCodeAlignment - 1) / kernels::kCodeAlignment * kernels::kCodeAlignment),
        rows(n * stride),
        query(stride) {
    std::mt19937_64 generator(seed);
    for (std::size_t i = 0; i < n * stride; ++i) {
      const bool padding = i % stride >= d;
      int value = padding ? static_cast<int>(generator() % 256) : 1 + static_cast<int>(generator() % 255);
      if (!padding && fill != Fill::kRandom) value = fill == Fill::kLargest || i % 2 == 0 ? 255 : 1;
      rows.data()[i] = static_cast<std::uint8_t>(value);
    }
    std::memset(query.data(), 0, stride);
    for (std::size_t j = 0; j < d; ++j) {
      const int value = static_cast<int>(generator() % 255) - 127;
      query.data()[j] = static_cast<std::int8_t>(fill == Fill::kRandom ? value : fill == Fill::kLargest || j % 2 == 1 ? 127 : -127);
    }
  }

  std::vector<std::int32_t> products(const std::vector<std::uint32_t>& indices) const {
    std::vector<std::int32_t> found(indices.size());
    kernels::products(query.data(), rows.data(), stride, indices.data(), indices.size(), found.data());
    return found;
  }
  std::int64_t plain_product(std::size_t row) const {
    std::int64_t sum = 0;
    for (std::size_t j = 0; j < d; ++j) sum += std::int64_t{rows.data()[row * stride + j]} * query.data()[j];
    return sum;
  }
};

TEST_P(Int8KernelsOnEachTarget, AreTheOnesThatWereForced) { EXPECT_EQ(kernels::products_target(), GetParam().first); }

TEST_P(Int8KernelsOnEachTarget, SumExactlyOnEveryDimensionAndNumberOfRows) {
  for (const Fill fill : {Fill::kRandom, Fill::kLargest, Fill::kAlternating}) {
    for (std::size_t d = 1; d <= 200; ++d) {
      const Codes codes(23, d, fill, d);
      std::vector<std::uint32_t> rows(d % 23);
      for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::uint32_t>((7 * i + 3) % 23);
      const std::vector<std::int32_t> products = codes.products(rows);
      for (std::size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(products[i], codes.plain_product(rows[i])) << d << " " << i;
    }
  }
}

TEST_P(Int8KernelsOnEachTarget, DoNotOverflowAtTheLargestDimension) {
  for (const Fill fill : {Fill::kRandom, Fill::kLargest, Fill::kAlternating}) {
    const Codes codes(5, kMaxCodedDimension, fill, 1);
    const std::vector<std::uint32_t> rows = {4, 0, 2, 1, 3};
    const std::vector<std::int32_t> products = codes.products(rows);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(products[i], codes.plain_product(rows[i]));
  }
}

TEST(Int8Kernels, UseTheInstructionsMadeForThemWhereThereAreSome) {
  EXPECT_GE(testing::targets(&kernels::products_target).size(), 2U);
  EXPECT_EQ(kernels::products_target(), testing::targets(&kernels::products_target).front().first) << "the best one is not in use";
}

}  // namespace
}  // namespace annulus
