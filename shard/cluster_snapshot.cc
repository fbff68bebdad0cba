#include "shard/cluster_snapshot.h"

#include <algorithm>
#include <cassert>

namespace annulus {

std::string_view to_string(ShardHealth health) noexcept {
  switch (health) {
    case ShardHealth::kUp: return "up";
    case ShardHealth::kDown: return "down";
    case ShardHealth::kBehind: return "behind";
  }
  return "unknown";
}

void EpochRegistry::enter(std::uint64_t epoch) {
  std::lock_guard lock(mutex_);
  held_.insert(epoch);
}

void EpochRegistry::leave(std::uint64_t epoch) {
  std::lock_guard lock(mutex_);
  held_.erase(held_.find(epoch));
  changed_.notify_all();
}

void EpochRegistry::wait_until_gone_before(std::uint64_t epoch) const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return held_.empty() || *held_.begin() >= epoch; });
}

ArcSet LayoutView::arcs_of(MemberIndex member) const {
  for (NodeIndex node = 0; layout != nullptr && node < member_of.size(); ++node) {
    if (member_of[node] == member) return layout->table->arcs_of(node);
  }
  return {};
}

ClusterSnapshot::ClusterSnapshot(std::shared_ptr<EpochRegistry> registry, Placement placement, std::vector<Member> members,
                                 const ClusterSnapshot* previous, IndexFamily family)
    : registry_(std::move(registry)), placement_(std::move(placement)), members_(std::move(members)), family_(family) {
  serving_ = view_of(placement_.serving);
  target_ = view_of(placement_.target);
  retiring_ = view_of(placement_.retiring);
  const bool same = previous != nullptr && previous->serving_.layout == serving_.layout && previous->members_.size() == members_.size() &&
                    previous->serving_.member_of == serving_.member_of;
  cover_problem_ = same ? previous->cover_problem_
                        : std::make_shared<const CoverProblem>(
                              make_cover_problem(*serving_.layout, serving_.member_of, members_.size()));
  std::vector<bool> usable;
  for (const Member& member : members_) usable.push_back(member.health == ShardHealth::kUp);
  plans_ = plans_with(usable);
  registry_->enter(epoch());
}

ClusterSnapshot::~ClusterSnapshot() { registry_->leave(epoch()); }

QueryPlans ClusterSnapshot::plans_with(const std::vector<bool>& usable) const {
  std::vector<MemberUse> uses;
  for (MemberIndex m = 0; m < members_.size(); ++m) {
    const auto& layouts = members_[m].grouped_by;
    const bool grouped = std::find(layouts.begin(), layouts.end(), serving_.layout) != layouts.end();
    uses.push_back(!usable[m] ? MemberUse::kNone : grouped ? MemberUse::kGroups : MemberUse::kWhole);
  }
  return QueryPlans(*cover_problem_, *serving_.layout, serving_.member_of, uses, family_);
}

LayoutView ClusterSnapshot::view_of(std::shared_ptr<const Layout> layout) const {
  LayoutView view{.layout = std::move(layout), .member_of = {}};
  if (view.layout == nullptr) return view;
  for (const Node& node : view.layout->ring.nodes()) {
    const auto member = find(node.id);
    assert(member.has_value());
    view.member_of.push_back(*member);
  }
  return view;
}

std::optional<MemberIndex> ClusterSnapshot::find(std::string_view id) const noexcept {
  const auto it = std::lower_bound(members_.begin(), members_.end(), id,
                                   [](const Member& member, std::string_view name) { return member.shard->id() < name; });
  if (it == members_.end() || it->shard->id() != id) return std::nullopt;
  return static_cast<MemberIndex>(it - members_.begin());
}

bool ClusterSnapshot::same_layouts(const ClusterSnapshot& other) const noexcept {
  return placement_.serving == other.placement_.serving && placement_.target == other.placement_.target &&
         placement_.retiring == other.placement_.retiring;
}

ArcSet ClusterSnapshot::owned_by(MemberIndex member) const { return serving_.arcs_of(member).united(target_.arcs_of(member)); }

void ClusterSnapshot::owners_of(Token token, Owners& owners) const {
  owners.required.clear();
  owners.former.clear();
  const auto required = [&owners](MemberIndex m) {
    if (std::find(owners.required.begin(), owners.required.end(), m) == owners.required.end()) owners.required.push_back(m);
  };
  serving_.each_owner(token, required);
  if (target_.layout != serving_.layout) target_.each_owner(token, required);
  retiring_.each_owner(token, [&owners](MemberIndex m) {
    if (std::find(owners.required.begin(), owners.required.end(), m) == owners.required.end()) owners.former.push_back(m);
  });
}

}  // namespace annulus
