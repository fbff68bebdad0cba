// Internal: best-first search over faiss::HNSW's public arrays (Malkov and Yashunin, TPAMI 2020, algorithms 2 and 5).
// FAISS 1.7.3's own search allocates a table of ntotal a call, ignores a larger efSearch than the index's, and knows no dead rows.
#pragma once

#include <cstddef>
#include <span>

#include "index/filter_plan.h"
#include "index/search_scratch.h"

namespace faiss {
struct HNSW;
}

namespace annulus {

/// Distances from the query of a walk to rows, smaller is nearer, never NaN.
class RowDistances {
 public:
  virtual void operator()(std::span<const Row> rows, float* out) = 0;

 protected:
  ~RowDistances() = default;
};

/// Which rows a walk may return. It passes through the others.
class RowChoice {
 public:
  virtual bool accepts(Row row) const = 0;

 protected:
  ~RowChoice() = default;
};

/// Where walks begin: a row on the highest level. An empty graph has level -1.
struct GraphEntry {
  Row row = 0;
  int level = -1;
};

/// The entry that the graph itself names.
GraphEntry entry_of(const faiss::HNSW& graph) noexcept;

/// One walk, from the entry down. Rows may be inserted meanwhile by another thread, if the arrays stay where they are: rows that
/// the walk was not told of are passed by.
class GraphWalk {
 public:
  /// `rows`: how many rows the walk may meet. References are kept.
  GraphWalk(const faiss::HNSW& graph, std::size_t rows, RowDistances& distances, SearchScratch& scratch);

  /// The nearest row to which greedy steps lead on the levels from the entry's down to, but not on, `level`.
  MetRow descend(const GraphEntry& entry, int level);

  /// The rows that are met around `start` on `level`, nearest first, `ef` of them at most, in memory of the scratch.
  /// With a `choice`, rows that it does not accept count for `weight` (0 to 1) of one while the walk decides whether it has ef,
  /// and are left out of the answer. The answer is empty if the walk gives up, as `limit` says.
  std::span<const MetRow> around(const MetRow& start, int level, std::size_t ef, const RowChoice* choice = nullptr,
                                 float weight = 0, const WalkLimit& limit = {});

  /// Distances computed so far.
  std::size_t distances() const noexcept { return count_; }

 private:
  std::span<const float> measure(std::span<const Row> rows);
  template <bool kUnvisited>
  std::span<const Row> gather_links(Row row, int level);
  std::size_t expand_all(int level, std::size_t ef);
  std::size_t expand_choosing(int level, std::size_t ef, const RowChoice& choice, float weight, const WalkLimit& limit);
  void look_ahead(Row row) const;

  const faiss::HNSW& graph_;
  const std::size_t rows_;
  RowDistances& distance_;
  SearchScratch& scratch_;
  std::size_t count_ = 0;
};

/// Gives the empty graph `to` the levels and links of `from`, a graph of `m` links and `rows` rows read from a file, after a check
/// of everything that a walk or an insertion relies on: sizes, levels, offsets, links in range and on a level that their target
/// has, the entry point. Throws Error(kDataLoss).
void adopt_graph(faiss::HNSW&& from, int m, std::size_t rows, faiss::HNSW& to);

}  // namespace annulus
