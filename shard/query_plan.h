// Which shards a search asks: the cheapest sets of shards that hold each key at least once.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "index/index_spec.h"
#include "ring/placement.h"

namespace annulus {

/// A shard's place in a ClusterSnapshot.
using MemberIndex = std::uint32_t;

/// What there is to cover: each distinct set of owners, with the share of the ring that it owns. O(tokens) to make, and the
/// same whatever the shards' health.
struct CoverProblem {
  struct OwnerSet {
    std::vector<MemberIndex> owners;
    Uint128 width = 0;
  };
  std::vector<OwnerSet> sets;
  std::vector<std::vector<std::uint32_t>> sets_of;  ///< by member: the sets in which it is
  std::vector<double> share;                        ///< by member: the part of all keys that it holds, in [0, 1]
};

CoverProblem make_cover_problem(const Layout& layout, const std::vector<MemberIndex>& member_of, std::size_t members);

/// The covers of a placement and a state of health, all of the least cost that was found. Immutable but for the rotation.
class QueryPlans {
 public:
  QueryPlans() = default;

  /// Covers by whole shards. `usable[m]`: member m may serve. The cost of a shard is its rows where a search is linear in
  /// them (Flat, IVF), and nearly the same for every size in a graph. From each of several starting points (the members in
  /// rotated order, and one zone after the other) it leaves out shards for as long as everything that can be covered is.
  QueryPlans(const CoverProblem& problem, const Layout& layout, const std::vector<MemberIndex>& member_of,
             const std::vector<bool>& usable, IndexFamily family);

  /// One of the covers, in turn, so that load is even. Empty if no shard can serve.
  const std::vector<MemberIndex>& next() const noexcept;
  const std::vector<std::vector<MemberIndex>>& covers() const noexcept { return covers_; }

  /// The part of the ring that the covers hold: exactly 1.0 if all of it.
  double coverage() const noexcept { return coverage_; }

 private:
  std::vector<std::vector<MemberIndex>> covers_;
  double coverage_ = 0.0;
  std::unique_ptr<std::atomic<std::uint32_t>> turn_;
};

}  // namespace annulus
