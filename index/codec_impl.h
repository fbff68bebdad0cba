// Internal: the inside of a Codec.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "index/codec.h"
#include "index/faiss_support.h"
#include "index/search_types.h"

namespace faiss {
struct IndexIVF;
struct ScalarQuantizer;
}  // namespace faiss

namespace annulus {

inline constexpr std::uint32_t kCodecVersion = 1;

struct Codec::Impl {
  IndexSpec spec;
  ParsedSpec parsed;
  std::unique_ptr<faiss::Index> index;  ///< trained and empty
  std::uint64_t fingerprint = 0;

  Impl();
  ~Impl();

  /// What a FAISS index that was read from a file has learnt, checked against `spec`. Throws Error(kDataLoss).
  static std::unique_ptr<const Impl> adopt(const IndexSpec& spec, const faiss::Index& trained);

  /// The index as IVF; only for that family.
  const faiss::IndexIVF& ivf() const noexcept;

  /// The scales of an HNSW with SQ8; only for that family.
  const faiss::ScalarQuantizer& hnsw_scales() const noexcept;

  /// nlist x d floats; only for IVF.
  std::span<const float> centroids() const noexcept;

  /// The lists.size() nearest coarse centroids of `query`, nearest first, as (list number, distance); returns how many
  /// (all, unless an HNSW over the centroids is not connected). The same for a query whatever batch it comes in.
  std::size_t nearest_lists(const float* query, std::span<Candidate> lists, SearchWork& work) const;
};

/// Hash of all that decides about codes, whatever FAISS version wrote it: version, spec, centroids, scales, codebooks.
std::uint64_t codec_fingerprint(const Codec::Impl& impl);

}  // namespace annulus
