// Queries made ready once for every index that they go to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

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
  struct Parts;

 public:
  /// What batches are made in, one after the other: the memory is reused.
  class Memory {
   public:
    Memory();
    ~Memory();
    Memory(Memory&&) noexcept;
    Memory& operator=(Memory&&) noexcept;

   private:
    friend class QueryBatch;
    std::unique_ptr<Parts> parts_;
  };

  /// `queries`: n x d floats. With a codec of an IVF the coarse assignment is made here: O(n nlist d). Without one, each index
  /// that needs it makes its own.
  /// `memory` serves one batch at a time, and outlives it; null: the batch has its own.
  /// Throws Error(kInvalidArgument) for another dimension, NaN, infinity, a zero query under kCosine, parameters not > 0.
  QueryBatch(const IndexSpec& spec, const MatrixView& queries, const SearchParams& params = {},
             std::shared_ptr<const Codec> codec = nullptr, Memory* memory = nullptr);

  /// Internal: the queries of `batch`, of an IVF's codec, with other lists, a span for each query. `batch` must outlive it, and
  /// have other memory.
  QueryBatch(const QueryBatch& batch, std::span<const std::span<const Candidate>> lists, Memory* memory = nullptr);

  std::size_t size() const noexcept { return static_cast<std::size_t>(queries_.rows()); }
  const MatrixView& queries() const noexcept { return queries_; }
  const float* query(std::size_t i) const noexcept { return row_data(queries_, i); }
  const SearchParams& params() const noexcept { return params_; }

  /// The codec that it was made with; null if there was none.
  const std::shared_ptr<const Codec>& codec() const noexcept { return codec_; }

  /// The lists that query i visits, nearest first, with the distances of their centroids. Empty without an IVF's codec.
  std::span<const Candidate> lists(std::size_t i) const noexcept {
    return starts_.empty() ? lists_ : lists_.subspan(starts_[i], starts_[i + 1] - starts_[i]);
  }

  /// The queries in the order of their nearest lists, if each should search that one first, by itself, so that it comes to the
  /// others knowing a bound. None if queries visit few lists: these cost less when nobody has to fetch them twice.
  std::span<const std::uint32_t> by_nearest_list() const noexcept { return by_nearest_; }

  /// The queries that visit a list; those not whose nearest it is, if by_nearest_list() has them. Empty without an IVF's codec.
  std::span<const std::uint32_t> visitors(std::size_t list) const noexcept {
    return visitors_.subspan(visitor_starts_[list], visitor_starts_[list + 1] - visitor_starts_[list]);
  }

  /// Distances to coarse centroids that were computed.
  std::uint64_t distances() const noexcept { return distances_; }

  /// Internal: the queries' int8 codes; null without a codec that has a scale, or without search codes.
  const EncodedQueries* encoded() const noexcept { return encoded_; }

 private:
  Parts& parts_in(Memory* memory);
  void sort_by_list(std::size_t nlist, Parts& parts);

  const MatrixView queries_;
  SearchParams params_;
  std::shared_ptr<const Codec> codec_;
  Memory own_;  // if it was given none
  std::span<const Candidate> lists_;
  std::span<const std::size_t> starts_;
  std::span<const std::uint32_t> by_nearest_;
  std::span<const std::uint32_t> visitors_;  // by list
  std::span<const std::uint32_t> visitor_starts_;
  const EncodedQueries* encoded_ = nullptr;
  std::uint64_t distances_ = 0;
};

}  // namespace annulus
