// What differs between two rings, exactly: which arcs change hands, and how much that is.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ring/arc.h"
#include "ring/hash_ring.h"

namespace annulus {

/// An arc whose replica list changes. Indices of the old set mean before.nodes(), those of the new set after.nodes().
struct ArcChange {
  Arc arc;
  std::vector<NodeIndex> old_set;  ///< in rank order; indices into before.nodes()
  std::vector<NodeIndex> new_set;  ///< in rank order; indices into after.nodes()
  std::vector<NodeIndex> gained;   ///< in new_set and not in old_set, in rank order; indices into after.nodes()
  std::vector<NodeIndex> lost;     ///< in old_set and not in new_set, in rank order; indices into before.nodes()
  bool rank_changed = false;       ///< a node of both sets has another rank than before
};

/// What one node takes and gives, as fractions of the (key, replica) pairs.
struct NodeChange {
  std::string id;
  double gained = 0.0;
  double lost = 0.0;
};

/// How much a change moves. Fractions of all (key, replica) pairs: R x keys, R being the new one; keys are spread evenly.
struct DiffStats {
  double moved_fraction = 0.0;  ///< what must be copied: the sum of all that nodes gain
  /// What any executor of this change must copy, counted without the diff: by ConsistentHasher::replicas on each arc.
  double lower_bound_fraction = 0.0;
  /// What an even placement by weight would move: each node with its share of the pairs, at most one replica of a key
  /// each (shares beyond that go to the others), and no more movement than the shares demand. Zones are ignored.
  double ideal_fraction = 0.0;
  /// What passes between nodes that neither joined, nor left, nor changed weight or zone: on each arc, the smaller of
  /// how many such nodes gain it and how many lose it. Exactly 0 for changes of a ring without zones.
  double excess_fraction = 0.0;
  std::vector<NodeChange> nodes;  ///< every node of either ring, sorted by id
};

/// The exact difference of two rings.
struct RingDiff {
  ConsistentHasher before;
  ConsistentHasher after;
  std::size_t replicas_before = 0;
  std::size_t replicas_after = 0;
  /// Disjoint, clockwise from the first above token 0, only the last can pass through 0. Adjacent arcs of equal old and
  /// new sets are one.
  std::vector<ArcChange> changes;

  /// Pairs that move, out of 2^64 times replicas_after: exact.
  Uint128 moved_width() const noexcept;

  /// Pairs in `after`'s replica sets and not in `before`'s, counted by calling replicas() on every elementary arc.
  /// Independent of `changes`, and as slow as that sounds: O(tokens) walks.
  Uint128 lower_bound_width() const;

  /// Pairs that pass between untouched nodes; see DiffStats.
  Uint128 excess_width() const;

  /// All the figures. Slower than the diff, because of lower_bound_width().
  DiffStats stats() const;
};

/// Compares the replica lists of two rings at r replicas: one merge over both token arrays.
/// Either ring may be empty. Throws Error(kInvalidArgument) if a number of replicas is 0; Error(kUnimplemented) if the
/// rings have several probes (ownership is then no set of arcs; plan by keys); Error(kFailedPrecondition) if they
/// differ in seed, virtual nodes per weight, or probes, so that nearly everything would move.
RingDiff diff(const ConsistentHasher& before, const ConsistentHasher& after, std::size_t r);

/// The same for a number of replicas that changes too.
RingDiff diff(const ConsistentHasher& before, std::size_t r_before, const ConsistentHasher& after, std::size_t r_after);

}  // namespace annulus
