#include "index/graph_builder.h"

#include <faiss/impl/HNSW.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <limits>
#include <numeric>
#include <tuple>

#include "core/thread_budget.h"

namespace annulus {
namespace {

using Link = faiss::HNSW::storage_idx_t;

// Rows of a batch see the graph and each other, but walk in the graph alone: it is to be the larger part by far.
constexpr std::size_t kBatchShare = 32;
constexpr std::size_t kMostRows = 1024;
// Work for which another thread pays, about a millisecond of it: where processors are busy, waiting for a thread costs more.
constexpr std::size_t kInsertedPerThread = 16;
constexpr std::size_t kLinkedPerThread = 512;
// Kept neighbours that one look at a candidate compares.
constexpr std::size_t kCompareAtOnce = 8;

/// The finaliser of SplitMix64: as good as random, a function of its argument, and one to one.
std::uint64_t mixed(std::uint64_t z) noexcept {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

struct Near {
  float distance;
  Row row;

  friend bool operator<(const Near& a, const Near& b) noexcept {
    return a.distance != b.distance ? a.distance < b.distance : a.row < b.row;
  }
};

/// What one row of a batch has found: its neighbours on each of its levels, the lowest first.
struct Findings {
  std::vector<Near> near;
  std::vector<std::size_t> ends;  // of each level's neighbours
};

/// A link to be added to `to`.
struct Request {
  Row to;
  int level;
  Near from;

  friend bool operator<(const Request& a, const Request& b) noexcept {
    return std::tie(a.level, a.to, a.from.distance, a.from.row) < std::tie(b.level, b.to, b.from.distance, b.from.row);
  }
};

std::span<Link> places(faiss::HNSW& graph, Row row, int level) {
  const auto at = static_cast<std::size_t>(level);
  const auto begin = static_cast<std::size_t>(graph.cum_nneighbor_per_level[at]);
  const auto end = static_cast<std::size_t>(graph.cum_nneighbor_per_level[at + 1]);
  return {graph.neighbors.data() + graph.offsets[row] + begin, end - begin};
}

void store_link(Link& place, Link link) noexcept { std::atomic_ref<Link>(place).store(link, std::memory_order_release); }

/// One thread's tools.
struct Worker {
  explicit Worker(const RowSpace& space) : walking(space.cursor()), comparing(space.cursor()) {}

  std::unique_ptr<RowCursor> walking;    // stands on the row that is inserted, or linked to
  std::unique_ptr<RowCursor> comparing;  // on one of its candidates
  SearchScratch scratch;
  std::vector<Near> candidates;
  std::vector<Row> rows;
  std::vector<float> distances;

  /// Of `candidates`, sorted, those that are nearer to the row than to any that is kept, up to `most`: into `candidates` itself.
  void choose(std::size_t most) {
    std::size_t kept = 0;
    rows.clear();
    for (const Near candidate : candidates) {
      if (kept == most) break;
      if (!diverse(candidate)) continue;
      candidates[kept++] = candidate;
      rows.push_back(candidate.row);
    }
    candidates.resize(kept);
  }

 private:
  bool diverse(const Near& candidate) {
    if (rows.empty()) return true;
    comparing->stand_on(candidate.row);
    std::array<float, kCompareAtOnce> found;
    for (std::size_t begin = 0; begin < rows.size(); begin += kCompareAtOnce) {
      const std::size_t n = std::min(kCompareAtOnce, rows.size() - begin);
      (*comparing)(std::span<const Row>(rows).subspan(begin, n), found.data());
      // distances from the candidate and from the row must be on one scale: a space's cursors are
      if (std::any_of(found.begin(), found.begin() + n, [&](float d) { return d < candidate.distance; })) return false;
    }
    return true;
  }
};

/// Runs work(worker, i) for i in [0, n) on the workers, at least `share` for each; rethrows what one of them threw first.
template <class Work>
void side_by_side(std::vector<std::unique_ptr<Worker>>& workers, std::size_t n, std::size_t share, Work&& work) {
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
  const auto guarded = [&](Worker& worker, std::size_t i) {
    if (failed.load(std::memory_order_relaxed)) return;
    try {
      work(worker, i);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  };
  const ThreadLease lease(std::clamp<std::size_t>(n / share, 1, workers.size()));
  if (lease.threads() <= 1) {
    for (std::size_t i = 0; i < n; ++i) guarded(*workers[0], i);
  } else {
    const int team = static_cast<int>(lease.threads());
    std::atomic<std::size_t> next{0};
#pragma omp parallel num_threads(team)
    {
      std::size_t mine = 0;
#pragma omp critical(annulus_graph_builder)
      mine = next++;
#pragma omp for schedule(dynamic, 4)
      for (std::size_t i = 0; i < n; ++i) guarded(*workers[mine], i);
    }
  }
  if (failure) std::rethrow_exception(failure);
}

class Batch {
 public:
  Batch(faiss::HNSW& graph, const GraphEntry& entry, std::size_t ef, std::vector<std::unique_ptr<Worker>>& workers)
      : graph_(graph), entry_(entry), ef_(ef), workers_(workers) {}

  void insert(std::span<const Row> rows) {
    rows_ = rows;
    const std::size_t count = rows.size();
    findings_.resize(count);
    side_by_side(workers_, count, kInsertedPerThread, [this](Worker& worker, std::size_t i) { look_around(worker, i); });
    std::vector<Request> requests;
    for (std::size_t i = 0; i < count; ++i) link_from(i, requests);
    std::sort(requests.begin(), requests.end());
    std::vector<std::size_t> begins;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (i == 0 || requests[i].to != requests[i - 1].to || requests[i].level != requests[i - 1].level) begins.push_back(i);
    }
    begins.push_back(requests.size());
    side_by_side(workers_, begins.size() - 1, kLinkedPerThread, [&](Worker& worker, std::size_t i) {
      link_to(worker, std::span(requests).subspan(begins[i], begins[i + 1] - begins[i]));
    });
  }

 private:
  void look_around(Worker& worker, std::size_t i) {
    Findings& findings = findings_[i];
    findings.near.clear();
    findings.ends.clear();
    const Row row = rows_[i];
    const int top = graph_.levels[row] - 1;
    worker.walking->stand_on(row);
    GraphWalk walk(graph_, graph_.levels.size(), *worker.walking, worker.scratch);
    int level = std::min(top, entry_.level);
    std::vector<std::vector<Near>> by_level(static_cast<std::size_t>(level) + 1);
    for (MetRow start = walk.descend(entry_, level); level >= 0; --level) {
      const std::span<const MetRow> met = walk.around(start, level, ef_);
      worker.candidates.clear();
      for (const MetRow& m : met) worker.candidates.push_back({m.distance, m.row()});
      start = {met.front().distance, met.front().row()};
      look_at_the_batch(worker, i, level);
      const std::size_t most = places(graph_, row, level).size();
      if (worker.candidates.size() >= most) worker.choose(most);
      by_level[static_cast<std::size_t>(level)].assign(worker.candidates.begin(), worker.candidates.end());
    }
    for (const auto& near : by_level) {
      findings.near.insert(findings.near.end(), near.begin(), near.end());
      findings.ends.push_back(findings.near.size());
    }
  }

  /// Adds the other rows of the batch to the sorted candidates of row i, of which the nearest ef remain. Without this a batch out
  /// of one cluster that the graph does not know would not hang together.
  void look_at_the_batch(Worker& worker, std::size_t i, int level) {
    std::vector<Near>& candidates = worker.candidates;
    const std::size_t walked = candidates.size();
    const float farthest = walked < ef_ ? std::numeric_limits<float>::infinity() : candidates.back().distance;
    worker.rows.clear();
    for (std::size_t j = 0; j < rows_.size() && graph_.levels[rows_[j]] > level; ++j) {  // the highest come first
      if (j != i) worker.rows.push_back(rows_[j]);
    }
    worker.distances.resize(worker.rows.size());
    (*worker.walking)(worker.rows, worker.distances.data());
    for (std::size_t j = 0; j < worker.rows.size(); ++j) {
      if (worker.distances[j] < farthest) candidates.push_back({worker.distances[j], worker.rows[j]});
    }
    if (candidates.size() == walked) return;
    std::sort(candidates.begin(), candidates.end());
    candidates.resize(std::min(candidates.size(), ef_));
  }

  /// The row's own links; nobody leads to it yet.
  void link_from(std::size_t i, std::vector<Request>& requests) {
    const Row row = rows_[i];
    const Findings& findings = findings_[i];
    std::size_t begin = 0;
    for (std::size_t level = 0; level < findings.ends.size(); ++level) {
      const std::span<Link> all = places(graph_, row, static_cast<int>(level));
      for (std::size_t j = begin; j < findings.ends[level]; ++j) {
        const Near& near = findings.near[j];
        store_link(all[j - begin], static_cast<Link>(near.row));
        requests.push_back({near.row, static_cast<int>(level), {near.distance, row}});
      }
      begin = findings.ends[level];
    }
  }

  /// Adds what is asked for to the links of one row on one level; where there is no room, chooses anew among all.
  void link_to(Worker& worker, std::span<Request> requests) {
    const Row row = requests.front().to;
    const std::span<Link> all = places(graph_, row, requests.front().level);
    const auto filled = static_cast<std::size_t>(std::find(all.begin(), all.end(), -1) - all.begin());
    // two rows of a batch may have chosen each other
    const auto linked = [&](const Request& request) {
      return std::find(all.begin(), all.end(), static_cast<Link>(request.from.row)) != all.end();
    };
    requests = {requests.begin(), std::remove_if(requests.begin(), requests.end(), linked)};
    if (filled + requests.size() <= all.size()) {
      for (std::size_t i = 0; i < requests.size(); ++i) store_link(all[filled + i], static_cast<Link>(requests[i].from.row));
      return;
    }
    worker.rows.clear();
    for (std::size_t i = 0; i < filled; ++i) worker.rows.push_back(static_cast<Row>(all[i]));
    worker.distances.resize(filled);
    worker.walking->stand_on(row);
    (*worker.walking)(worker.rows, worker.distances.data());
    worker.candidates.clear();
    for (std::size_t i = 0; i < filled; ++i) worker.candidates.push_back({worker.distances[i], worker.rows[i]});
    // distances are symmetric up to what the ends add: measured from this row, like the others'
    worker.rows.clear();
    for (const Request& request : requests) worker.rows.push_back(request.from.row);
    worker.distances.resize(requests.size());
    (*worker.walking)(worker.rows, worker.distances.data());
    for (std::size_t i = 0; i < requests.size(); ++i) worker.candidates.push_back({worker.distances[i], worker.rows[i]});
    std::sort(worker.candidates.begin(), worker.candidates.end());
    worker.choose(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      store_link(all[i], i < worker.candidates.size() ? static_cast<Link>(worker.candidates[i].row) : -1);
    }
  }

  faiss::HNSW& graph_;
  const GraphEntry& entry_;
  const std::size_t ef_;
  std::vector<std::unique_ptr<Worker>>& workers_;
  std::span<const Row> rows_;
  std::vector<Findings> findings_;
};

}  // namespace

int level_of_row(std::uint64_t seed, Row row, std::span<const double> odds) noexcept {
  double left = static_cast<double>(mixed(seed + (std::uint64_t{row} + 1) * 0x9e3779b97f4a7c15ULL) >> 11) * 0x1.0p-53;
  for (std::size_t level = 0; level < odds.size(); ++level) {
    if (left < odds[level]) return static_cast<int>(level);
    left -= odds[level];
  }
  return static_cast<int>(odds.size()) - 1;
}

GraphEntry insert_rows(faiss::HNSW& graph, const RowSpace& space, Row first, std::size_t count, std::size_t ef_construction,
                       GraphEntry entry) {
  if (count == 0) return entry;
  std::vector<Row> order(count);
  std::iota(order.begin(), order.end(), first);
  // The highest first, as FAISS inserts: what links the levels is there when the many come.
  // Rows of one level in no order: neighbours often come in a row.
  std::sort(order.begin(), order.end(), [&](Row a, Row b) {
    return graph.levels[a] != graph.levels[b] ? graph.levels[a] > graph.levels[b] : mixed(a) < mixed(b);
  });
  std::vector<std::unique_ptr<Worker>> workers;
  const std::size_t most = std::clamp<std::size_t>(count / kInsertedPerThread, 1, thread_budget());
  for (std::size_t i = 0; i < most; ++i) workers.push_back(std::make_unique<Worker>(space));
  Batch batch(graph, entry, std::max<std::size_t>(1, ef_construction), workers);
  const auto raise_to = [&](Row row) {
    if (graph.levels[row] - 1 > entry.level) entry = {row, graph.levels[row] - 1};
  };
  std::size_t done = 0;
  if (first == 0) raise_to(order[done++]);
  while (done < count) {
    const std::size_t linked = first + done;
    const std::size_t n = std::min({count - done, std::max<std::size_t>(1, linked / kBatchShare), kMostRows});
    const std::span<const Row> rows = std::span<const Row>(order).subspan(done, n);
    batch.insert(rows);
    for (const Row row : rows) raise_to(row);
    done += n;
  }
  return entry;
}

void forget_rows(faiss::HNSW& graph, std::size_t rows) noexcept {
  for (std::size_t row = 0; row < std::min(rows, graph.levels.size()); ++row) {
    for (int level = 0; level < graph.levels[row]; ++level) {
      const std::span<Link> all = places(graph, static_cast<Row>(row), level);
      const auto end =
          std::remove_if(all.begin(), all.end(), [&](Link link) { return link >= 0 && static_cast<std::size_t>(link) >= rows; });
      std::fill(end, all.end(), -1);
    }
  }
}

}  // namespace annulus
