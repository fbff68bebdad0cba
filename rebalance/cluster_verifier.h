// Proves, from what the shards hold and nothing else, that each key is on exactly its owners.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shard/vector_router.h"

namespace annulus {

/// What a verification found.
struct VerifyReport {
  std::uint64_t keys = 0;          ///< live keys, each once
  std::uint64_t copies = 0;        ///< live (key, shard) pairs on owners: keys x R when all is well
  std::uint64_t arcs = 0;          ///< arcs compared
  std::uint64_t arcs_differing = 0;///< arcs whose owners' digests are not equal
  std::uint64_t strangers = 0;     ///< records on shards that do not own them
  std::uint64_t unowned = 0;       ///< arcs without any owner that is up
  std::vector<std::string> not_up; ///< shards that were left out

  /// Each key on exactly its owners, all of them, in equal versions.
  bool ok() const noexcept { return arcs_differing == 0 && strangers == 0 && unowned == 0 && not_up.empty(); }
};

/// Compares the digests of every arc over all its owners, and looks for records where they do not belong. Meant for quiet
/// times: a write under way can make two replicas differ for a moment. O(records). Throws what a shard throws.
VerifyReport verify_cluster(const VectorRouter& router);

}  // namespace annulus
