// Private to artifact/: who is in a store of artifacts, and which rings hold.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/artifact_distributor.h"
#include "core/fair_shared_mutex.h"
#include "ring/resize_stages.h"

namespace annulus::internal {

using HostPtr = std::shared_ptr<ArtifactHost>;
using HostList = std::vector<HostPtr>;

/// What one operation sees, from its first step to its last.
struct ArtifactSnapshot {
  Placement placement;
  std::map<std::string, HostPtr, std::less<>> hosts;  ///< declared, or named by a layout

  /// The owners of a name in the serving layout, the primary first.
  HostList serving(std::string_view name) const { return owners(*placement.serving, name); }
  /// Those of the target layout.
  HostList target(std::string_view name) const { return owners(*placement.target, name); }
  /// The serving owners, then the others of the target layout: who takes a commit.
  HostList owners(std::string_view name) const;
  /// Whether a host owns a name in some layout, a retiring one included: what it holds is no stranger.
  bool has_a_claim(std::string_view host, std::string_view name) const;
  /// All hosts but `without`, sorted by id.
  HostList others(const HostList& without) const;

 private:
  HostList owners(const Layout& layout, std::string_view name) const;
};

using ArtifactSnapshotPtr = std::shared_ptr<const ArtifactSnapshot>;

/// Membership and the stages of a resize, published as immutable snapshots. Thread-safe. Throws as ArtifactDistributor says.
class ArtifactMembership {
 public:
  ArtifactMembership(RingOptions ring, std::size_t replicas);

  ArtifactSnapshotPtr pin() const { return std::atomic_load(&current_); }

  /// Ends the founding: from now on a declaration waits for a resize.
  void start_running() noexcept { running_.store(true, std::memory_order_release); }

  void attach(HostPtr host, double weight, std::string zone);
  void detach(std::string_view id);
  void set_weight(std::string_view id, double weight);
  void set_replicas(std::size_t replicas);
  ConsistentHasher ring() const;
  std::size_t replicas() const;

  ResizeStage stage() const;
  bool begin_resize();
  bool begin_resize(const ConsistentHasher& ring, std::size_t replicas);
  /// False, and no change, if `ready` says no; nothing is committed meanwhile.
  bool publish_target(const std::function<bool(const ArtifactSnapshot& now)>& ready);
  void begin_abort();
  void finish();

  /// Held shared by whoever commits a version, from its last look at the placement to the last commit; exclusive, nothing is
  /// committed and the placement stays.
  FairSharedMutex& commits() noexcept { return commits_; }

 private:
  /// Runs a change of `stages_` while nothing is committed, and publishes what it made, unless it returns false.
  bool change(const std::function<bool()>& change);
  void declare(const std::function<void()>& declaration);
  void publish();

  FairSharedMutex commits_;  // before mutex_
  mutable std::mutex mutex_;
  ResizeStages stages_;
  std::map<std::string, HostPtr, std::less<>> hosts_;
  std::uint64_t epoch_ = 0;
  std::atomic<bool> running_ = false;
  ArtifactSnapshotPtr current_;
};

}  // namespace annulus::internal
