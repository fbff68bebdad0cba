#include "index/graph_walk.h"

#include <faiss/impl/HNSW.h>

#include <algorithm>
#include <utility>

#include "index/row_store.h"

namespace annulus {
namespace {

bool farther(const Frontier& a, const Frontier& b) noexcept {
  return a.distance != b.distance ? a.distance > b.distance : a.row > b.row;
}

using Link = faiss::HNSW::storage_idx_t;

/// Where the neighbours of `row` on `level` are kept. Empty places, -1, follow those that are filled.
std::span<const Link> places(const faiss::HNSW& graph, Row row, int level) {
  std::size_t begin;
  std::size_t end;
  graph.neighbor_range(row, level, &begin, &end);
  return {graph.neighbors.data() + begin, end - begin};
}

/// The neighbours of `row` on `level`.
std::span<const Link> links(const faiss::HNSW& graph, Row row, int level) {
  const std::span<const Link> all = places(graph, row, level);
  return {all.begin(), std::find_if(all.begin(), all.end(), [](Link link) { return link < 0; })};
}

/// Counts and computes the distances of `neighbours` into `out`.
class Counter {
 public:
  Counter(RowDistances& distances, std::vector<float>& out) noexcept : distances_(distances), out_(out) {}

  std::span<const float> operator()(std::span<const Row> rows) {
    if (out_.size() < rows.size()) out_.resize(rows.size());
    distances_(rows, out_.data());
    count_ += rows.size();
    return {out_.data(), rows.size()};
  }
  std::size_t count() const noexcept { return count_; }

 private:
  RowDistances& distances_;
  std::vector<float>& out_;
  std::size_t count_ = 0;
};

/// Greedy descent to the lowest level but one.
Frontier descend(const faiss::HNSW& graph, Counter& distances, std::vector<Row>& neighbours) {
  const Row entry = static_cast<Row>(graph.entry_point);
  Frontier nearest{distances({&entry, 1})[0], entry};
  for (int level = graph.max_level; level >= 1; --level) {
    for (bool moved = true; moved;) {
      moved = false;
      const auto linked = links(graph, nearest.row, level);
      neighbours.assign(linked.begin(), linked.end());
      const std::span<const float> found = distances(neighbours);
      for (std::size_t i = 0; i < found.size(); ++i) {
        if (found[i] >= nearest.distance) continue;
        nearest = {found[i], neighbours[i]};
        moved = true;
      }
    }
  }
  return nearest;
}

/// Throws Error(kDataLoss) unless `graph` is safe to walk and to insert into.
void check_graph(const faiss::HNSW& graph, int m, std::size_t rows) {
  const faiss::HNSW fresh(m);
  check_loaded(graph.assign_probas == fresh.assign_probas && graph.cum_nneighbor_per_level == fresh.cum_nneighbor_per_level,
               "its graph has another number of links than its spec");
  check_loaded(graph.levels.size() == rows && graph.offsets.size() == rows + 1, "its graph has another number of rows");
  const int levels = static_cast<int>(fresh.cum_nneighbor_per_level.size()) - 1;
  int highest = 0;
  std::size_t offset = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    const int level = graph.levels[row];
    check_loaded(level >= 1 && level <= levels, "a row of its graph is on no level");
    check_loaded(graph.offsets[row] == offset, "the links of its graph are not where they should be");
    offset += static_cast<std::size_t>(fresh.cum_nneighbor_per_level[static_cast<std::size_t>(level)]);
    highest = std::max(highest, level);
  }
  check_loaded(graph.offsets[rows] == offset && graph.neighbors.size() == offset, "its graph has too few or too many links");
  if (rows == 0) {
    check_loaded(graph.entry_point == -1 && graph.max_level == -1, "its empty graph has an entry point");
    return;
  }
  check_loaded(graph.entry_point >= 0 && static_cast<std::size_t>(graph.entry_point) < rows && graph.max_level == highest - 1 &&
                   graph.levels[static_cast<std::size_t>(graph.entry_point)] == highest,
               "the entry point of its graph is not on the highest level");
  for (std::size_t row = 0; row < rows; ++row) {
    for (int level = 0; level < graph.levels[row]; ++level) {
      const std::span<const Link> all = places(graph, static_cast<Row>(row), level);
      const std::span<const Link> filled = links(graph, static_cast<Row>(row), level);
      for (const Link link : filled) {
        check_loaded(static_cast<std::size_t>(link) < rows && graph.levels[static_cast<std::size_t>(link)] > level,
                     "a link of its graph leads nowhere");
      }
      // FAISS looks for the last link from the end of the list.
      check_loaded(
          std::all_of(all.begin() + static_cast<std::ptrdiff_t>(filled.size()), all.end(), [](Link link) { return link == -1; }),
          "a list of links in its graph has a gap");
    }
  }
}

}  // namespace

std::size_t walk_graph(const faiss::HNSW& graph, std::size_t rows, RowDistances& distance, const RowNames& names,
                       SearchScratch& scratch, TopK& results) {
  if (rows == 0) return 0;
  Counter distances(distance, scratch.distances);
  std::vector<Frontier>& frontier = scratch.frontier;
  std::vector<Row>& neighbours = scratch.neighbours;
  const auto meet = [&](Row row, float at) {
    frontier.push_back({at, row});
    std::push_heap(frontier.begin(), frontier.end(), farther);
    VectorId id;
    if (results.admits(at) && names.name(row, id)) results.push({id, at});
  };

  scratch.visited.clear(rows);
  frontier.clear();
  const Frontier start = descend(graph, distances, neighbours);
  scratch.visited.insert(start.row);
  meet(start.row, start.distance);
  while (!frontier.empty()) {
    const Frontier nearest = frontier.front();
    if (!results.admits(nearest.distance)) break;
    std::pop_heap(frontier.begin(), frontier.end(), farther);
    frontier.pop_back();
    neighbours.clear();
    for (const auto link : links(graph, nearest.row, 0)) {
      const Row row = static_cast<Row>(link);
      if (scratch.visited.insert(row)) neighbours.push_back(row);
    }
    const std::span<const float> found = distances(neighbours);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (results.admits(found[i])) meet(neighbours[i], found[i]);
    }
  }
  return distances.count();
}

void adopt_graph(faiss::HNSW&& from, int m, std::size_t rows, faiss::HNSW& to) {
  check_graph(from, m, rows);
  to.levels = std::move(from.levels);
  to.offsets = std::move(from.offsets);
  to.neighbors = std::move(from.neighbors);
  to.entry_point = from.entry_point;
  to.max_level = from.max_level;
}

}  // namespace annulus
