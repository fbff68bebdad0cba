// What one operation sees of the cluster, from its first step to its last: an immutable snapshot, and who still holds which.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ring/placement.h"
#include "shard/query_plan.h"
#include "shard/shard.h"

namespace annulus {

/// Whether a shard takes part. An owner that missed a write which another owner took is behind: it takes writes, and serves
/// no reads until it has been synchronised. So a read never shows an old version.
enum class ShardHealth : std::uint8_t { kUp, kDown, kBehind };

std::string_view to_string(ShardHealth health) noexcept;

/// A shard of the cluster.
struct Member {
  std::shared_ptr<Shard> shard;
  ShardHealth health = ShardHealth::kUp;
  std::uint64_t misses = 0;  ///< how often it became, or stayed, behind; only grows
  /// The layouts of whose primary rows it is known that the shard keeps them with its primary rows.
  std::vector<std::shared_ptr<const Layout>> grouped_by = {};
  bool told = false;  ///< it answered when it was told its primary arcs last
};

/// A layout, and which member each of its nodes is.
struct LayoutView {
  std::shared_ptr<const Layout> layout;  ///< null: there is none
  std::vector<MemberIndex> member_of;    ///< by NodeIndex

  /// The members that own `token`, the primary first: calls visit(member).
  template <typename Visit>
  void each_owner(Token token, Visit&& visit) const {
    if (layout == nullptr) return;
    for (const NodeIndex node : layout->table->replicas(token)) visit(member_of[node]);
  }
  /// The tokens which `member` owns, at any rank.
  ArcSet arcs_of(MemberIndex member) const;
};

/// Counts which epochs are still held, so that a publisher can wait for the operations that hold older ones.
class EpochRegistry {
 public:
  void enter(std::uint64_t epoch);
  void leave(std::uint64_t epoch);
  /// Returns once nobody holds an epoch before `epoch`.
  void wait_until_gone_before(std::uint64_t epoch) const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::multiset<std::uint64_t> held_;
};

/// Immutable once published. An operation pins one and uses no other.
class ClusterSnapshot {
 public:
  ClusterSnapshot(std::shared_ptr<EpochRegistry> registry, Placement placement, std::vector<Member> members,
                  const ClusterSnapshot* previous, IndexFamily family);
  ~ClusterSnapshot();
  ClusterSnapshot(const ClusterSnapshot&) = delete;
  ClusterSnapshot& operator=(const ClusterSnapshot&) = delete;

  const Placement& placement() const noexcept { return placement_; }
  std::uint64_t epoch() const noexcept { return placement_.epoch; }
  const std::vector<Member>& members() const noexcept { return members_; }  ///< sorted by id
  const LayoutView& serving() const noexcept { return serving_; }
  const LayoutView& target() const noexcept { return target_; }
  const LayoutView& retiring() const noexcept { return retiring_; }  ///< its layout is null unless rows are being dropped
  const QueryPlans& plans() const noexcept { return plans_; }
  /// The same when some of its members are found not to answer: `usable` has one entry a member.
  QueryPlans plans_with(const std::vector<bool>& usable) const;

  std::optional<MemberIndex> find(std::string_view id) const noexcept;
  bool same_layouts(const ClusterSnapshot& other) const noexcept;

  /// The tokens that `member` must hold: those it owns in the serving or the target ring.
  ArcSet owned_by(MemberIndex member) const;

  /// Who takes a write of `token`.
  struct Owners {
    std::vector<MemberIndex> required;  ///< owners in the serving or the target ring
    std::vector<MemberIndex> former;    ///< owners in the retiring ring alone: they update what they still hold
  };
  void owners_of(Token token, Owners& owners) const;

 private:
  LayoutView view_of(std::shared_ptr<const Layout> layout) const;

  std::shared_ptr<EpochRegistry> registry_;
  Placement placement_;
  std::vector<Member> members_;
  LayoutView serving_;
  LayoutView target_;
  LayoutView retiring_;
  const IndexFamily family_;
  std::shared_ptr<const CoverProblem> cover_problem_;  // of the serving layout; shared by snapshots that differ in health alone
  QueryPlans plans_;
};

using SnapshotPtr = std::shared_ptr<const ClusterSnapshot>;

}  // namespace annulus
