// The replica sets of a ring, worked out once, so that each is one lookup.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "ring/arc.h"
#include "ring/hash_ring.h"

namespace annulus {

/// The replica set of every arc of a ring. Immutable; calls from any threads.
/// Memory: 4 * min(r, nodes) bytes a token, beside the ring.
class ReplicaTable {
 public:
  /// Works out the sets of `r` replicas. O(tokens * r), whatever the weights and zones.
  /// Throws Error(kInvalidArgument) if r is 0; Error(kUnimplemented) if the ring has several probes, because its replica
  /// sets are not those of arcs (use ConsistentHasher::replicas).
  ReplicaTable(const ConsistentHasher& ring, std::size_t r);

  const ConsistentHasher& ring() const noexcept { return ring_; }

  /// The r that was asked for.
  std::size_t requested_replicas() const noexcept { return requested_; }

  /// The size of every replica set: min(r, number of nodes).
  std::size_t num_replicas() const noexcept { return width_; }

  /// As ReplicaSet's: the same for every key.
  std::size_t node_shortfall() const noexcept { return requested_ - width_; }
  std::size_t zone_shortfall() const noexcept;

  /// The nodes that hold `token`, the primary first; what ring().replicas() writes. Empty on a ring without nodes.
  std::span<const NodeIndex> replicas(Token token) const noexcept;

  /// The replica set of the arc that ends at ring().tokens()[position]; position == num_tokens() is the first again.
  std::span<const NodeIndex> row(std::size_t position) const noexcept { return {rows_.data() + position * width_, width_}; }

  /// The tokens which `node` holds, at any rank; none if there is no such node. O(tokens * r).
  ArcSet arcs_of(NodeIndex node) const;

  /// The tokens of which `node` is the primary.
  ArcSet primary_arcs_of(NodeIndex node) const;

  struct DistinctSet {
    std::vector<NodeIndex> nodes;  ///< in rank order
    Uint128 width = 0;             ///< tokens with exactly this list
  };

  /// Every replica list that occurs, once, sorted; the widths add up to the ring. O(tokens * r).
  std::vector<DistinctSet> distinct_sets() const;

 private:
  template <class Visit>  // visit(Arc, row), clockwise
  void for_each_arc(Visit visit) const;
  template <class Holds>  // holds(row)
  ArcSet arcs_where(Holds holds) const;

  ConsistentHasher ring_;
  std::size_t requested_;
  std::size_t width_ = 0;
  std::vector<NodeIndex> rows_;  // num_tokens() + 1 rows: the last repeats the first, so that a lookup need not wrap
};

}  // namespace annulus
