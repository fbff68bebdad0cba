// Who is in the cluster, in what state, and which rings hold: the only place that changes them.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "ring/hash_ring.h"
#include "ring/resize_stages.h"
#include "shard/cluster_snapshot.h"

namespace annulus {

/// Membership, health and the stages of a resize, published as immutable snapshots.
///
/// Nodes are declared first (`attach`, `detach`, `set_weight`, `set_replicas`); a rebalancer then takes the declared ring
/// through the stages. Before the first write, and as long as no shard serves, there is nothing to move: then a declaration
/// holds at once.
/// Thread-safe. Calls that drain wait for the operations which hold an older snapshot, so a caller must hold none.
class ClusterControl {
 public:
  ClusterControl(RingOptions ring, std::size_t replicas, IndexFamily family);

  /// The newest snapshot; it stays as it is for as long as the caller holds it, and holds up drains.
  SnapshotPtr pin() const { return std::atomic_load(&current_); }

  /// Ends the founding phase; called by every write before it pins. One load when it has ended.
  void start_running();

  // --- declarations. All throw Error(kFailedPrecondition) while a resize is under way.

  /// Throws Error(kAlreadyExists) if the id is declared or still serving; what ConsistentHasher::add_node throws.
  void attach(std::shared_ptr<Shard> shard, double weight, std::string zone);
  void detach(std::string_view id);                     ///< Throws Error(kNotFound).
  void set_weight(std::string_view id, double weight);  ///< Throws Error(kNotFound), Error(kInvalidArgument).
  void set_replicas(std::size_t replicas);              ///< Throws Error(kInvalidArgument) for 0.

  ConsistentHasher declared_ring() const;
  std::size_t declared_replicas() const;
  /// All shards, declared or serving.
  std::vector<std::shared_ptr<Shard>> shards() const;

  // --- health. All throw Error(kNotFound) for an unknown id.

  ShardHealth health(std::string_view id) const;
  /// Takes a shard out of reads and writes.
  void mark_down(std::string_view id);
  /// A shard that was down takes writes again; returns when every write that passed it over has ended.
  void mark_returned(std::string_view id);
  /// These shards missed a write (or a clean-up) that another took: none of them is up any more.
  void mark_missed(std::span<const std::string> ids);
  /// Makes a shard that is behind up, if it has missed nothing since `seen` and the layouts are `seen`'s. Returns whether.
  bool mark_up(std::string_view id, const ClusterSnapshot& seen);

  // --- row groups. What a search may ask a shard for is the rows of which the serving layout makes it the primary; so each is told
  // early what it becomes the primary of, and late what it is no more: with the stages, and before the first write. One that could
  // not be told is searched whole until it is told. None of it for graphs, which keep no groups.

  /// Tells all that do not know and are not down; whom it does not reach is searched whole.
  void tell_primary_arcs();
  /// Tells `id` of what it is the primary, unless it knows. Throws what the shard throws; Error(kNotFound).
  void tell_primary_arcs(std::string_view id);

  // --- stages, for the rebalancer. All throw Error(kFailedPrecondition) in the wrong stage.

  ResizeStage stage() const;
  /// kNone -> kCopying: writes go to the union of both rings. Drained. Returns false, and changes nothing, if the declared
  /// layout is the serving one.
  bool begin_resize() { return begin_resize_to(nullptr, 0); }
  /// The same, if what is declared is still `ring` at `replicas`; throws Error(kFailedPrecondition) if not.
  bool begin_resize(const ConsistentHasher& ring, std::size_t replicas) { return begin_resize_to(&ring, replicas); }
  /// kCopying -> kRetiring, if each of `gaining` is up at that moment; otherwise returns false. Drained.
  bool publish_target(std::span<const std::string> gaining);
  /// kCopying -> kAborting; the declared ring is the serving one again. Drained.
  void begin_abort();
  /// kRetiring or kAborting -> kNone: members that own nothing leave. Drained. `uncleaned`: shards that still hold what they do
  /// not own, because they could not be reached; one that has come back meanwhile is behind from now on, and cleaned before it
  /// serves, because nobody writes to those rows any more.
  void finish(std::span<const std::string> uncleaned = {});

  /// Held by whoever takes the cluster through the stages: one execution at a time, whoever started it.
  std::mutex& execution() noexcept { return execution_mutex_; }

  /// Runs `action` while no stage can change.
  void with_layouts_frozen(const std::function<void(const ClusterSnapshot&)>& action) const;

  /// Returns when every operation that began before the call has ended. The version of an operation that begins later is
  /// newer than any given before.
  void drain();

 private:
  bool begin_resize_to(const ConsistentHasher* ring, std::size_t replicas);
  void settle_founding(std::unique_lock<std::mutex> lock);
  void prune_members();
  void tell_all();
  bool tell(const std::string& id);
  std::vector<std::shared_ptr<const Layout>> layouts_read() const;
  Member& member(std::string_view id);
  std::uint64_t publish();  // under mutex_; returns the new epoch
  void wait_for(std::uint64_t epoch) const { registry_->wait_until_gone_before(epoch); }

  const IndexFamily family_;
  const std::shared_ptr<EpochRegistry> registry_ = std::make_shared<EpochRegistry>();

  std::mutex execution_mutex_;       // taken before all others
  mutable std::mutex layout_mutex_;  // stages and declarations; taken before mutex_
  mutable std::mutex mutex_;         // guards all below, and publication
  std::atomic<bool> running_{false};
  ResizeStages stages_;
  std::shared_ptr<const Layout> draining_;  // served until now, and may still be read by; or null
  std::map<std::string, Member, std::less<>> members_;  // declared, serving or target
  SnapshotPtr current_;  // by std::atomic_load and std::atomic_store
};

}  // namespace annulus
