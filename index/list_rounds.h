// Internal: searching an IVF under a filter in rounds, so that a query for which the filter accepts less than it does elsewhere
// visits more lists, or none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "index/filter_plan.h"
#include "index/filtered_search.h"

namespace annulus {

/// Searches the lists of `ready` for search.batch's queries, which it holds, as `plan` says. After each round the rows that the
/// filter was asked about tell how much it accepts near a query. A query that needs more lists than were planned gets them; one
/// for which the scan of all accepted rows has become cheaper is appended to `to_scan`, and its answer is unspecified.
/// Of a batch a few queries look first, if all of them together would spend too much of a scan's time on it; and where it is in
/// doubt whether those that need more lists should be left to a scan, one of them goes alone, to see what it costs.
void search_in_rounds(const SearchedIndex& index, const RowSearch& search, const QueryBatch& ready, const FilterPlan& plan,
                      Candidate* out, std::size_t* counts, std::vector<std::uint32_t>& to_scan);

}  // namespace annulus
