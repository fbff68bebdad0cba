#include "artifact/artifact_membership.h"

#include <algorithm>

#include "core/error.h"

namespace annulus::internal {
HostList ArtifactSnapshot::owners(const Layout& layout, std::string_view name) const {
  HostList owners;
  for (const NodeIndex node : layout.table->replicas(token_of_key(name)))
    owners.push_back(hosts.find(layout.ring.node(node).id)->second);
  return owners;
}

HostList ArtifactSnapshot::owners(std::string_view name) const {
  HostList all = serving(name);
  if (placement.target == placement.serving) return all;
  for (HostPtr& host : owners(*placement.target, name)) {
    if (std::ranges::find(all, host) == all.end()) all.push_back(std::move(host));
  }
  return all;
}

bool ArtifactSnapshot::has_a_claim(std::string_view host, std::string_view name) const {
  for (const auto& layout : {placement.serving, placement.target, placement.retiring}) {
    if (layout == nullptr) continue;
    const HostList claimants = owners(*layout, name);
    if (std::ranges::any_of(claimants, [&](const HostPtr& claimant) { return claimant->id() == host; })) return true;
  }
  return false;
}

HostList ArtifactSnapshot::others(const HostList& without) const {
  HostList others;
  for (const auto& [id, host] : hosts) {
    if (std::ranges::find(without, host) == without.end()) others.push_back(host);
  }
  return others;
}

ArtifactMembership::ArtifactMembership(RingOptions ring, std::size_t replicas) : stages_(ring, replicas) { publish(); }

void ArtifactMembership::publish() {
  std::erase_if(hosts_, [&](const auto& entry) { return !stages_.names(entry.first); });
  Placement placement = stages_.placement();
  placement.epoch = ++epoch_;
  std::atomic_store(&current_,
                    ArtifactSnapshotPtr(std::make_shared<const ArtifactSnapshot>(ArtifactSnapshot{std::move(placement), hosts_})));
}

bool ArtifactMembership::change(const std::function<bool()>& change) {
  std::lock_guard commits(commits_);
  std::lock_guard lock(mutex_);
  if (!change()) return false;
  publish();
  return true;
}

// Before the first operation, and as long as nobody serves, there is nothing to move: what is declared holds.
void ArtifactMembership::declare(const std::function<void()>& declaration) {
  change([&] {
    declaration();
    const bool founded = running_.load(std::memory_order_acquire) && stages_.placement().serving->ring.num_nodes() > 0;
    if (!founded) stages_.settle();
    return true;
  });
}

void ArtifactMembership::attach(HostPtr host, double weight, std::string zone) {
  if (host == nullptr) throw Error(ErrorCode::kInvalidArgument, "attach_node of no host: the pointer is null");
  declare([&] {
    const std::string id = host->id();
    stages_.require_no_resize("attach_node");
    if (hosts_.contains(id) && !stages_.declared_ring().index_of(id)) {
      throw Error(ErrorCode::kAlreadyExists, "host '" + id + "' is in the store until the resize that removes it has run");
    }
    stages_.add_node({.id = id, .weight = weight, .zone = std::move(zone)});
    hosts_.emplace(id, std::move(host));
  });
}

void ArtifactMembership::detach(std::string_view id) {
  declare([&] { stages_.remove_node(id); });
}

void ArtifactMembership::set_weight(std::string_view id, double weight) {
  declare([&] { stages_.set_weight(id, weight); });
}

void ArtifactMembership::set_replicas(std::size_t replicas) {
  declare([&] { stages_.set_replicas(replicas); });
}

ConsistentHasher ArtifactMembership::ring() const {
  std::lock_guard lock(mutex_);
  return stages_.declared_ring();
}

std::size_t ArtifactMembership::replicas() const {
  std::lock_guard lock(mutex_);
  return stages_.declared_replicas();
}

ResizeStage ArtifactMembership::stage() const {
  std::lock_guard lock(mutex_);
  return stages_.stage();
}

bool ArtifactMembership::begin_resize() {
  start_running();
  return change([&] { return stages_.begin(); });
}

bool ArtifactMembership::begin_resize(const ConsistentHasher& ring, std::size_t replicas) {
  start_running();
  return change([&] { return stages_.begin(ring, replicas); });
}

bool ArtifactMembership::publish_target(const std::function<bool(const ArtifactSnapshot&)>& ready) {
  return change([&] {
    stages_.require_stage(ResizeStage::kCopying, "publishing the target");
    if (!ready(*pin())) return false;
    stages_.publish_target();
    return true;
  });
}

void ArtifactMembership::begin_abort() {
  change([&] {
    stages_.begin_abort();
    return true;
  });
}

void ArtifactMembership::finish() {
  change([&] {
    stages_.finish();
    return true;
  });
}

}  // namespace annulus::internal
