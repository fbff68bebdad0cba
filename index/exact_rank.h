// Internal: the last step of a search by codes.
#pragma once

#include <cstddef>
#include <span>

#include "index/row_store.h"

namespace annulus {

/// Gives candidates of one query of the batch the exact distances of their stored vectors, and sorts them. `store` holds all of
/// these.
void rank_exactly(const RowStore& store, const IndexSpec& spec, const RowSearch& search, std::size_t query,
                  std::span<Candidate> candidates);

}  // namespace annulus
