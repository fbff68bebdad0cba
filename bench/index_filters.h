// What searches under a filter cost and find, beside the two ways between which they choose.
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

/// For each engine and each of the selectivities 50, 10, 1 and 0.1 % three rows: single searches and batches under a KeyFilter, and
/// single searches of a set of allowed keys. Rows are accepted by their numbers, evenly spread. In turns with searches that must go
/// through the index, and such as must compare all accepted rows; of these two one that takes ten times as long as the other for the
/// first few queries is not measured further.
std::vector<Json> filter_rows(std::span<const FilteredEngine> engines, const IndexData& data, std::size_t rounds);

}  // namespace annulus::bench
