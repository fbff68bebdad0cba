#include "index/coarse_blocks.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "index/distance.h"
#include "index/encoded_queries.h"
#include "index/search_scratch.h"

namespace annulus {
namespace {

/// Queries whose distances to all centroids are held at a time.
constexpr std::size_t kTogether = 16;

/// A number of a float's order in the upper half, and `index` below: they sort as (distance, index).
std::uint64_t sort_key(float distance, std::size_t index) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(distance);
  const std::uint32_t ordered = bits ^ ((bits >> 31) != 0 ? 0xFFFFFFFFU : 0x80000000U);
  return std::uint64_t{ordered} << 32 | index;
}

float distance_of(std::uint64_t key) noexcept {
  const auto ordered = static_cast<std::uint32_t>(key >> 32);
  return std::bit_cast<float>(ordered ^ ((ordered >> 31) != 0 ? 0x80000000U : 0xFFFFFFFFU));
}

std::size_t index_of(std::uint64_t key) noexcept { return static_cast<std::uint32_t>(key); }

/// Moves the `most` smallest to the front, sorted.
void sort_smallest(std::span<std::uint64_t> keys, std::size_t most) {
  const auto end = keys.begin() + static_cast<std::ptrdiff_t>(most);
  if (most < keys.size()) std::nth_element(keys.begin(), end, keys.end());
  std::sort(keys.begin(), end);
}

}  // namespace

CoarseBlocks::CoarseBlocks(Metric metric, std::span<const float> centroids, std::size_t d)
    : metric_(metric),
      centroids_(centroids),
      d_(d),
      count_(centroids.size() / d),
      scale_(Int8Scale::learn(metric, centroids.data(), count_, d)),
      blocks_(1, d) {
  std::vector<std::uint8_t> code(d);
  for (std::size_t i = 0; i < count_; ++i) {
    const std::int32_t norm = scale_.encode_row(centroids.data() + i * d, code.data());
    blocks_.append(0, code.data(), norm, static_cast<Row>(i));
  }
}

std::uint64_t CoarseBlocks::nearest(const MatrixView& queries, std::size_t most, ListDistances precision, Candidate* out) const {
  const auto n = static_cast<std::size_t>(queries.rows());
  for (std::size_t first = 0; first < n; first += kTogether) {
    nearest_of_some(queries, first, std::min(kTogether, n - first), most, precision, out + first * most);
  }
  return n * (count_ + (precision == ListDistances::kExact ? compared_exactly(most) : 0));
}

std::size_t CoarseBlocks::compared_exactly(std::size_t most) const noexcept {
  return std::min(count_, most + std::max<std::size_t>(8, most / 4));
}

void CoarseBlocks::nearest_of_some(const MatrixView& queries, std::size_t first, std::size_t n, std::size_t most,
                                   ListDistances precision, Candidate* out) const {
  const std::size_t kept = precision == ListDistances::kExact ? compared_exactly(most) : most;
  const auto some = queries.middleRows(static_cast<Eigen::Index>(first), static_cast<Eigen::Index>(n));
  const EncodedQueries encoded(scale_, some);
  ScratchLease scratch;
  const std::size_t stride = (count_ + kernels::kBlockRows - 1) / kernels::kBlockRows * kernels::kBlockRows;
  std::vector<float>& rough = scratch->distances;
  rough.resize(n * stride);
  kernels::block_distances(encoded.data(), n, blocks_.blocks(0), count_, d_, stride, rough.data());
  std::vector<std::uint64_t>& keys = scratch->keys;
  for (std::size_t i = 0; i < n; ++i) {
    const float* of_query = rough.data() + i * stride;
    keys.resize(count_);
    for (std::size_t j = 0; j < count_; ++j) keys[j] = sort_key(of_query[j], j);
    sort_smallest(keys, kept);
    if (precision == ListDistances::kExact) {
      for (std::size_t j = 0; j < kept; ++j) {
        const std::size_t list = index_of(keys[j]);
        keys[j] = sort_key(distance(metric_, row_data(queries, first + i), centroids_.data() + list * d_, d_), list);
      }
      sort_smallest(std::span(keys).first(kept), most);
    }
    for (std::size_t j = 0; j < most; ++j) out[i * most + j] = {index_of(keys[j]), distance_of(keys[j])};
  }
}

}  // namespace annulus
