// How evenly a ring spreads its keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ring/hash_ring.h"

namespace annulus {

/// One node's part of the keys.
struct NodeShare {
  std::string id;
  double weight = 1.0;
  std::string zone;
  std::size_t tokens = 0;
  double share = 0.0;          ///< of the keys, as primary
  double replica_share = 0.0;  ///< of the (key, replica) pairs that exist
};

/// How shares were found.
enum class ShareMethod {
  kExact,    ///< from the arcs
  kSampled,  ///< by looking up `samples` tokens, because with several probes a node owns no arcs
};

struct RingStats {
  std::vector<NodeShare> nodes;  ///< sorted by id
  std::size_t tokens = 0;
  std::size_t replicas = 0;
  ShareMethod method = ShareMethod::kExact;
  std::size_t samples = 0;       ///< 0 if exact
  double peak_to_average = 0.0;  ///< greatest share over fair share (the node's part of the total weight)
  double stddev = 0.0;           ///< root mean square over nodes of share / fair share - 1
  /// What random tokens would give: root mean square over nodes of 1 / sqrt(tokens of the node * (2 * probes - 1)).
  double theory_stddev = 0.0;
  double bytes_per_token = 0.0;
  std::uint64_t fingerprint = 0;
};

/// The statistics of `ring` at `replicas` replicas. `samples` counts only for rings with several probes.
/// Throws Error(kInvalidArgument) if replicas is 0, or samples is 0 where they are needed.
RingStats ring_stats(const ConsistentHasher& ring, std::size_t replicas, std::size_t samples = std::size_t{1} << 20);

}  // namespace annulus
