// How fast the index engine is inside a router, beside the linked FAISS's best.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "bench/context.h"
#include "index/index_spec.h"

namespace annulus::bench {

struct IndexBenchOptions {
  std::filesystem::path base;       ///< fvecs of the rows; empty: `synthetic_rows` x `synthetic_dimension` clustered points
  std::filesystem::path queries;    ///< fvecs of the queries
  Metric metric = Metric::kCosine;  ///< of the files; synthetic data is L2
  std::size_t synthetic_rows = 20'000;
  std::size_t synthetic_dimension = 64;
  std::size_t rows = 0;              ///< at most so many of the base rows; 0: all
  std::size_t query_count = 1000;    ///< at most so many queries
  std::size_t lists = 1024;          ///< of the IVF
  std::size_t build_rows = 100'000;  ///< of the builds that are compared: FAISS's takes minutes for more
  std::size_t repetitions = 3;       ///< rounds in which ours and the baseline take turns
  double seconds = 2;                ///< of each part of a round of beside_upserts; of a turn of searches a quarter, at least
  std::filesystem::path cache;       ///< where FAISS's indexes and the exact answers are kept from run to run; empty: nowhere
  std::vector<std::string> only;     ///< figures to measure; empty: all (index_bench_figures)
  std::function<void(const std::string&)> progress;  ///< told what is being done; may be empty
};

/// The names of the figures, in the order in which they are measured.
const std::vector<std::string>& index_bench_figures();

struct IndexBenchResult {
  Json data;  ///< name, rows, dimension, queries, metric
  Json rows;  ///< one or more a figure: bench/README.md
};

/// Throws Error(kInvalidArgument) for options out of range or an unknown figure; what reading the files throws.
IndexBenchResult index_bench(const IndexBenchOptions& options);

}  // namespace annulus::bench
