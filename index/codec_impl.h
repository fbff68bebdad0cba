// Internal: the inside of a Codec.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/coarse_blocks.h"
#include "index/codec.h"
#include "index/faiss_support.h"
#include "index/int8_scale.h"
#include "index/search_types.h"

namespace faiss {
struct IndexIVF;
struct ScalarQuantizer;
}  // namespace faiss

namespace annulus {

/// Version 1 has no int8 scale for rows of floats. What has none in version 2 either is still of version 1.
inline constexpr std::uint32_t kCodecVersion = 2;

/// Whether a codec of version 2 of this spec has an int8 scale: float rows in lists.
bool has_row_scale(const IndexSpec& spec, const ParsedSpec& parsed) noexcept;

struct Codec::Impl {
  IndexSpec spec;
  ParsedSpec parsed;
  std::unique_ptr<faiss::Index> index;  ///< trained and empty
  std::optional<Int8Scale> row_scale;   ///< of float rows, to search by
  std::optional<CoarseBlocks> coarse;   ///< unless the centroids are in a graph, or of too many dimensions
  std::uint64_t fingerprint = 0;

  Impl();
  ~Impl();

  /// What a FAISS index and a scale (put_scale) that were read from a file have learnt, checked against `spec`. Throws
  /// Error(kDataLoss).
  static std::unique_ptr<const Impl> adopt(const IndexSpec& spec, const faiss::Index& trained, std::string_view scale);

  /// Makes what follows from `index` and `row_scale`, once they are there.
  void finish();

  /// The row scale as bytes: the scale, then the centre; empty if there is none.
  std::string scale_bytes() const;

  std::uint32_t version() const noexcept { return row_scale ? kCodecVersion : 1; }

  /// The index as IVF; only for that family.
  const faiss::IndexIVF& ivf() const noexcept;

  /// The scales of an HNSW with SQ8; only for that family.
  const faiss::ScalarQuantizer& hnsw_scales() const noexcept;

  /// nlist x d floats; only for IVF.
  std::span<const float> centroids() const noexcept;

  /// What codes of residuals are worth depends on the exact distance of their centroid.
  ListDistances precision() const noexcept {
    return parsed.coding == Coding::kFloat ? ListDistances::kByCodes : ListDistances::kExact;
  }

  /// The `most` nearest coarse centroids of each query, nearest first, as (list number, distance): those of query i at
  /// out + i * most, counts[i] of them (all, unless an HNSW over the centroids is not connected). most <= nlist. The same for a
  /// query whatever batch it comes in. Exact distances are always given where the centroids are not in blocks.
  void nearest_lists(const MatrixView& queries, std::size_t most, ListDistances precision, Candidate* out, std::size_t* counts,
                     SearchWork& work) const;

 private:
  std::size_t walk_to_lists(const float* query, std::span<Candidate> lists, SearchWork& work) const;
  std::size_t scan_for_lists(const float* query, std::span<Candidate> lists, SearchWork& work) const;
};

/// Hash of all that decides about codes, whatever FAISS version wrote it: version, spec, centroids, scales, codebooks.
std::uint64_t codec_fingerprint(const Codec::Impl& impl);

}  // namespace annulus
