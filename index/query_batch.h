// Queries made ready once for every index that they go to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "index/codec.h"
#include "index/index_spec.h"
#include "index/search_types.h"

namespace annulus {

class EncodedQueries;

/// A batch of queries with what all indexes of one codec have in common: the lists that each query visits, and its int8 code.
/// So the coarse assignment costs the same for one shard and for many.
///
/// Immutable once made; it refers to the queries, which must outlive it. Thread safety: const calls from any threads at once.
class QueryBatch {
 public:
  /// `queries`: n x d floats. With a codec of an IVF the coarse assignment is made here: O(n nlist d). Without one, each index
  /// that needs it makes its own.
  /// Throws Error(kInvalidArgument) for another dimension, NaN, infinity, a zero query under kCosine, parameters not > 0.
  QueryBatch(const IndexSpec& spec, const MatrixView& queries, const SearchParams& params = {},
             std::shared_ptr<const Codec> codec = nullptr);

  std::size_t size() const noexcept { return static_cast<std::size_t>(queries_.rows()); }
  const MatrixView& queries() const noexcept { return queries_; }
  const float* query(std::size_t i) const noexcept { return row_data(queries_, i); }
  const SearchParams& params() const noexcept { return params_; }

  /// The codec that it was made with; null if there was none.
  const std::shared_ptr<const Codec>& codec() const noexcept { return codec_; }

  /// The lists that query i visits, nearest first, with the distances of their centroids. Empty without an IVF's codec.
  std::span<const Candidate> lists(std::size_t i) const noexcept {
    return {lists_.data() + starts_[i], starts_[i + 1] - starts_[i]};
  }

  /// The queries that visit a list, unless it is the nearest of theirs: that one they search first, by itself, so that they come
  /// to the others knowing a bound. Empty without an IVF's codec.
  std::span<const std::uint32_t> visitors(std::size_t list) const noexcept {
    return {visitors_.data() + visitor_starts_[list], visitor_starts_[list + 1] - visitor_starts_[list]};
  }

  /// Distances to coarse centroids that were computed.
  std::uint64_t distances() const noexcept { return distances_; }

  /// Internal: the queries' int8 codes; null without a codec that has a scale, or without search codes.
  const EncodedQueries* encoded() const noexcept { return encoded_.get(); }

 private:
  void sort_by_list(std::size_t nlist);

  const MatrixView queries_;
  SearchParams params_;
  std::shared_ptr<const Codec> codec_;
  std::vector<Candidate> lists_;
  std::vector<std::size_t> starts_;
  std::vector<std::uint32_t> visitors_;  // by list
  std::vector<std::uint32_t> visitor_starts_;
  std::shared_ptr<const EncodedQueries> encoded_;
  std::uint64_t distances_ = 0;
};

}  // namespace annulus
