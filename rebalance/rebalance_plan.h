// What must move when a ring changes: pure functions of two rings. Start at RebalancePlanner.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/key.h"
#include "ring/arc.h"
#include "ring/hash_ring.h"
#include "ring/ring_diff.h"

namespace annulus {

/// A node of a plan, by its position in RebalancePlan::nodes.
using PlanNode = std::uint32_t;

/// One arc whose holders change.
struct ArcMove {
  Arc arc;
  std::vector<PlanNode> sources;  ///< who holds it before, in rank order; never one of `targets`; empty if nobody did
  std::vector<PlanNode> targets;  ///< who must get it
  std::vector<PlanNode> drops;    ///< who may forget it afterwards
  std::vector<PlanNode> owners;   ///< who holds it afterwards, in rank order

  friend bool operator==(const ArcMove&, const ArcMove&) = default;
};

/// What takes one layout to another. Immutable once made.
struct RebalancePlan {
  ConsistentHasher before;
  ConsistentHasher after;
  std::size_t replicas_before = 0;
  std::size_t replicas_after = 0;
  std::vector<std::string> nodes;     ///< ids of the nodes of either ring, sorted
  std::vector<ArcMove> moves;         ///< disjoint arcs, clockwise; arcs of which only ranks change are not among them
  std::vector<std::string> warnings;  ///< replicas that share a zone, replicas that find no node

  bool empty() const noexcept { return moves.empty(); }
  /// The position of a node of either ring. O(log nodes).
  PlanNode position(std::string_view id) const noexcept;
};

/// The figures of a plan. Fractions of all (key, replica) pairs, as DiffStats.
struct PlanStats {
  DiffStats ring;  ///< moved, lower bound, ideal, excess, per node
  std::size_t arcs = 0;
  std::uint64_t estimated_moves = 0;  ///< moved_fraction of `keys` x R
  std::uint64_t estimated_bytes = 0;
};

/// A key whose primary changes.
struct KeyMove {
  std::size_t key = 0;  ///< position in the list that was given
  std::string from;     ///< empty: it had none
  std::string to;       ///< empty: it has none any more
};

/// Primary changes over a list of keys: a report, and what a cache needs. It is not what moves replicas (at R = 3 it misses
/// about two thirds of the changes), so VectorRebalancer does not take it.
struct KeyPlan {
  std::vector<KeyMove> moves;
  std::size_t keys = 0;
  double moved_fraction = 0;  ///< of the keys
};

/// Plans changes of a ring. Pure: rings in, plan out; nothing is touched. Stateless and thread-safe.
class RebalancePlanner {
 public:
  /// The plan from `before` at `replicas_before` to `after` at `replicas_after`: plan(A, A) is empty, plan(B, A) is the
  /// inverse of plan(A, B). O(tokens x R). Throws as diff().
  static RebalancePlan plan(const ConsistentHasher& before, std::size_t replicas_before, const ConsistentHasher& after,
                            std::size_t replicas_after);
  static RebalancePlan plan(const ConsistentHasher& before, const ConsistentHasher& after, std::size_t replicas) {
    return plan(before, replicas, after, replicas);
  }

  /// Which of `keys` get another primary. Works for rings with several probes too. O(keys).
  static KeyPlan plan_moved(std::span<const KeyView> keys, const ConsistentHasher& before, const ConsistentHasher& after);

  /// The figures of a plan, for `keys` keys of `bytes_per_key` on average. Counts the lower bound afresh: O(tokens x R).
  static PlanStats stats(const RebalancePlan& plan, std::uint64_t keys = 0, double bytes_per_key = 0);
};

}  // namespace annulus
