#include "index/int8_block_kernels.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>

#include "tests/index/support.h"
#include "tests/index/targets.h"

namespace annulus {
namespace {

using kernels::BlockHit;
using kernels::BlockQuery;
using kernels::kBlockRows;

constexpr float kInf = std::numeric_limits<float>::infinity();

class BlockKernelsOnEachTarget : public ::testing::TestWithParam<std::pair<std::string, std::int64_t>> {
 protected:
  void SetUp() override { testing::force_target(GetParam().second); }
  void TearDown() override { testing::force_nothing(); }
};

INSTANTIATE_TEST_SUITE_P(Targets, BlockKernelsOnEachTarget, ::testing::ValuesIn(testing::targets(&kernels::block_target)),
                         [](const auto& target) { return target.param.first; });

kernels::BlockLayout with_norms(std::size_t d) { return {d, true}; }

/// The first `rows` lanes.
std::uint16_t first_lanes(std::size_t rows) { return static_cast<std::uint16_t>((1U << rows) - 1); }

/// Lanes of each block that have rows, of so many in all.
std::vector<std::uint16_t> lanes_of_blocks(std::size_t rows) {
  std::vector<std::uint16_t> of_blocks(rows / kBlockRows, first_lanes(kBlockRows));
  if (rows % kBlockRows != 0) of_blocks.push_back(first_lanes(rows % kBlockRows));
  return of_blocks;
}

kernels::BlockRun run_of(kernels::Blocks blocks, std::size_t rows) { return {blocks, rows, lanes_of_blocks(rows).back()}; }

/// Rows and queries of codes, as blocks and as plain arrays. What lies in the last block behind the rows is rubbish.
struct Codes {
  std::size_t rows, queries, d;
  std::vector<std::uint8_t> row_codes;
  std::vector<std::int32_t> norms;
  std::vector<std::int8_t> query_codes;
  std::vector<BlockQuery> forms;
  std::vector<std::uint8_t> memory;
  std::vector<std::uint8_t*> where;          // of the blocks, the last of them first in memory
  std::vector<const std::uint8_t*> blocks;

  Codes(std::size_t n, std::size_t m, std::size_t dimension, std::uint64_t seed, bool extreme = false)
      : rows(n), queries(m), d(dimension), row_codes(n * d), norms(n), query_codes(m * 4 * kernels::block_groups(d), 0) {
    std::mt19937_64 generator(seed);
    const std::size_t block = with_norms(d).bytes();
    memory.resize((n + kBlockRows - 1) / kBlockRows * block + 64);
    for (std::uint8_t& byte : memory) byte = static_cast<std::uint8_t>(generator());
    std::uint8_t* aligned = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64;
    for (std::size_t b = (n + kBlockRows - 1) / kBlockRows; b-- > 0;) where.push_back(aligned + b * block);
    blocks.assign(where.begin(), where.end());
    for (std::size_t i = 0; i < n; ++i) {
      std::uint8_t* base = where[i / kBlockRows];
      for (std::size_t j = 0; j < d; ++j) {
        const std::uint64_t bits = generator();
        row_codes[i * d + j] = static_cast<std::uint8_t>(extreme ? ((bits & 1) == 0 ? 255 : 1) : bits);
        base[j / 4 * 64 + i % kBlockRows * 4 + j % 4] = row_codes[i * d + j];
      }
      norms[i] = static_cast<std::int32_t>(generator() % 2'000'000);
      std::memcpy(base + kernels::block_groups(d) * 64 + 4 * (i % kBlockRows), &norms[i], 4);
    }
    for (std::size_t q = 0; q < m; ++q) {
      std::int8_t* code = query_codes.data() + q * 4 * kernels::block_groups(d);
      for (std::size_t j = 0; j < d; ++j) {
        const int most = (j & 2) == 0 ? kernels::kQuerySteps : -kernels::kQuerySteps;
        code[j] = static_cast<std::int8_t>(extreme ? most : static_cast<int>(generator() % 129) - 64);
      }
      forms.push_back({code, q % 2 == 0 ? 0.25F : 0.0F, q % 3 == 0 ? -0.5F : 0.125F, static_cast<float>(q) * 3.5F});
    }
  }

  double distance(std::size_t q, std::size_t row) const {
    std::int64_t product = 0;
    for (std::size_t j = 0; j < d; ++j) product += std::int64_t{row_codes[row * d + j]} * forms[q].code[j];
    return double{forms[q].norm_factor} * norms[row] + double{forms[q].product_factor} * static_cast<double>(product) +
           double{forms[q].constant};
  }
};

/// A float holds each of the three terms to 2^-24 of it.
double tolerance(const Codes& codes) { return 1e-6 * static_cast<double>(codes.d * 255 * 127 + 2'000'000); }

TEST_P(BlockKernelsOnEachTarget, AreTheOnesThatWereForced) { EXPECT_EQ(kernels::block_target(), GetParam().first); }

TEST_P(BlockKernelsOnEachTarget, AgreeWithAPlainLoopOnEveryDimensionAndLength) {
  for (const std::size_t d : {1UL, 2UL, 3UL, 4UL, 5UL, 31UL, 64UL, 99UL, 100UL, 257UL}) {
    for (const std::size_t rows :
         {1UL, 8UL, 9UL, 15UL, 16UL, 17UL, 24UL, 25UL, 32UL, 33UL, 55UL, 63UL, 64UL, 65UL, 72UL, 73UL, 150UL}) {
      Codes codes(rows, 3, d, d * 1000 + rows);
      std::vector<BlockHit> hits(rows);
      for (std::size_t q = 0; q < codes.queries; ++q) {
        ASSERT_EQ(kernels::scan_blocks(codes.forms[q], codes.blocks, lanes_of_blocks(rows), with_norms(d), kInf, hits.data()), rows);
        for (std::size_t i = 0; i < rows; ++i) {
          ASSERT_EQ(hits[i].position, i);
          ASSERT_NEAR(hits[i].distance, codes.distance(q, i), tolerance(codes)) << d << " " << rows << " " << i;
        }
      }
    }
  }
}

TEST_P(BlockKernelsOnEachTarget, PassOverLanesWithoutARowInAnyBlock) {
  constexpr std::size_t kBlocks = 9;
  Codes codes(kBlocks * kBlockRows, 1, 30, 11);
  std::mt19937 random(12);
  std::vector<std::uint16_t> lanes(kBlocks);
  for (int round = 0; round < 50; ++round) {
    for (std::uint16_t& of_block : lanes) of_block = static_cast<std::uint16_t>(random());
    std::vector<BlockHit> hits(kBlocks * kBlockRows);
    hits.resize(kernels::scan_blocks(codes.forms[0], codes.blocks, lanes, with_norms(30), kInf, hits.data()));
    std::size_t i = 0;
    for (std::size_t b = 0; b < kBlocks; ++b) {
      for (std::size_t row = b * kBlockRows; row < (b + 1) * kBlockRows; ++row) {
        if ((lanes[b] >> row % kBlockRows & 1) == 0) continue;
        ASSERT_LT(i, hits.size());
        ASSERT_EQ(hits[i].position, row);
        ASSERT_NEAR(hits[i++].distance, codes.distance(0, row), tolerance(codes));
      }
    }
    ASSERT_EQ(i, hits.size());
  }
}

TEST_P(BlockKernelsOnEachTarget, FindTheSameWhateverIsAskedForMeanwhile) {
  for (const std::size_t rows : {5UL, 24UL, 41UL, 150UL}) {
    Codes codes(rows, 1, 100, rows);
    std::vector<BlockHit> alone(rows), hits(rows);
    ASSERT_EQ(kernels::scan_blocks(codes.forms[0], codes.blocks, lanes_of_blocks(rows), with_norms(100), kInf, alone.data()), rows);
    const std::vector<const std::uint8_t*> same = codes.blocks;
    const Codes others(rows, 1, 100, rows + 1);
    for (const auto& ahead : {same, others.blocks}) {
      ASSERT_EQ(kernels::scan_blocks(codes.forms[0], codes.blocks, lanes_of_blocks(rows), with_norms(100), kInf, hits.data(), ahead),
                rows);
      for (std::size_t i = 0; i < rows; ++i) {
        ASSERT_EQ(hits[i].position, alone[i].position);
        ASSERT_EQ(hits[i].distance, alone[i].distance) << rows << " " << i;
      }
    }
  }
}

TEST_P(BlockKernelsOnEachTarget, NeedNoNormsWhereTheyCountForNothing) {
  for (const std::size_t rows : {9UL, 33UL, 100UL}) {
    Codes codes(rows, 2, 99, rows);
    for (BlockQuery& form : codes.forms) form.norm_factor = 0;
    const kernels::BlockLayout layout(99, false);
    std::vector<std::uint8_t> memory(codes.blocks.size() * layout.bytes() + 64, 255);  // of any row numbers
    std::uint8_t* aligned = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64;
    std::vector<const std::uint8_t*> blocks;
    for (std::size_t b = 0; b < codes.blocks.size(); ++b) {
      blocks.push_back(aligned + b * layout.bytes());
      std::memcpy(aligned + b * layout.bytes(), codes.blocks[b], layout.groups * 64);
    }
    std::vector<BlockHit> with(rows), without(rows);
    for (const BlockQuery& form : codes.forms) {
      ASSERT_EQ(kernels::scan_blocks(form, codes.blocks, lanes_of_blocks(rows), with_norms(99), kInf, with.data()), rows);
      ASSERT_EQ(kernels::scan_blocks(form, blocks, lanes_of_blocks(rows), layout, kInf, without.data(), blocks), rows);
      for (std::size_t i = 0; i < rows; ++i) ASSERT_EQ(without[i].distance, with[i].distance) << i;
    }
    const std::size_t stride = blocks.size() * kBlockRows;
    std::vector<float> every(2 * stride);
    kernels::block_distances(codes.forms.data(), 2, blocks, rows, layout, stride, every.data());
    for (std::size_t i = 0; i < rows; ++i) ASSERT_EQ(every[stride + i], with[i].distance) << i;
  }
}

TEST_P(BlockKernelsOnEachTarget, SumExactlyWhatFitsAFloatExactly) {
  // 2 * 255 * 64 is the most that 16 bits take; 257 dimensions of it are below 2^24, so nothing may be lost.
  for (const std::size_t d : {4UL, 100UL, 257UL}) {
    Codes codes(40, 1, d, d, true);
    codes.forms[0].norm_factor = 0;
    codes.forms[0].product_factor = 1;
    codes.forms[0].constant = 0;
    std::vector<BlockHit> hits(40);
    ASSERT_EQ(kernels::scan_blocks(codes.forms[0], codes.blocks, lanes_of_blocks(40), with_norms(d), kInf, hits.data()), 40U);
    for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(double{hits[i].distance}, codes.distance(0, i)) << d << " " << i;
  }
}

TEST_P(BlockKernelsOnEachTarget, DoNotOverflowAtTheLargestDimension) {
  const std::size_t d = kMaxCodedDimension;
  Codes codes(17, 1, d, 5, true);
  std::fill(codes.row_codes.begin(), codes.row_codes.end(), std::uint8_t{255});
  for (std::size_t b = 0; b < 2; ++b) std::memset(codes.where[b], 255, kernels::block_groups(d) * 64);
  std::vector<BlockHit> hits(17);
  ASSERT_EQ(kernels::scan_blocks(codes.forms[0], codes.blocks, lanes_of_blocks(17), with_norms(d), kInf, hits.data()), 17U);
  for (std::size_t i = 0; i < 17; ++i) EXPECT_NEAR(hits[i].distance, codes.distance(0, i), 64);
}

TEST_P(BlockKernelsOnEachTarget, KeepWhatIsWithinTheBoundIncludingTheBoundItself) {
  Codes codes(150, 1, 100, 9);
  std::vector<BlockHit> all(150);
  kernels::scan_blocks(codes.forms[0], codes.blocks, lanes_of_blocks(150), with_norms(100), kInf, all.data());
  for (const std::size_t chosen : {0UL, 70UL, 149UL}) {
    std::vector<BlockHit> expected;
    std::copy_if(all.begin(), all.end(), std::back_inserter(expected),
                 [&](const BlockHit& hit) { return hit.distance <= all[chosen].distance; });
    std::vector<BlockHit> hits(150);
    hits.resize(kernels::scan_blocks(codes.forms[0], codes.blocks, lanes_of_blocks(150), with_norms(100), all[chosen].distance,
                                     hits.data()));
    ASSERT_EQ(hits.size(), expected.size());
    for (std::size_t i = 0; i < hits.size(); ++i) EXPECT_EQ(hits[i].position, expected[i].position);
  }
}

TEST_P(BlockKernelsOnEachTarget, GiveSeveralQueriesWhatTheyGiveOne) {
  for (const std::size_t d : {1UL, 37UL, 100UL}) {
    for (const std::size_t rows : {1UL, 8UL, 9UL, 16UL, 17UL, 33UL, 41UL, 56UL, 70UL, 72UL}) {
      for (const std::size_t n : {1UL, 3UL, 4UL, 9UL, 17UL}) {
        Codes codes(rows, n, d, d + rows + n);
        std::vector<float> bounds(n);
        for (std::size_t q = 0; q < n; ++q) bounds[q] = q % 3 == 0 ? kInf : static_cast<float>(codes.distance(q, rows / 2));
        std::vector<BlockHit> hits(n * rows);
        std::vector<std::size_t> found(n);
        std::vector<std::uint32_t> which(n);  // backwards
        for (std::size_t i = 0; i < n; ++i) which[i] = static_cast<std::uint32_t>(n - 1 - i);
        kernels::scan_blocks(codes.forms.data(), bounds.data(), which, run_of(codes.blocks, rows), with_norms(d), hits.data(),
                             found.data());
        const std::size_t stride = (rows + kBlockRows - 1) / kBlockRows * kBlockRows;
        std::vector<float> every(n * stride);
        kernels::block_distances(codes.forms.data(), n, codes.blocks, rows, with_norms(d), stride, every.data());
        std::vector<BlockHit> alone(rows);
        for (std::size_t q = 0; q < n; ++q) {
          const std::size_t place = n - 1 - q;
          ASSERT_EQ(found[place], kernels::scan_blocks(codes.forms[q], codes.blocks, lanes_of_blocks(rows), with_norms(d),
                                                       bounds[q], alone.data()));
          for (std::size_t i = 0; i < found[place]; ++i) {
            ASSERT_EQ(hits[place * rows + i].position, alone[i].position);
            ASSERT_EQ(hits[place * rows + i].distance, alone[i].distance);
            ASSERT_EQ(every[q * stride + alone[i].position], alone[i].distance);
          }
        }
      }
    }
  }
}

TEST_P(BlockKernelsOnEachTarget, GiveSeveralQueriesTheRowsOfAPartOfTheLastBlock) {
  constexpr std::size_t kBlocks = 6;
  Codes codes(kBlocks * kBlockRows, 6, 50, 4);
  const std::vector<float> bounds(6, kInf);
  const std::vector<std::uint32_t> which = {0, 1, 2, 3, 4, 5};
  for (std::size_t blocks = 1; blocks <= kBlocks; ++blocks) {
    for (std::size_t first = 0; first < kBlockRows; ++first) {
      for (std::size_t rows = 1; first + rows <= kBlockRows; ++rows) {
        const std::size_t full = (blocks - 1) * kBlockRows;
        const auto lanes = static_cast<std::uint16_t>(first_lanes(rows) << first);
        std::vector<BlockHit> hits(6 * (full + rows));
        std::vector<std::size_t> found(6);
        const kernels::BlockRun run{kernels::Blocks(codes.blocks).first(blocks), full + rows, lanes};
        kernels::scan_blocks(codes.forms.data(), bounds.data(), which, run, with_norms(50), hits.data(), found.data());
        for (std::size_t q = 0; q < 6; ++q) {
          ASSERT_EQ(found[q], full + rows) << blocks << " " << first << " " << rows;
          for (std::size_t i = 0; i < found[q]; ++i) {
            const BlockHit& hit = hits[q * (full + rows) + i];
            ASSERT_EQ(hit.position, i < full ? i : i + first);
            ASSERT_NEAR(hit.distance, codes.distance(q, hit.position), tolerance(codes));
          }
        }
      }
    }
  }
}

TEST_P(BlockKernelsOnEachTarget, FindTheDistancesThatAreWithinABound) {
  std::mt19937_64 generator(3);
  std::vector<float> distances(96);
  for (float& distance : distances) distance = static_cast<float>(generator() % 50);
  for (const std::size_t count : {0UL, 1UL, 15UL, 16UL, 17UL, 90UL, 96UL}) {
    for (const float bound : {-1.0F, 0.0F, 20.0F, kInf}) {
      std::vector<BlockHit> hits(96);
      hits.resize(kernels::within(distances.data(), count, bound, hits.data()));
      auto hit = hits.begin();
      for (std::uint32_t i = 0; i < count; ++i) {
        if (distances[i] > bound) continue;
        ASSERT_NE(hit, hits.end());
        EXPECT_EQ(hit->position, i);
        EXPECT_EQ(hit->distance, distances[i]);
        ++hit;
      }
      EXPECT_EQ(hit, hits.end());
    }
  }
}

}  // namespace
}  // namespace annulus
