// What an index is: dimension, metric, FAISS factory string, defaults. Start at IndexSpec.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace annulus {

/// How near two vectors are. Inside the library every metric is a distance of which smaller is nearer (index/distance.h).
enum class Metric : std::uint8_t {
  kL2 = 0,            ///< squared Euclidean distance
  kInnerProduct = 1,  ///< negative inner product
  /// Negative inner product of vectors of norm 1: VectorRouter makes them so, VectorIndex is given them so. Zero vectors are refused.
  kCosine = 2,
};

/// "l2", "ip", "cosine".
std::string_view to_string(Metric metric) noexcept;

/// The inverse of to_string. Throws Error(kInvalidArgument) for other names.
Metric parse_metric(std::string_view name);

inline constexpr std::size_t kMaxDimension = 65536;

/// Whether an index of float vectors (`HNSW<M>`, `IVF<n>,Flat`) keeps int8 codes of them beside, to search by.
enum class SearchCodes : std::uint8_t {
  kInt8 = 0,  ///< searches by codes, then by the exact distances of the best: faster, for d bytes a row (a little more, rounded up)
  kNone = 1,  ///< searches by exact distances
};

/// Codes are kept up to this dimension: integer sums are exact, and cheap, below it.
inline constexpr std::size_t kMaxCodedDimension = 8192;

/// What a vector index is made of, and its defaults. A plain value; `parse_spec` checks it.
struct IndexSpec {
  std::size_t dimension = 0;  ///< d, 1 to kMaxDimension
  Metric metric = Metric::kL2;
  std::string factory = "Flat";  ///< FAISS factory string; see parse_spec
  int ef_construction = 200;     ///< HNSW: candidates kept while inserting, > 0
  int ef = 64;                   ///< HNSW: candidates kept while searching, > 0; a search may override it
  int nprobe = 8;                ///< IVF: lists visited by a search, > 0; a search may override it
  SearchCodes search_codes = SearchCodes::kInt8;  ///< beside float vectors; no other family has them
  std::uint64_t seed = 1234;     ///< of training and of HNSW's levels: same input, same index

  friend bool operator==(const IndexSpec&, const IndexSpec&) = default;
};

/// The kinds of index.
enum class IndexFamily : std::uint8_t { kFlat, kHnsw, kIvf };

/// How vectors are stored.
enum class Coding : std::uint8_t {
  kFloat,  ///< as they are
  kSq8,    ///< 8 bits a dimension
  kPq,     ///< product quantizer, 8 bits a subvector
};

/// What a factory string says.
struct ParsedSpec {
  IndexFamily family = IndexFamily::kFlat;
  Coding coding = Coding::kFloat;
  int m = 0;              ///< HNSW: links a row on the upper levels (twice as many on the lowest)
  std::size_t nlist = 0;  ///< IVF: number of lists
  int quantizer_m = 0;    ///< IVF: links a centroid when the coarse quantizer is an HNSW, else 0
  int pq_m = 0;           ///< PQ: number of subvectors
};

/// Checks `spec` and takes its factory string apart. Supported: `Flat`; `HNSW<M>` and `HNSW<M>,SQ8`; `IVF<n>` and
/// `IVF<n>_HNSW<M>`, each with `,Flat`, `,SQ8` or `,PQ<m>`. 2 <= M <= 256, 1 <= n <= 2^20, m divides d.
/// Throws Error(kUnimplemented) for another factory string (its message lists the supported ones),
/// Error(kInvalidArgument) for a number out of bounds.
ParsedSpec parse_spec(const IndexSpec& spec);

/// Whether an index of this spec needs a trained Codec before it takes vectors (IVF, and every SQ8). Throws as parse_spec.
bool needs_training(const IndexSpec& spec);

/// The fewest samples that Codec::train accepts for this spec; 0 if it needs no training. Throws as parse_spec.
std::size_t min_training_samples(const IndexSpec& spec);

}  // namespace annulus
