// Internal: where k-means begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace annulus {

/// k of n rows (n x d), far apart, for k-means to begin with: greedy k-means++. Each next one is the best of a few that are drawn
/// with a chance proportional to their squared distance from the nearest that was chosen: that which brings the rows nearest to
/// theirs. Rows in clusters get a seed a cluster, about; seeds drawn evenly leave a third of the clusters without one, and k-means
/// does not move one there from far away.
/// A sample of at most 8 k rows is looked at. One thread; O(k^2 d) time, O(n + k d) memory. n >= k >= 1.
/// Source: Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding" (SODA 2007), sections 2.2 and 7.
std::vector<float> coarse_seeds(const float* rows, std::size_t n, std::size_t d, std::size_t k, std::uint64_t seed);

}  // namespace annulus
