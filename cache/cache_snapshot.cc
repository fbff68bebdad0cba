#include "cache/cache_snapshot.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace annulus::internal {
namespace {

CacheMembers::const_iterator position_of(const CacheMembers& members, std::string_view id) noexcept {
  return std::lower_bound(members.begin(), members.end(), id,
                          [](const auto& member, std::string_view wanted) { return member->id() < wanted; });
}

CacheLayoutView view_of(std::shared_ptr<const Layout> layout, const CacheMembers& members) {
  CacheLayoutView view{std::move(layout), {}};
  for (const Node& node : view.layout->ring.nodes()) {
    view.member_of.push_back(static_cast<MemberIndex>(position_of(members, node.id) - members.begin()));
  }
  return view;
}

}  // namespace

bool CacheLayoutView::has_owner(Token token, MemberIndex member) const noexcept {
  const auto nodes = owners(token);
  return std::any_of(nodes.begin(), nodes.end(), [&](NodeIndex node) { return member_of[node] == member; });
}

CacheMember* CacheSnapshot::find(std::string_view id) const noexcept {
  const auto at = position_of(members, id);
  return at != members.end() && (*at)->id() == id ? at->get() : nullptr;
}

std::vector<std::shared_ptr<const Layout>> CacheSnapshot::former_layouts() const {
  std::vector<std::shared_ptr<const Layout>> layouts;
  for (const CacheLayoutView& view : former) layouts.push_back(view.layout);
  return layouts;
}

std::unique_ptr<CacheSnapshot> make_cache_snapshot(std::shared_ptr<const Layout> serving,
                                                   std::span<const std::shared_ptr<const Layout>> former,
                                                   const std::shared_ptr<const Layout>& upcoming, const CacheMembers& members) {
  static std::atomic<std::uint64_t> published{0};
  auto snapshot = std::make_unique<CacheSnapshot>();
  snapshot->number = ++published;
  const auto has = [](const std::shared_ptr<const Layout>& layout, const std::string& id) {
    return layout != nullptr && layout->ring.index_of(id).has_value();
  };
  for (const auto& member : members) {
    const bool wanted = has(serving, member->id()) || has(upcoming, member->id()) ||
                        std::any_of(former.begin(), former.end(), [&](const auto& layout) { return has(layout, member->id()); });
    if (wanted) snapshot->members.push_back(member);
  }
  std::sort(snapshot->members.begin(), snapshot->members.end(), [](const auto& a, const auto& b) { return a->id() < b->id(); });
  snapshot->serving = view_of(std::move(serving), snapshot->members);
  for (const auto& layout : former) snapshot->former.push_back(view_of(layout, snapshot->members));
  if (upcoming != nullptr) snapshot->upcoming.push_back(view_of(upcoming, snapshot->members));
  return snapshot;
}

}  // namespace annulus::internal
