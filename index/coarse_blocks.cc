#include "index/coarse_blocks.h"

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <vector>

#include "index/distance.h"
#include "index/distance_key.h"
#include "index/encoded_queries.h"
#include "index/search_scratch.h"

namespace annulus {
namespace {

/// Queries whose distances to all centroids are held at a time.
constexpr std::size_t kTogether = 16;

/// Keys of distances among which are the `most` smallest, and not many more: those up to the value that a sample has at 3/2 of
/// the rank and some more, unless the sample was odd. `distances` goes on to the end of the last block.
void collect_smallest(const float* distances, std::size_t count, std::size_t most, std::vector<kernels::BlockHit>& hits,
                      std::vector<std::uint64_t>& keys) {
  constexpr std::size_t kSamples = 128;
  hits.resize(count);
  std::size_t found = 0;
  const std::size_t rank = most * kSamples * 3 / 2 / count + 6;
  if (count >= 4 * kSamples && rank < kSamples) {
    std::array<float, kSamples> sample;
    for (std::size_t i = 0; i < kSamples; ++i) sample[i] = distances[i * count / kSamples];
    std::nth_element(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(rank), sample.end());
    found = kernels::within(distances, count, sample[rank], hits.data());
  }
  if (found < most) found = kernels::within(distances, count, std::numeric_limits<float>::infinity(), hits.data());
  keys.resize(found);
  for (std::size_t i = 0; i < found; ++i) keys[i] = distance_key(hits[i].distance, hits[i].position);
}

}  // namespace

CoarseBlocks::CoarseBlocks(Metric metric, std::span<const float> centroids, std::size_t d)
    : metric_(metric),
      centroids_(centroids),
      d_(d),
      count_(centroids.size() / d),
      scale_(Int8Scale::learn(metric, centroids.data(), count_, d)),
      blocks_(1, d, metric == Metric::kL2) {
  std::vector<std::uint8_t> code(d);
  for (std::size_t i = 0; i < count_; ++i) {
    const std::int32_t norm = scale_.encode_row(centroids.data() + i * d, code.data());
    blocks_.append(0, code.data(), norm, static_cast<Row>(i));
  }
  // a list that shares its blocks with none lies in their first lanes
  for (std::size_t b = 0; b < blocks_.parts(0); ++b) where_.push_back(blocks_.part(0, b).block);
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
  const Reused<EncodedQueries> encoded;
  encoded->encode(scale_, some);
  ScratchLease scratch;
  const std::size_t stride = (count_ + kernels::kBlockRows - 1) / kernels::kBlockRows * kernels::kBlockRows;
  std::vector<float>& rough = scratch->distances;
  rough.resize(n * stride);
  kernels::block_distances(encoded->data(), n, where_, count_, blocks_.layout(), stride, rough.data());
  std::vector<std::uint64_t>& keys = scratch->keys;
  for (std::size_t i = 0; i < n; ++i) {
    const float* of_query = rough.data() + i * stride;
    collect_smallest(of_query, count_, kept, scratch->hits, keys);
    sort_smallest(keys, kept);
    if (precision == ListDistances::kExact) {
      for (std::size_t j = 0; j < kept; ++j) {
        const std::uint32_t list = key_number(keys[j]);
        keys[j] =
            distance_key(distance(metric_, row_data(queries, first + i), centroids_.data() + std::size_t{list} * d_, d_), list);
      }
      sort_smallest(std::span(keys).first(kept), most);
    }
    for (std::size_t j = 0; j < most; ++j) out[i * most + j] = {key_number(keys[j]), key_distance(keys[j])};
  }
}

}  // namespace annulus
