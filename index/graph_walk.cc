#include "index/graph_walk.h"

#include <faiss/impl/HNSW.h>

#include <algorithm>
#include <cmath>
#include <atomic>
#include <cstring>
#include <utility>

#include "core/prefetch.h"
#include "index/row_store.h"

namespace annulus {
namespace {

using Link = faiss::HNSW::storage_idx_t;

// Rows met when a walk first asks itself whether its goal is within its patience: so many, and such a part of the patience.
constexpr std::size_t kFirstLook = 64;
constexpr std::size_t kLookPart = 12;
// The power of the rows expanded that the rows compared grow with.
constexpr double kComparedGrowth = 0.8;

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
Link load_link(const Link& link) noexcept { return std::atomic_ref<Link>(const_cast<Link&>(link)).load(std::memory_order_acquire); }

/// The first of `size` sorted rows that is farther than `distance`. Without branches, which nothing would foretell.
std::size_t place_of(const MetRow* met, std::size_t size, float distance) noexcept {
  std::size_t place = 0;
  while (size > 1) {
    const std::size_t half = size / 2;
    place = met[place + half - 1].distance <= distance ? place + half : place;
    size -= half;
  }
  return place + static_cast<std::size_t>(size == 1 && met[place].distance <= distance);
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
    : graph_(graph), rows_(rows), distance_(distances), scratch_(scratch) {
  const auto most = std::max<std::size_t>(1, static_cast<std::size_t>(graph.cum_nneighbor_per_level[1]));
  if (scratch_.neighbours.size() < most) scratch_.neighbours.resize(most);
  if (scratch_.distances.size() < most) scratch_.distances.resize(most);
}

std::span<const float> GraphWalk::measure(std::span<const Row> rows) {
  distance_(rows, scratch_.distances.data());
  count_ += rows.size();
  return {scratch_.distances.data(), rows.size()};
}

/// The neighbours of `row` that the walk may meet; only those that it has not met yet, and has now.
template <bool kUnvisited>
std::span<const Row> GraphWalk::gather_links(Row row, int level) {
  Row* gathered = scratch_.neighbours.data();
  std::size_t n = 0;
  for (const Link& place : places(graph_, row, level)) {
    const Link link = load_link(place);
    if (link < 0) break;
    const Row neighbour = static_cast<Row>(link);
    if (neighbour >= rows_) continue;
    gathered[n] = neighbour;
    if constexpr (kUnvisited) {
      n += static_cast<std::size_t>(scratch_.visited.insert(neighbour));  // no branch: nothing would foretell it
    } else {
      ++n;
    }
  }
  return {gathered, n};
}

MetRow GraphWalk::descend(const GraphEntry& entry, int level) {
  scratch_.neighbours[0] = entry.row;
  MetRow nearest{measure(std::span(scratch_.neighbours).first(1))[0], entry.row};
  for (int at = entry.level; at > level; --at) {
    for (bool moved = true; moved;) {
      moved = false;
      const std::span<const Row> neighbours = gather_links<false>(nearest.row_and_mark, at);
      const std::span<const float> found = measure(neighbours);
      for (std::size_t i = 0; i < found.size(); ++i) {
        if (found[i] >= nearest.distance) continue;
        nearest = {found[i], neighbours[i]};
        moved = true;
      }
    }
  }
  return nearest;
}

std::span<const MetRow> GraphWalk::around(const MetRow& start, int level, std::size_t ef, const RowChoice* choice, float weight,
                                          const WalkLimit& limit) {
  ef = std::min(ef, rows_);  // there are no more; an ef from a file, or from a caller, may be anything
  scratch_.visited.clear(rows_);
  scratch_.visited.insert(start.row());
  const MetRow first{start.distance, start.row()};
  if (choice == nullptr) {
    if (scratch_.met.size() < ef) scratch_.met.resize(ef);
    scratch_.met[0] = first;
    return {scratch_.met.data(), expand_all(level, ef)};
  }
  if (scratch_.met.empty()) scratch_.met.resize(1);
  if (scratch_.accepted.size() < scratch_.met.size()) scratch_.accepted.resize(scratch_.met.size());
  scratch_.met[0] = first;
  scratch_.accepted[0] = choice->accepts(start.row()) ? 1 : 0;
  const std::size_t size = expand_choosing(level, ef, *choice, weight, limit);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < size; ++i) {
    if (scratch_.accepted[i] != 0) scratch_.met[kept++] = scratch_.met[i];
  }
  return {scratch_.met.data(), std::min(kept, ef)};
}

/// Asks for the links of a row that is expanded next, unless something nearer turns up.
void GraphWalk::look_ahead(Row row) const {
  const Link* links = graph_.neighbors.data() + graph_.offsets[row];
  prefetch(links);
  prefetch(links + 16);
}

/// Expands the nearest row that is not, until all of the nearest ef are. They stand in `met`, sorted; returns how many there are.
std::size_t GraphWalk::expand_all(int level, std::size_t ef) {
  MetRow* met = scratch_.met.data();
  std::size_t size = 1;
  for (std::size_t next = 0; next < size;) {
    if (met[next].expanded()) {
      ++next;
      continue;
    }
    met[next].row_and_mark |= MetRow::kExpanded;
    const std::span<const Row> neighbours = gather_links<true>(met[next].row(), level);
    ++next;
    const std::span<const float> found = measure(neighbours);
    for (std::size_t i = 0; i < found.size(); ++i) {
      const float distance = found[i];
      if (size == ef && distance >= met[size - 1].distance) continue;
      const std::size_t place = place_of(met, size, distance);
      size += static_cast<std::size_t>(size < ef);  // else the last falls out
      std::memmove(static_cast<void*>(met + place + 1), met + place, (size - 1 - place) * sizeof(MetRow));
      met[place] = {distance, neighbours[i]};
      next = std::min(next, place);
      if (place <= next + 2) prefetch(graph_.offsets.data() + neighbours[i]);
    }
    if (next < size) look_ahead(met[next].row());
  }
  return size;
}

/// The same where some rows are not accepted: `met` is cut behind the row with which the weights reach ef. Returns its length.
std::size_t GraphWalk::expand_choosing(int level, std::size_t ef, const RowChoice& choice, float weight, const WalkLimit& limit) {
  std::vector<MetRow>& met = scratch_.met;
  std::vector<std::uint8_t>& accepted = scratch_.accepted;
  const auto goal = static_cast<float>(ef);
  const auto weight_of = [&](std::size_t i) { return accepted[i] != 0 ? 1.0F : weight; };
  float held = weight_of(0);
  std::size_t size = 1;
  // When a small part of the patience is spent, and whenever twice as much is: whether what is left would cost more than all of it.
  // If as few are accepted further on as so far the goal is `far`. The forecast knows what comes later, and holds unless it is even
  // farther, until more rows than it says are met: then the goal may be at hand or `far`, and the geometric mean is wrong by the
  // least factor. Two rows more than were accepted make up for chance. Rows compared grow a little less than those expanded do.
  std::size_t next_look = std::max({kFirstLook, limit.patience / kLookPart, limit.first_look});
  std::size_t expanded = 0;
  const auto hopeless = [&] {
    if (size < next_look || held >= goal) return false;
    next_look = 2 * size;
    const double so_far = static_cast<double>(size);
    const double far = goal * so_far / (static_cast<double>(held) + 2);
    const double needed = so_far < limit.expected ? std::min(limit.expected, far) : std::sqrt(far * so_far);
    const double growth = std::pow(std::max(needed / static_cast<double>(expanded), 1.0), kComparedGrowth);
    return std::min(so_far * growth, static_cast<double>(rows_)) - so_far > static_cast<double>(limit.patience);
  };
  for (std::size_t next = 0; next < size;) {
    if (met[next].expanded()) {
      ++next;
      continue;
    }
    if (hopeless()) return 0;
    met[next].row_and_mark |= MetRow::kExpanded;
    ++expanded;
    const std::span<const Row> neighbours = gather_links<true>(met[next].row(), level);
    ++next;
    const std::span<const float> found = measure(neighbours);
    if (met.size() < size + neighbours.size()) {
      met.resize(2 * size + neighbours.size());
      accepted.resize(met.size());
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
      const float distance = found[i];
      if (held >= goal && distance >= met[size - 1].distance) continue;
      const std::size_t place = place_of(met.data(), size, distance);
      const Row row = neighbours[i];
      std::memmove(static_cast<void*>(met.data() + place + 1), met.data() + place, (size - place) * sizeof(MetRow));
      std::memmove(accepted.data() + place + 1, accepted.data() + place, size - place);
      met[place] = {distance, row};
      accepted[place] = choice.accepts(row) ? 1 : 0;
      held += weight_of(place);
      ++size;
      while (size > 1 && held - weight_of(size - 1) >= goal) held -= weight_of(--size);
      next = std::min(next, place);
      if (place <= next + 2) prefetch(graph_.offsets.data() + row);
    }
    if (next < size) look_ahead(met[next].row());
  }
  return size;
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
