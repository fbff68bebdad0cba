// The one merge on the way back up: candidate lists of several shards into the k nearest keys.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "core/key.h"
#include "shard/shard.h"

namespace annulus {

/// One merged answer; `key` points into the list it came from.
struct MergedHit {
  KeyView key;
  Version version;
  float distance;
  std::uint32_t list;    ///< which of the lists it came from
  std::uint64_t handle;  ///< what its shard calls the record
};

/// What the lists' shared bound came down to.
struct MergeBound {
  float distance = std::numeric_limits<float>::infinity();
  bool merged = false;  ///< from distances of several shards: a key that two of them hold counted twice
};

/// Merges the lists of one query. Of a key that several shards returned, the newest version counts and the others fall, before
/// k is cut; what is left is ordered by (distance, key). Keeps its scratch: one object a thread. Not thread-safe.
class TopKMerge {
 public:
  /// Merges lists[*].of(query), each of which was asked for `asked` candidates, into the `k` nearest.
  /// Returns false if the answer may have a hole: a list that was cut at `asked` ends within the answer, because it was asked for
  /// fewer than k or lost an entry to a newer version elsewhere, so that a row behind its end could belong to the answer; a bound
  /// that the shards shared was that of rows which fell; or fewer than k lie within it, as it was guessed. Ask again, for more.
  /// No row beyond the bound is looked at. O(candidates) hashing, O(k log k) order.
  bool merge(std::span<const CandidateLists> lists, std::size_t query, std::size_t asked, std::size_t k, KeyKind kind,
             std::vector<MergedHit>& hits, const MergeBound& bound = {});

 private:
  std::vector<std::uint32_t> table_;  // open addressing: position in hits, plus 1
};

}  // namespace annulus
