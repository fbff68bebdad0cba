// The vectors that the index benchmarks run on, and the exact answers to their queries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/matrix.h"
#include "index/index_spec.h"

namespace annulus::bench {

/// A data set in memory. Keys of the base rows are their numbers.
struct IndexData {
  std::string name;
  Metric metric = Metric::kL2;
  Matrix base;                    ///< n x d; normalised for kCosine
  Matrix queries;                 ///< q x d; likewise
  std::uint64_t fingerprint = 0;  ///< of metric, base and queries

  std::size_t rows() const noexcept { return static_cast<std::size_t>(base.rows()); }
  std::size_t dimension() const noexcept { return static_cast<std::size_t>(base.cols()); }
};

/// fvecs files; at most `most_rows` and `most_queries` of them (0: all). Throws as read_fvecs, and Error(kInvalidArgument) for
/// dimensions that differ.
IndexData load_index_data(const std::filesystem::path& base, const std::filesystem::path& queries, Metric metric,
                          std::size_t most_rows, std::size_t most_queries);

/// n + q points around sqrt(n) centres that are drawn from a normal distribution; around them a narrower one. L2.
IndexData make_clustered_data(std::size_t n, std::size_t d, std::size_t q, std::uint64_t seed);

/// The numbers of the 10 nearest base rows of each query (exact), those of which `kept` says so (empty: all).
std::vector<std::uint32_t> exact_answers(const IndexData& data, std::span<const char> kept);

/// The same for all rows, kept in a file of `cache` (empty: not kept) from run to run.
std::vector<std::uint32_t> cached_answers(const IndexData& data, const std::filesystem::path& cache);

}  // namespace annulus::bench
