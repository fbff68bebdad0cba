#include "index/graph_walk.h"

#include <faiss/impl/HNSW.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "index/row_store.h"

namespace annulus {
namespace {

using Link = faiss::HNSW::storage_idx_t;

/// Where the neighbours of `row` on `level` are kept. Empty places, -1, follow those that are filled.
std::span<const Link> places(const faiss::HNSW& graph, Row row, int level) {
  // FAISS's neighbor_range, without a call into its library for each row of each walk
  const auto at = static_cast<std::size_t>(level);
  const auto begin = static_cast<std::size_t>(graph.cum_nneighbor_per_level[at]);
  const auto end = static_cast<std::size_t>(graph.cum_nneighbor_per_level[at + 1]);
  return {graph.neighbors.data() + graph.offsets[row] + begin, end - begin};
}

/// The neighbours of `row` on `level`; of a graph that nobody changes.
std::span<const Link> links(const faiss::HNSW& graph, Row row, int level) {
  const std::span<const Link> all = places(graph, row, level);
  return {all.begin(), std::find_if(all.begin(), all.end(), [](Link link) { return link < 0; })};
}

/// A link that another thread may be writing. What it leads to was written before it.
Link load_link(const Link& link) noexcept {
  return std::atomic_ref<Link>(const_cast<Link&>(link)).load(std::memory_order_acquire);
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

GraphEntry entry_of(const faiss::HNSW& graph) noexcept {
  if (graph.entry_point < 0) return {};
  return {static_cast<Row>(graph.entry_point), graph.max_level};
}

GraphWalk::GraphWalk(const faiss::HNSW& graph, std::size_t rows, RowDistances& distances, SearchScratch& scratch)
    : graph_(graph), rows_(rows), distance_(distances), scratch_(scratch) {}

/// The distances of scratch_.neighbours.
std::span<const float> GraphWalk::measure() {
  const std::span<const Row> rows = scratch_.neighbours;
  if (scratch_.distances.size() < rows.size()) scratch_.distances.resize(rows.size());
  distance_(rows, scratch_.distances.data());
  count_ += rows.size();
  return {scratch_.distances.data(), rows.size()};
}

void GraphWalk::gather_links(Row row, int level, bool unvisited_only) {
  scratch_.neighbours.clear();
  for (const Link& place : places(graph_, row, level)) {
    const Link link = load_link(place);
    if (link < 0) break;
    const Row neighbour = static_cast<Row>(link);
    if (neighbour >= rows_) continue;
    if (!unvisited_only || scratch_.visited.insert(neighbour)) scratch_.neighbours.push_back(neighbour);
  }
}

MetRow GraphWalk::descend(const GraphEntry& entry, int level) {
  scratch_.neighbours.assign(1, entry.row);
  MetRow nearest{measure()[0], entry.row};
  for (int at = entry.level; at > level; --at) {
    for (bool moved = true; moved;) {
      moved = false;
      gather_links(nearest.row_and_mark, at, false);
      const std::span<const float> found = measure();
      for (std::size_t i = 0; i < found.size(); ++i) {
        if (found[i] >= nearest.distance) continue;
        nearest = {found[i], scratch_.neighbours[i]};
        moved = true;
      }
    }
  }
  return nearest;
}

std::span<const MetRow> GraphWalk::around(const MetRow& start, int level, std::size_t ef, const RowChoice* choice, float weight) {
  scratch_.visited.clear(rows_);
  scratch_.visited.insert(start.row());
  scratch_.met.assign(1, {start.distance, start.row()});
  if (choice == nullptr) {
    expand_all<true>(level, ef, nullptr, 1);
  } else {
    scratch_.accepted.assign(1, choice->accepts(start.row()) ? 1 : 0);
    expand_all<false>(level, ef, choice, weight);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < scratch_.met.size(); ++i) {
      if (scratch_.accepted[i] != 0) scratch_.met[kept++] = scratch_.met[i];
    }
    scratch_.met.resize(std::min(kept, ef));
  }
  return scratch_.met;
}

/// Expands the nearest row that is not, until all of those that were kept are. `met` is sorted; it is cut behind the row with which
/// the weights reach ef.
template <bool kAll>
void GraphWalk::expand_all(int level, std::size_t ef, const RowChoice* choice, float weight) {
  std::vector<MetRow>& met = scratch_.met;
  std::vector<std::uint8_t>& accepted = scratch_.accepted;
  const auto goal = static_cast<float>(ef);
  const auto weight_of = [&](std::size_t i) { return accepted[i] != 0 ? 1.0F : weight; };
  float held = kAll ? 0.0F : weight_of(0);
  const auto full = [&] { return kAll ? met.size() >= ef : held >= goal; };
  for (std::size_t next = 0; next < met.size();) {
    if (met[next].expanded()) {
      ++next;
      continue;
    }
    met[next].row_and_mark |= MetRow::kExpanded;
    gather_links(met[next].row(), level, true);
    ++next;
    const std::span<const float> found = measure();
    for (std::size_t i = 0; i < found.size(); ++i) {
      const float distance = found[i];
      if (full() && distance >= met.back().distance) continue;
      const auto at = std::upper_bound(met.begin(), met.end(), distance, [](float d, const MetRow& m) { return d < m.distance; });
      const auto place = static_cast<std::size_t>(at - met.begin());
      const Row row = scratch_.neighbours[i];
      if constexpr (kAll) {
        if (met.size() >= ef) {
          // the last falls out
          std::memmove(static_cast<void*>(met.data() + place + 1), met.data() + place, (met.size() - 1 - place) * sizeof(MetRow));
          met[place] = {distance, row};
        } else {
          met.insert(at, {distance, row});
        }
      } else {
        met.insert(at, {distance, row});
        accepted.insert(accepted.begin() + static_cast<std::ptrdiff_t>(place), choice->accepts(row) ? 1 : 0);
        held += weight_of(place);
        while (met.size() > 1 && held - weight_of(met.size() - 1) >= goal) {
          held -= weight_of(met.size() - 1);
          met.pop_back();
          accepted.pop_back();
        }
      }
      next = std::min(next, place);
      if (place <= next + 2) __builtin_prefetch(graph_.offsets.data() + row);
    }
    if (next < met.size()) {
      const Link* ahead = graph_.neighbors.data() + graph_.offsets[met[next].row()];
      __builtin_prefetch(ahead);
      __builtin_prefetch(ahead + 16);
    }
  }
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
