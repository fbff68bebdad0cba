// What searches under a filter cost and find, beside an exact scan under the same filter.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "bench/context.h"
#include "bench/index_engines.h"

namespace annulus::bench {

/// An engine and what it is set to.
struct FilteredEngine {
  Cluster* cluster = nullptr;
  Setting setting;
};

/// One row for each engine and each of the selectivities 50, 10, 1 and 0.1 %: rows are accepted by their numbers, evenly spread,
/// through a KeyFilter. Single searches in turns with those of `scan`, a Flat cluster of the same rows.
std::vector<Json> filter_rows(std::span<const FilteredEngine> engines, Cluster& scan, const IndexData& data, std::size_t rounds);

}  // namespace annulus::bench
