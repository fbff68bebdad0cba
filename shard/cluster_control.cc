#include "shard/cluster_control.h"

#include <algorithm>

#include "core/error.h"

namespace annulus {
namespace {

Error unknown_shard(std::string_view id) {
  return Error(ErrorCode::kNotFound, "no shard '" + std::string(id) + "' in this cluster");
}

Error wrong_stage(const char* what, ResizeStage stage) {
  return Error(ErrorCode::kFailedPrecondition,
               std::string(what) + " is not possible in stage '" + std::string(to_string(stage)) + "' of a resize");
}

}  // namespace

std::string_view to_string(ResizeStage stage) noexcept {
  switch (stage) {
    case ResizeStage::kNone: return "none";
    case ResizeStage::kCopying: return "copying";
    case ResizeStage::kRetiring: return "retiring";
    case ResizeStage::kAborting: return "aborting";
  }
  return "unknown";
}

ClusterControl::ClusterControl(RingOptions ring, std::size_t replicas, IndexFamily family)
    : family_(family), declared_ring_(ring), declared_replicas_(replicas) {
  const auto layout = make_layout(declared_ring_, declared_replicas_);
  std::lock_guard lock(mutex_);
  publish({.serving = layout, .target = layout, .retiring = nullptr, .epoch = 0});
}

std::uint64_t ClusterControl::publish(Placement placement) {
  // members of the snapshot are those that some layout names; a declared shard waits outside until its resize begins
  std::vector<Member> members;
  for (const auto& [id, member] : members_) {
    const auto named = [&id = id](const std::shared_ptr<const Layout>& layout) { return layout != nullptr && layout->ring.index_of(id); };
    if (named(placement.serving) || named(placement.target) || named(placement.retiring)) members.push_back(member);
  }
  const SnapshotPtr previous = std::atomic_load(&current_);
  placement.epoch = previous == nullptr ? 1 : previous->epoch() + 1;
  const auto next = std::make_shared<const ClusterSnapshot>(registry_, std::move(placement), std::move(members), previous.get(), family_);
  std::atomic_store(&current_, SnapshotPtr(next));
  return next->epoch();
}

std::uint64_t ClusterControl::publish_health() { return publish(pin()->placement()); }

void ClusterControl::start_running() {
  if (running_.load(std::memory_order_acquire)) return;
  std::lock_guard lock(layout_mutex_);
  running_.store(true, std::memory_order_release);
}

void ClusterControl::require_no_resize(const char* what) const {
  if (stage_ != ResizeStage::kNone) {
    throw Error(ErrorCode::kFailedPrecondition,
                std::string(what) + " while a resize is in stage '" + std::string(to_string(stage_)) + "': finish or abort it first");
  }
}

// Before the first write nothing has to move: what is declared holds. Nor after writes that found no shard to take them.
void ClusterControl::settle_founding() {
  if (running_.load(std::memory_order_acquire) && pin()->placement().serving->ring.num_nodes() > 0) return;
  const auto layout = make_layout(declared_ring_, declared_replicas_);
  publish({.serving = layout, .target = layout, .retiring = nullptr, .epoch = 0});
  prune_members();
}

void ClusterControl::prune_members() {
  const SnapshotPtr now = pin();
  std::erase_if(members_, [&](const auto& entry) { return !now->find(entry.first) && !declared_ring_.index_of(entry.first); });
}

void ClusterControl::attach(std::shared_ptr<Shard> shard, double weight, std::string zone) {
  if (shard == nullptr) throw Error(ErrorCode::kInvalidArgument, "attach of no shard: the pointer is null");
  std::lock_guard layout_lock(layout_mutex_);
  std::lock_guard lock(mutex_);
  require_no_resize("attach_node");
  const std::string id = shard->id();
  if (members_.contains(id)) {
    throw Error(ErrorCode::kAlreadyExists, "shard '" + id + "' is in the cluster already" +
                                               (declared_ring_.index_of(id) ? "" : ", until the resize that removes it has run"));
  }
  declared_ring_.add_node({.id = id, .weight = weight, .zone = std::move(zone)});
  members_.emplace(id, Member{.shard = std::move(shard)});
  settle_founding();
}

void ClusterControl::detach(std::string_view id) {
  std::lock_guard layout_lock(layout_mutex_);
  std::lock_guard lock(mutex_);
  require_no_resize("detach_node");
  declared_ring_.remove_node(id);
  settle_founding();
  prune_members();
}

void ClusterControl::set_weight(std::string_view id, double weight) {
  std::lock_guard layout_lock(layout_mutex_);
  std::lock_guard lock(mutex_);
  require_no_resize("set_weight");
  declared_ring_.set_weight(id, weight);
  settle_founding();
}

void ClusterControl::set_replicas(std::size_t replicas) {
  if (replicas == 0) throw Error(ErrorCode::kInvalidArgument, "0 replicas: a key needs at least 1");
  std::lock_guard layout_lock(layout_mutex_);
  std::lock_guard lock(mutex_);
  require_no_resize("set_replicas");
  declared_replicas_ = replicas;
  settle_founding();
}

ConsistentHasher ClusterControl::declared_ring() const {
  std::lock_guard lock(mutex_);
  return declared_ring_.clone();
}

std::size_t ClusterControl::declared_replicas() const {
  std::lock_guard lock(mutex_);
  return declared_replicas_;
}

std::vector<std::shared_ptr<Shard>> ClusterControl::shards() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Shard>> shards;
  for (const auto& [id, member] : members_) shards.push_back(member.shard);
  return shards;
}

Member& ClusterControl::member(std::string_view id) {
  const auto it = members_.find(id);
  if (it == members_.end()) throw unknown_shard(id);
  return it->second;
}

ShardHealth ClusterControl::health(std::string_view id) const {
  std::lock_guard lock(mutex_);
  const auto it = members_.find(id);
  if (it == members_.end()) throw unknown_shard(id);
  return it->second.health;
}

void ClusterControl::mark_down(std::string_view id) {
  std::lock_guard lock(mutex_);
  member(id).health = ShardHealth::kDown;
  publish_health();
}

void ClusterControl::mark_returned(std::string_view id) {
  std::uint64_t epoch = 0;
  {
    std::lock_guard lock(mutex_);
    Member& returned = member(id);
    if (returned.health != ShardHealth::kDown) return;
    returned.health = ShardHealth::kBehind;
    ++returned.misses;
    epoch = publish_health();
  }
  wait_for(epoch);
}

void ClusterControl::mark_missed(std::span<const std::string> ids) {
  std::lock_guard lock(mutex_);
  bool changed = false;
  for (const std::string& id : ids) {
    const auto it = members_.find(id);
    // one that left needs nothing; one that is down comes back behind in any case
    if (it == members_.end() || it->second.health == ShardHealth::kDown) continue;
    ++it->second.misses;
    it->second.health = ShardHealth::kBehind;
    changed = true;
  }
  if (changed) publish_health();
}

bool ClusterControl::mark_up(std::string_view id, const ClusterSnapshot& seen) {
  std::lock_guard lock(mutex_);
  const auto seen_index = seen.find(id);
  Member& candidate = member(id);
  if (!seen_index || candidate.health != ShardHealth::kBehind || candidate.misses != seen.members()[*seen_index].misses ||
      !pin()->same_layouts(seen)) {
    return false;
  }
  candidate.health = ShardHealth::kUp;
  publish_health();
  return true;
}

ResizeStage ClusterControl::stage() const {
  std::lock_guard lock(mutex_);
  return stage_;
}

bool ClusterControl::begin_resize_to(const ConsistentHasher* ring, std::size_t replicas) {
  std::uint64_t epoch = 0;
  {
    std::lock_guard layout_lock(layout_mutex_);
    std::lock_guard lock(mutex_);
    if (stage_ != ResizeStage::kNone) throw wrong_stage("a resize", stage_);
    if (ring != nullptr && (ring->fingerprint() != declared_ring_.fingerprint() || replicas != declared_replicas_)) {
      throw Error(ErrorCode::kFailedPrecondition, "the declared ring has changed since the plan was made; plan again");
    }
    const Placement now = pin()->placement();
    if (now.serving->ring.fingerprint() == declared_ring_.fingerprint() && now.serving->replicas == declared_replicas_) return false;
    epoch = publish({.serving = now.serving, .target = make_layout(declared_ring_, declared_replicas_), .retiring = nullptr, .epoch = 0});
    stage_ = ResizeStage::kCopying;
  }
  wait_for(epoch);
  return true;
}

bool ClusterControl::publish_target(std::span<const std::string> gaining) {
  std::uint64_t epoch = 0;
  {
    std::lock_guard layout_lock(layout_mutex_);
    std::lock_guard lock(mutex_);
    if (stage_ != ResizeStage::kCopying) throw wrong_stage("publishing the target", stage_);
    if (std::any_of(gaining.begin(), gaining.end(), [&](const std::string& id) { return member(id).health != ShardHealth::kUp; })) {
      return false;
    }
    const Placement now = pin()->placement();
    epoch = publish({.serving = now.target, .target = now.target, .retiring = now.serving, .epoch = 0});
    stage_ = ResizeStage::kRetiring;
  }
  wait_for(epoch);
  return true;
}

void ClusterControl::begin_abort() {
  std::uint64_t epoch = 0;
  {
    std::lock_guard layout_lock(layout_mutex_);
    std::lock_guard lock(mutex_);
    if (stage_ != ResizeStage::kCopying) throw wrong_stage("an abort", stage_);
    const Placement now = pin()->placement();
    epoch = publish({.serving = now.serving, .target = now.serving, .retiring = now.target, .epoch = 0});
    declared_ring_ = now.serving->ring.clone();
    declared_replicas_ = now.serving->replicas;
    stage_ = ResizeStage::kAborting;
  }
  wait_for(epoch);
}

void ClusterControl::finish(std::span<const std::string> uncleaned) {
  std::uint64_t epoch = 0;
  {
    std::lock_guard layout_lock(layout_mutex_);
    std::lock_guard lock(mutex_);
    if (stage_ != ResizeStage::kRetiring && stage_ != ResizeStage::kAborting) throw wrong_stage("finishing", stage_);
    for (const std::string& id : uncleaned) {
      Member& left = member(id);
      if (left.health != ShardHealth::kDown) left.health = ShardHealth::kBehind;
      ++left.misses;
    }
    const Placement now = pin()->placement();
    epoch = publish({.serving = now.serving, .target = now.serving, .retiring = nullptr, .epoch = 0});
    prune_members();
    stage_ = ResizeStage::kNone;
  }
  wait_for(epoch);
}

void ClusterControl::with_layouts_frozen(const std::function<void(const ClusterSnapshot&)>& action) const {
  std::lock_guard layout_lock(layout_mutex_);
  action(*pin());
}

void ClusterControl::drain() {
  std::uint64_t epoch = 0;
  {
    std::lock_guard lock(mutex_);
    epoch = publish_health();
  }
  wait_for(epoch);
}

}  // namespace annulus
