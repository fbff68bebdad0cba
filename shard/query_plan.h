// Which rows of which shards a search asks for: the cheapest sets of them that hold each key at least once.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "index/index_spec.h"
#include "ring/placement.h"
#include "shard/row_groups.h"

namespace annulus {

/// A shard's place in a ClusterSnapshot.
using MemberIndex = std::uint32_t;

/// What there is to cover: each distinct set of owners with its primary, and the share of the ring that it owns. O(tokens) to
/// make, and the same whatever the shards' health.
struct CoverProblem {
  struct OwnerSet {
    std::vector<MemberIndex> owners;  ///< the primary first, the others sorted
    Uint128 width = 0;
  };
  std::vector<OwnerSet> sets;
  std::vector<std::vector<std::uint32_t>> sets_of;          ///< by member: the sets in which it is
  std::vector<std::vector<std::uint32_t>> primary_sets_of;  ///< by member: the sets of which it is the primary
  std::vector<double> share;                                ///< by member: the part of all keys that it holds, in [0, 1]
  std::vector<double> primary_share;                        ///< by member: the part of all keys of which it is the primary
};

CoverProblem make_cover_problem(const Layout& layout, const std::vector<MemberIndex>& member_of, std::size_t members);

/// What a search asks of one member.
struct CoverUnit {
  MemberIndex member = 0;
  RowGroups groups = RowGroups::kAll;
  double share = 1;  ///< the part of all keys that is among these rows; follows from the others

  friend bool operator==(const CoverUnit& a, const CoverUnit& b) { return a.member == b.member && a.groups == b.groups; }
  friend auto operator<=>(const CoverUnit& a, const CoverUnit& b) {
    return std::pair(a.member, a.groups) <=> std::pair(b.member, b.groups);
  }
};

using Cover = std::vector<CoverUnit>;  ///< sorted by member

/// What a member can be asked for.
enum class MemberUse : std::uint8_t {
  kNone,    ///< nothing: it is down or behind
  kWhole,   ///< all of its rows
  kGroups,  ///< all of its rows, or its primary ones, which are known to be those of the layout at least
};

/// The covers of a placement and a state of health, all of the least cost that was found. Immutable but for the rotation.
///
/// With every member up the primary rows of all are a cover that costs as much as one replica of everything. What a member that
/// is gone was the primary of lies among the others' secondary rows, which are searched too then: at worst at the cost of R
/// replicas of everything.
class QueryPlans {
 public:
  QueryPlans() = default;

  /// `uses[m]`: what member m can be asked for. The cost of a unit is its rows where a search is linear in them (Flat, IVF), and
  /// nearly the same for every size in a graph. From each of several starting points (the members in rotated order, and one zone
  /// after the other) it leaves out secondary rows, then whole members, for as long as everything that can be covered is. Covers
  /// by whole members are preferred at nearly the same cost: they ask fewer.
  QueryPlans(const CoverProblem& problem, const Layout& layout, const std::vector<MemberIndex>& member_of,
             const std::vector<MemberUse>& uses, IndexFamily family);

  /// One of the covers, in turn, so that load is even. Empty if no shard can serve.
  const Cover& next() const noexcept;
  const std::vector<Cover>& covers() const noexcept { return covers_; }

  /// The part of the ring that the covers hold: exactly 1.0 if all of it.
  double coverage() const noexcept { return coverage_; }

 private:
  std::vector<Cover> covers_;
  double coverage_ = 0.0;
  std::unique_ptr<std::atomic<std::uint32_t>> turn_;
};

}  // namespace annulus
