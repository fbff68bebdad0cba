#include "bench/index_filters.h"

#include <algorithm>

#include "bench/index_figures.h"
#include "core/key.h"

namespace annulus::bench {
namespace {

constexpr std::size_t kQueries = 200;  // an exact scan under a filter takes milliseconds
constexpr double kRecall = 0.95;
constexpr double kSlower = 1.2;

/// Which rows are accepted: a fraction of all, in no order that the ring or an index would know.
std::vector<char> accepted_rows(std::size_t rows, double selectivity) {
  const auto limit = static_cast<std::uint64_t>(selectivity * static_cast<double>(std::uint64_t{1} << 32));
  std::vector<char> accepted(rows);
  for (std::size_t i = 0; i < rows; ++i) accepted[i] = (i * 0x9E3779B97F4A7C15ULL) >> 32 < limit ? 1 : 0;
  return accepted;
}

/// While it lives, searches of a cluster return what the filter accepts.
class Filtered {
 public:
  Filtered(Cluster& cluster, const KeyFilter& filter) : cluster_(cluster) { cluster_.restrict_to(&filter); }
  ~Filtered() { cluster_.restrict_to(nullptr); }
  Filtered(const Filtered&) = delete;
  Filtered& operator=(const Filtered&) = delete;

 private:
  Cluster& cluster_;
};

Json filter_row(const FilteredEngine& engine, Cluster& scan, const IndexData& data, const std::vector<std::uint32_t>& answers,
                double selectivity, std::size_t rounds) {
  Cluster& cluster = *engine.cluster;
  cluster.set(engine.setting);
  const double recall = recall_of(cluster, data.queries, answers);
  const double scan_recall = recall_of(scan, data.queries, answers);
  const Versus versus = search_in_turns(cluster, scan, data.queries, 1, rounds, 0);
  const double slower = 1 / versus.ratio;
  return {
      {"figure", "filters"},
      {"engine", cluster.name()},
      {"params", params_of(cluster, engine.setting)},
      {"selectivity", selectivity},
      {"batch", 1},
      {"threads", 1},
      {"recall_at_10", recall},
      {"qps", versus.a_per_second},
      {"baseline", {{"engine", scan.name() + ", the same filter"}, {"recall_at_10", scan_recall}, {"qps", versus.b_per_second}}},
      {"time_ratio", slower},
      {"target_at_most", kSlower},
      {"target_recall", kRecall},
      {"met", recall >= kRecall && slower <= kSlower}};
}

}  // namespace

std::vector<Json> filter_rows(std::span<const FilteredEngine> engines, Cluster& scan, const IndexData& data, std::size_t rounds) {
  IndexData few = data;
  few.queries = data.queries.topRows(std::min<Eigen::Index>(data.queries.rows(), kQueries));
  std::vector<Json> rows;
  for (const double selectivity : {0.5, 0.1, 0.01, 0.001}) {
    const std::vector<char> accepted = accepted_rows(data.rows(), selectivity);
    const std::vector<std::uint32_t> answers = exact_answers(few, accepted);
    const KeyFilter filter = [&](KeyView key) { return accepted[static_cast<std::size_t>(id_of_key(key))] != 0; };
    const Filtered scanned(scan, filter);
    for (const FilteredEngine& engine : engines) {
      const Filtered searched(*engine.cluster, filter);
      rows.push_back(filter_row(engine, scan, few, answers, selectivity, rounds));
    }
  }
  return rows;
}

}  // namespace annulus::bench
