// Private to cache/: what one operation sees of the cluster, from its first step to its last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "cache/cache_member.h"
#include "ring/placement.h"

namespace annulus::internal {

using CacheMembers = std::vector<std::shared_ptr<CacheMember>>;
using MemberIndex = std::uint32_t;  ///< position in CacheSnapshot::members

/// A layout, and which member each of its nodes is.
struct CacheLayoutView {
  std::shared_ptr<const Layout> layout;
  std::vector<MemberIndex> member_of;  ///< by NodeIndex

  std::span<const NodeIndex> owners(Token token) const noexcept { return layout->table->replicas(token); }
  bool has_owner(Token token, MemberIndex member) const noexcept;
};

/// Immutable once published.
///
/// Owners in `serving` are read. A write goes to them, and as an erase to owners in the other layouts alone: they may hold the
/// key from former days, or are about to own it. So a write reaches every member that may be read for its key by any operation
/// that runs beside it, whichever snapshot that has; see CacheMembership.
struct CacheSnapshot {
  CacheLayoutView serving;
  std::vector<CacheLayoutView> former;    ///< the oldest first
  std::vector<CacheLayoutView> upcoming;  ///< none, or the one that serves next
  CacheMembers members;                   ///< of all these, sorted by id
  std::uint64_t number = 0;               ///< different for each publication

  CacheMember* find(std::string_view id) const noexcept;
  std::vector<std::shared_ptr<const Layout>> former_layouts() const;

  /// Calls visit(member index) for owners that do not serve the key; perhaps several times for one.
  template <typename Visit>
  void each_other_owner(Token token, Visit&& visit) const {
    for (const auto* views : {&former, &upcoming}) {
      for (const CacheLayoutView& view : *views) {
        for (const NodeIndex node : view.owners(token)) {
          if (!serving.has_owner(token, view.member_of[node])) visit(view.member_of[node]);
        }
      }
    }
  }
};

/// `members`: at least those of the layouts; those of none are left out. `upcoming` may be null.
std::unique_ptr<CacheSnapshot> make_cache_snapshot(std::shared_ptr<const Layout> serving,
                                                   std::span<const std::shared_ptr<const Layout>> former,
                                                   const std::shared_ptr<const Layout>& upcoming, const CacheMembers& members);

}  // namespace annulus::internal
