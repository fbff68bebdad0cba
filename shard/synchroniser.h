// Brings a shard that is behind up to date, by arc digests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "shard/arc_copy.h"
#include "shard/cluster_control.h"

namespace annulus {

/// What to do about records which only shards that are down may hold.
enum class UnreachablePolicy : std::uint8_t {
  kWait,    ///< stay behind until they are back: nothing that was acknowledged is given up
  kForget,  ///< take those shards' unique records as lost
};

struct SyncReport {
  std::string shard;
  bool up = false;                ///< the shard serves reads now
  std::string waits_for;          ///< if it does not: why, and what to do
  std::uint64_t arcs_checked = 0;
  std::uint64_t arcs_differing = 0;
  std::uint64_t dropped = 0;      ///< live records of arcs that it does not own any more
  CopyCounts copy;
  std::uint64_t given_back = 0;   ///< live records that it alone held, or held newer: copied to the other owners
  int rounds = 0;                 ///< more than one if writes were missed, or the layouts changed, meanwhile
};

/// Synchronises shard `id`. For each arc that it owns in the serving or target ring, digests are compared with a shard that is
/// up and owns it in the serving ring (it has everything), or else with all other owners, none of which may be down; where they
/// differ, records are copied, both ways: the newest wins. What it does not own is dropped. Then it is up, unless it missed a
/// write meanwhile: then again.
/// Runs beside reads, writes and resizes. A shard that is up already is left alone; one that is down is reported.
/// Throws Error(kNotFound) for an unknown id; a shard that fails is reported in `waits_for`.
SyncReport synchronise(ClusterControl& control, std::string_view id, UnreachablePolicy policy = UnreachablePolicy::kWait);

}  // namespace annulus
