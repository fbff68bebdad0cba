// Internal: best-first search over faiss::HNSW's public arrays (Malkov and Yashunin, TPAMI 2020, algorithms 2 and 5).
// FAISS 1.7.3's own search allocates a table of ntotal a call, ignores a larger efSearch than the index's, and knows no dead rows.
#pragma once

#include <cstddef>
#include <span>

#include "index/search_scratch.h"
#include "index/top_k.h"

namespace faiss {
struct HNSW;
}

namespace annulus {

/// Distances from the query of a walk to rows, smaller is nearer.
class RowDistances {
 public:
  virtual void operator()(std::span<const Row> rows, float* out) = 0;

 protected:
  ~RowDistances() = default;
};

/// Which rows a walk may return, and what they are called. The walk passes through the others.
class RowNames {
 public:
  /// False if `row` may not be returned; else sets `id`.
  virtual bool name(Row row, VectorId& id) const = 0;

 protected:
  ~RowNames() = default;
};

/// Walks from the entry point; keeps the nearest nameable rows in `results`, whose capacity is ef. Stops when the nearest
/// unexpanded row is farther than the farthest of a full `results`. Returns the number of distances computed.
std::size_t walk_graph(const faiss::HNSW& graph, std::size_t rows, RowDistances& distances, const RowNames& names,
                       SearchScratch& scratch, TopK& results);

/// Gives the empty graph `to` the levels and links of `from`, a graph of `m` links and `rows` rows read from a file, after a check
/// of everything that a walk or an insertion relies on: sizes, levels, offsets, links in range and on a level that their target
/// has, the entry point. Throws Error(kDataLoss).
void adopt_graph(faiss::HNSW&& from, int m, std::size_t rows, faiss::HNSW& to);

}  // namespace annulus
