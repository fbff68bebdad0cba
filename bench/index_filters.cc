#include "bench/index_filters.h"

#include <algorithm>
#include <chrono>
#include <string>

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

/// How rows are accepted.
struct Restriction {
  const char* by;
  const KeyFilter* filter;  // or
  const KeySet* allow;
  std::size_t batch;
};

/// While it lives, searches of a cluster return what is accepted, and go the way that they are told.
class Restricted {
 public:
  Restricted(Cluster& cluster, const Restriction& restriction, FilterMethod method) : cluster_(cluster) {
    cluster_.restrict_to(restriction.filter, restriction.allow, method);
  }
  ~Restricted() { cluster_.restrict_to(nullptr, nullptr, FilterMethod::kByCost); }
  Restricted(const Restricted&) = delete;
  Restricted& operator=(const Restricted&) = delete;

 private:
  Cluster& cluster_;
};

double search_seconds(Cluster& cluster, const Matrix& queries, std::size_t count, std::size_t batch) {
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t begin = 0; begin < count; begin += batch) cluster.search(queries, begin, std::min(batch, count - begin), nullptr);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// One way that searches can go.
struct Way {
  FilterMethod method;
  const char* name;
  bool hopeless = false;             // so slow that a few queries tell
  double recall = 0;
  std::vector<double> seconds = {};  // a query, by round
};

/// Whether some other way takes a tenth of the time.
bool is_hopeless(const Way& way, const Way& other) { return way.seconds.front() > 10 * other.seconds.front(); }

Json filter_row(const FilteredEngine& engine, const Restriction& restriction, const IndexData& data,
                const std::vector<std::uint32_t>& answers, double selectivity, std::size_t rounds) {
  constexpr std::size_t kFew = 4;
  Cluster& cluster = *engine.cluster;
  cluster.set(engine.setting);
  Way ways[] = {{FilterMethod::kByCost, "by cost"}, {FilterMethod::kIndex, "through the index"}, {FilterMethod::kScan, "a scan"}};
  auto& [chosen, through, scan] = ways;
  const auto n = static_cast<std::size_t>(data.queries.rows());
  for (Way& way : ways) {
    const Restricted restricted(cluster, restriction, way.method);
    const std::size_t few = std::min(kFew, n);
    way.seconds.push_back(search_seconds(cluster, data.queries, few, std::min(restriction.batch, few)) / static_cast<double>(few));
  }
  through.hopeless = is_hopeless(through, scan);
  scan.hopeless = is_hopeless(scan, through);
  for (Way& way : ways) {
    if (way.hopeless) continue;
    const Restricted restricted(cluster, restriction, way.method);
    way.recall = recall_of(cluster, data.queries, answers);
    way.seconds.clear();
  }
  for (std::size_t round = 0; round < rounds; ++round) {
    for (Way& way : ways) {
      if (way.hopeless) continue;
      const Restricted restricted(cluster, restriction, way.method);
      way.seconds.push_back(search_seconds(cluster, data.queries, n, restriction.batch) / static_cast<double>(n));
    }
  }
  const auto seconds = [](const Way& way) { return median_of(way.seconds); };
  const Way& better = seconds(through) < seconds(scan) ? through : scan;
  const double slower = seconds(chosen) / seconds(better);
  Json baseline = {{"engine", std::string("the better way: ") + better.name},
                   {"recall_at_10", better.recall},
                   {"qps", 1 / seconds(better)},
                   {"index_qps", 1 / seconds(through)},
                   {"scan_qps", 1 / seconds(scan)}};
  if (!through.hopeless) baseline["index_recall_at_10"] = through.recall;
  if (!scan.hopeless) baseline["scan_recall_at_10"] = scan.recall;
  return {{"figure", "filters"},
          {"engine", cluster.name()},
          {"params", params_of(cluster, engine.setting)},
          {"selectivity", selectivity},
          {"by", restriction.by},
          {"batch", restriction.batch},
          {"threads", 1},
          {"recall_at_10", chosen.recall},
          {"qps", 1 / seconds(chosen)},
          {"baseline", std::move(baseline)},
          {"time_ratio", slower},
          {"target_at_most", kSlower},
          {"target_recall", kRecall},
          {"met", chosen.recall >= kRecall && slower <= kSlower}};
}

}  // namespace

std::vector<Json> filter_rows(std::span<const FilteredEngine> engines, const IndexData& data, std::size_t rounds) {
  IndexData few = data;
  few.queries = data.queries.topRows(std::min<Eigen::Index>(data.queries.rows(), kQueries));
  std::vector<Json> rows;
  for (const double selectivity : {0.5, 0.1, 0.01, 0.001}) {
    const std::vector<char> accepted = accepted_rows(data.rows(), selectivity);
    const std::vector<std::uint32_t> answers = exact_answers(few, accepted);
    const KeyFilter filter = [&](KeyView key) { return accepted[static_cast<std::size_t>(id_of_key(key))] != 0; };
    std::vector<IdKey> ids;
    for (std::size_t i = 0; i < accepted.size(); ++i) {
      if (accepted[i] != 0) ids.emplace_back(i);
    }
    const std::vector<KeyView> keys(ids.begin(), ids.end());
    const KeySet set(keys, KeyKind::kId);
    const Restriction restrictions[] = {{"key filter", &filter, nullptr, 1},
                                        {"key filter", &filter, nullptr, kQueries},
                                        {"allowed keys", nullptr, &set, 1}};
    for (const FilteredEngine& engine : engines) {
      for (const Restriction& restriction : restrictions) {
        rows.push_back(filter_row(engine, restriction, few, answers, selectivity, rounds));
      }
    }
  }
  return rows;
}

}  // namespace annulus::bench
