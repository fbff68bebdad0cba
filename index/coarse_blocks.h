// Internal: the nearest coarse centroids of many queries at once, by int8 codes in blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "index/int8_blocks.h"
#include "index/int8_scale.h"
#include "index/search_types.h"

namespace annulus {

/// How the distances to the lists that a query visits are computed.
enum class ListDistances {
  kByCodes,  ///< which lists are nearest, and their distances, are approximate
  kExact,    ///< the nearest by codes, and a fourth more of them, are compared exactly
};

/// Codes of coarse centroids, on a scale learnt from them. Immutable. Thread safety: everything is const.
class CoarseBlocks {
 public:
  /// `centroids`: n x d floats, which must outlive it.
  CoarseBlocks(Metric metric, std::span<const float> centroids, std::size_t d);

  /// The `most` nearest centroids of each query, nearest first, as (number, distance): those of query i at out + i * most.
  /// most <= n. The answer of a query does not depend on the others. Returns how many distances were computed.
  std::uint64_t nearest(const MatrixView& queries, std::size_t most, ListDistances precision, Candidate* out) const;

  std::size_t memory_bytes() const noexcept { return blocks_.memory_bytes() + where_.capacity() * sizeof where_[0]; }

 private:
  std::size_t compared_exactly(std::size_t most) const noexcept;
  void nearest_of_some(const MatrixView& queries, std::size_t first, std::size_t n, std::size_t most, ListDistances precision,
                       Candidate* out) const;

  Metric metric_;
  std::span<const float> centroids_;
  std::size_t d_;
  std::size_t count_;
  Int8Scale scale_;
  Int8BlockLists blocks_;
  std::vector<const std::uint8_t*> where_;  ///< the blocks
};

}  // namespace annulus
