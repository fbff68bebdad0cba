#include "index/exact_rank.h"

#include <algorithm>
#include <vector>

#include "index/distance.h"
#include "index/search_scratch.h"
#include "index/top_k.h"

namespace annulus {

void rank_exactly(const RowStore& store, const IndexSpec& spec, const RowSearch& search, std::size_t query,
                  std::span<Candidate> candidates) {
  constexpr std::size_t kAhead = 2;
  const std::size_t d = spec.dimension;
  ScratchLease scratch;
  scratch->decoded.resize(d);
  std::vector<Row>& rows = scratch->neighbours;
  rows.clear();
  for (const Candidate& candidate : candidates) rows.push_back(*search.rows.find(candidate.id));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i + kAhead < rows.size()) store.prefetch(rows[i + kAhead]);
    candidates[i].distance = distance(spec.metric, search.batch.query(query), store.vector(rows[i], scratch->decoded.data()), d);
  }
  search.work.distances += candidates.size();
  std::sort(candidates.begin(), candidates.end(), NearerThan{search.order});
}

}  // namespace annulus
