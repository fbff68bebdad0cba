// Internal: inserting rows into faiss::HNSW's public arrays, in batches that use several threads, beside searches.
//
// The rows of a batch look for neighbours in the graph as it was before the batch, and among each other, side by side; then links
// are written, those to one row by one thread. So the graph is the same for any number of threads. (The scheme is that of Manohar
// et al., "ParlayANN: Scalable and Deterministic Parallel Graph-Based Approximate Nearest Neighbor Search Algorithms", PPoPP 2024;
// neighbours are chosen as in Malkov and Yashunin, TPAMI 2020, algorithm 4.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "index/graph_walk.h"

namespace annulus {

/// Distances between rows, seen from one of them.
class RowCursor : public RowDistances {
 public:
  virtual ~RowCursor() = default;

  /// Distances are from `row` from now on.
  virtual void stand_on(Row row) = 0;
};

/// Distances between the rows of an index. Cursors of one space may be used by different threads at once.
class RowSpace {
 public:
  virtual std::unique_ptr<RowCursor> cursor() const = 0;

 protected:
  ~RowSpace() = default;
};

/// The level of a row, which the seed and its number decide: 0 for most. `odds[l]` is the share of rows on level l.
int level_of_row(std::uint64_t seed, Row row, std::span<const double> odds) noexcept;

/// Links rows [first, first + count), whose vectors the space knows and whose levels, offsets and empty links are in the graph's
/// arrays already. `entry` is where walks begin, and is brought up to date; the caller publishes it. Searches may go on: a link is
/// written after the row that it leads to is linked itself. What is thrown leaves some rows linked: forget_rows undoes it.
/// O(count log(rows) ef_construction) distances, on up to the process's thread budget.
GraphEntry insert_rows(faiss::HNSW& graph, const RowSpace& space, Row first, std::size_t count, std::size_t ef_construction,
                       GraphEntry entry);

/// Takes out all links to rows from `rows` on; nobody else is in the graph. O(links).
void forget_rows(faiss::HNSW& graph, std::size_t rows) noexcept;

}  // namespace annulus
