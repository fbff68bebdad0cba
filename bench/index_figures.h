// What the figures of the index benchmark are measured with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/context.h"
#include "bench/index_engines.h"

namespace annulus::bench {

double median_of(std::vector<double> values);

/// The part of the exact answers (10 a query; UINT32_MAX: none) that the engine finds.
double recall_of(SearchEngine& engine, const Matrix& queries, std::span<const std::uint32_t> answers);

/// Two engines on the same queries, round by round in turns.
struct Versus {
  double a_per_second = 0;  ///< median over the rounds
  double b_per_second = 0;
  double ratio = 0;  ///< a's speed over b's of the same round: median, least, greatest
  double least = 0;
  double greatest = 0;
};

/// Searches all queries in batches of `batch`, in each turn again and again until it has lasted `least_seconds`. The first round is
/// not timed.
Versus search_in_turns(SearchEngine& a, SearchEngine& b, const Matrix& queries, std::size_t batch, std::size_t rounds,
                       double least_seconds);

/// The rows of `rows` for which `kept` says so.
Matrix rows_where(const Matrix& rows, std::span<const char> kept);

/// Answers by row number among all rows, renumbered among those that are kept.
std::vector<std::uint32_t> rank_among(std::span<const std::uint32_t> answers, std::span<const char> kept);

/// p99 of one searching thread beside one that upserts at full speed, over its p99 alone; and how much slower the upserts are.
/// Each of the three parts of a round takes `seconds`. The data must have more than 64 rows.
std::vector<Json> beside_upserts_rows(Cluster& cluster, const IndexData& data, std::size_t rounds, double seconds);

/// Erasing half of the rows of an index in one call, for each family; and of a cluster of 8 shards of each, through its router,
/// where an erased key leaves a tombstone. Beside FAISS's IDMap2 of IndexFlat in calls of 100 ids.
std::vector<Json> bulk_erase_rows(const IndexData& data, const std::string& ivf);

/// memory_bytes() of a shard of each family beside the process's growth; what a record costs beside its vector, codes and links.
/// With two replicas in two shards, where each has as many rows, half of them secondary; and the IVF in 8 shards too, where its
/// lists are an eighth as long.
std::vector<Json> memory_rows(const IndexData& data, const std::string& ivf);

}  // namespace annulus::bench
