// Internal: searching the lists of an IVF by int8 codes in blocks.
#pragma once

#include <cstddef>
#include <span>

#include "index/ivf_lists.h"
#include "index/row_store.h"
#include "index/search_types.h"

namespace annulus {

/// The search.k nearest accepted rows of each query by the distances of codes: query i's at out + i * search.k, sorted,
/// counts[i] of them. A single query goes from list to list, nearest first; several go together, list by list. What is found
/// is the same. If the search continues, what `out` and `counts` hold already is taken in. `lists` has blocks, and the batch is
/// encoded.
void scan_lists(const RowSearch& search, const IvfLists& lists, Candidate* out, std::size_t* counts);

}  // namespace annulus
