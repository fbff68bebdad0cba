// Internal: what shards that have answered say about how far the others need to look.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "shard/shard.h"

namespace annulus {

/// How many of the `wanted` nearest lie in a part of all keys that holds `share` of them: hardly ever more, as keys lie by their
/// hashes. Of 40 in an eighth for three queries in a million; of hundreds in tens of shards for one in 10,000. O(1).
std::size_t most_in_a_share(std::size_t wanted, double share);

/// Puts the distances of `found` among those of `nearest`, of which it keeps the `wanted` nearest. Both are sorted.
/// O(found + nearest).
void merge_distances(std::span<const CandidateLists::Entry> found, std::size_t wanted, std::vector<float>& nearest);

}  // namespace annulus
