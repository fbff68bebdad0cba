#include "shard/cluster_control.h"

#include <algorithm>

#include "core/error.h"

namespace annulus {
namespace {

Error unknown_shard(std::string_view id) {
  return Error(ErrorCode::kNotFound, "no shard '" + std::string(id) + "' in this cluster");
}

}  // namespace

ClusterControl::ClusterControl(RingOptions ring, std::size_t replicas, IndexFamily family)
    : family_(family), stages_(ring, replicas) {
  std::lock_guard lock(mutex_);
  publish();
}

std::uint64_t ClusterControl::publish() {
  // members of the snapshot are those that some layout names; a declared shard waits outside until its resize begins
  std::vector<Member> members;
  for (const auto& [id, member] : members_) {
    if (stages_.holds(id)) members.push_back(member);
  }
  const SnapshotPtr previous = std::atomic_load(&current_);
  Placement placement = stages_.placement();
  placement.epoch = previous == nullptr ? 1 : previous->epoch() + 1;
  const auto next =
      std::make_shared<const ClusterSnapshot>(registry_, std::move(placement), std::move(members), previous.get(), family_);
  std::atomic_store(&current_, SnapshotPtr(next));
  return next->epoch();
}

void ClusterControl::start_running() {
  if (running_.load(std::memory_order_acquire)) return;
  std::lock_guard lock(layout_mutex_);
  if (running_.load(std::memory_order_relaxed)) return;
  tell_all();
  running_.store(true, std::memory_order_release);
}

// Before the first write nothing has to move: what is declared holds. Nor after writes that found no shard to take them.
void ClusterControl::settle_founding(std::unique_lock<std::mutex> lock) {
  prune_members();
  const bool running = running_.load(std::memory_order_acquire);
  if (running && stages_.placement().serving->ring.num_nodes() > 0) return;
  stages_.settle();
  publish();
  prune_members();
  lock.unlock();
  if (running) tell_all();
}

void ClusterControl::prune_members() {
  std::erase_if(members_, [&](const auto& entry) { return !stages_.names(entry.first); });
}

void ClusterControl::attach(std::shared_ptr<Shard> shard, double weight, std::string zone) {
  if (shard == nullptr) throw Error(ErrorCode::kInvalidArgument, "attach of no shard: the pointer is null");
  std::lock_guard layout_lock(layout_mutex_);
  std::unique_lock lock(mutex_);
  stages_.require_no_resize("attach_node");
  const std::string id = shard->id();
  if (members_.contains(id)) {
    throw Error(ErrorCode::kAlreadyExists,
                "shard '" + id + "' is in the cluster already" +
                    (stages_.declared_ring().index_of(id) ? "" : ", until the resize that removes it has run"));
  }
  stages_.add_node({.id = id, .weight = weight, .zone = std::move(zone)});
  members_.emplace(id, Member{.shard = std::move(shard)});
  settle_founding(std::move(lock));
}

void ClusterControl::detach(std::string_view id) {
  std::lock_guard layout_lock(layout_mutex_);
  std::unique_lock lock(mutex_);
  stages_.remove_node(id);
  settle_founding(std::move(lock));
}

void ClusterControl::set_weight(std::string_view id, double weight) {
  std::lock_guard layout_lock(layout_mutex_);
  std::unique_lock lock(mutex_);
  stages_.set_weight(id, weight);
  settle_founding(std::move(lock));
}

void ClusterControl::set_replicas(std::size_t replicas) {
  std::lock_guard layout_lock(layout_mutex_);
  std::unique_lock lock(mutex_);
  stages_.set_replicas(replicas);
  settle_founding(std::move(lock));
}

ConsistentHasher ClusterControl::declared_ring() const {
  std::lock_guard lock(mutex_);
  return stages_.declared_ring().clone();
}

std::size_t ClusterControl::declared_replicas() const {
  std::lock_guard lock(mutex_);
  return stages_.declared_replicas();
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
  publish();
}

void ClusterControl::mark_returned(std::string_view id) {
  std::uint64_t epoch = 0;
  {
    std::lock_guard lock(mutex_);
    Member& returned = member(id);
    if (returned.health != ShardHealth::kDown) return;
    returned.health = ShardHealth::kBehind;
    ++returned.misses;
    epoch = publish();
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
  if (changed) publish();
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
  publish();
  return true;
}

// Under mutex_: what operations may read by now or soon.
std::vector<std::shared_ptr<const Layout>> ClusterControl::layouts_read() const {
  std::vector<std::shared_ptr<const Layout>> layouts = {stages_.placement().serving};
  if (stages_.placement().target != layouts.front()) layouts.push_back(stages_.placement().target);
  if (draining_ != nullptr) layouts.push_back(draining_);
  return layouts;
}

// Under layout_mutex_, without mutex_: the shard may take its time. Returns whether there was anything to tell.
bool ClusterControl::tell(const std::string& id) {
  std::vector<std::shared_ptr<const Layout>> layouts;
  std::shared_ptr<Shard> shard;
  {
    std::lock_guard lock(mutex_);
    Member& told = member(id);
    if (family_ == IndexFamily::kHnsw || !stages_.holds(id)) return false;
    layouts = layouts_read();
    if (told.told && std::is_permutation(layouts.begin(), layouts.end(), told.grouped_by.begin(), told.grouped_by.end())) return false;
    // if it fails, what is no longer read may be grouped or not
    std::erase_if(told.grouped_by, [&](const auto& layout) { return std::find(layouts.begin(), layouts.end(), layout) == layouts.end(); });
    told.told = false;
    shard = told.shard;
  }
  ArcSet arcs;
  for (const auto& layout : layouts) {
    const auto node = layout->ring.index_of(id);
    if (node) arcs = arcs.united(layout->table->primary_arcs_of(*node));
  }
  shard->set_primary_arcs(arcs);
  std::lock_guard lock(mutex_);
  Member& told = member(id);
  told.grouped_by = std::move(layouts);
  told.told = true;
  return true;
}

// Under layout_mutex_, without mutex_.
void ClusterControl::tell_all() {
  std::vector<std::string> ids;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, member] : members_) {
      if (member.health != ShardHealth::kDown) ids.push_back(id);
    }
  }
  bool told = false;
  for (const std::string& id : ids) {
    try {
      told |= tell(id);
    } catch (const std::exception&) {
      // it is searched whole from the publication of a layout that it does not know
    }
  }
  if (!told) return;
  std::lock_guard lock(mutex_);
  publish();
}

void ClusterControl::tell_primary_arcs() {
  std::lock_guard layout_lock(layout_mutex_);
  tell_all();
}

void ClusterControl::tell_primary_arcs(std::string_view id) {
  std::lock_guard layout_lock(layout_mutex_);
  if (!tell(std::string(id))) return;
  std::lock_guard lock(mutex_);
  publish();
}

ResizeStage ClusterControl::stage() const {
  std::lock_guard lock(mutex_);
  return stages_.stage();
}

bool ClusterControl::begin_resize_to(const ConsistentHasher* ring, std::size_t replicas) {
  std::uint64_t epoch = 0;
  {
    std::lock_guard layout_lock(layout_mutex_);
    std::lock_guard lock(mutex_);
    if (!(ring == nullptr ? stages_.begin() : stages_.begin(*ring, replicas))) return false;
    epoch = publish();
  }
  wait_for(epoch);
  tell_primary_arcs();
  return true;
}

bool ClusterControl::publish_target(std::span<const std::string> gaining) {
  std::uint64_t epoch = 0;
  {
    std::lock_guard layout_lock(layout_mutex_);
    {
      std::lock_guard lock(mutex_);
      stages_.require_stage(ResizeStage::kCopying, "publishing the target");
    }
    tell_all();  // whom it did not reach when the stage began
    std::lock_guard lock(mutex_);
    if (std::any_of(gaining.begin(), gaining.end(), [&](const std::string& id) { return member(id).health != ShardHealth::kUp; })) {
      return false;
    }
    std::shared_ptr<const Layout> former = stages_.placement().serving;
    stages_.publish_target();
    draining_ = std::move(former);
    epoch = publish();
  }
  wait_for(epoch);
  std::lock_guard lock(mutex_);
  draining_ = nullptr;
  return true;
}

void ClusterControl::begin_abort() {
  std::uint64_t epoch = 0;
  {
    std::lock_guard layout_lock(layout_mutex_);
    std::lock_guard lock(mutex_);
    stages_.begin_abort();
    epoch = publish();
  }
  wait_for(epoch);
}

void ClusterControl::finish(std::span<const std::string> uncleaned) {
  std::uint64_t epoch = 0;
  {
    std::lock_guard layout_lock(layout_mutex_);
    std::lock_guard lock(mutex_);
    for (const std::string& id : uncleaned) (void)member(id);  // throws before anything has changed
    stages_.finish();
    for (const std::string& id : uncleaned) {
      Member& left = member(id);
      if (left.health != ShardHealth::kDown) left.health = ShardHealth::kBehind;
      ++left.misses;
    }
    epoch = publish();
    prune_members();
  }
  wait_for(epoch);
  tell_primary_arcs();
}

void ClusterControl::with_layouts_frozen(const std::function<void(const ClusterSnapshot&)>& action) const {
  std::lock_guard layout_lock(layout_mutex_);
  action(*pin());
}

void ClusterControl::drain() {
  std::uint64_t epoch = 0;
  {
    std::lock_guard lock(mutex_);
    epoch = publish();
  }
  wait_for(epoch);
}

}  // namespace annulus
