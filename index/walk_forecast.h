// Internal: how far a walk of a graph under a filter has to go, foreseen from a sample of rows.
#pragma once

#include <span>

namespace annulus {

/// Rows that a walk meets before it holds `ef` that are accepted, by estimate. `accepted`: what the filter says of the rows of an
/// even sample, the nearest to the query first, each of which stands for `rows_each` of all rows; `share` of these are accepted.
///
/// As ef / share says, unless the nearest of the sample show that the filter accepts more near the query, or less, than chance
/// explains. Pure; O(sample).
double rows_to_meet(std::span<const char> accepted, double rows_each, double share, double ef);

}  // namespace annulus
