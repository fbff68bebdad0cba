// Which ring is declared and which rings hold: the steps of a resize, the same for every kind of payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ring/placement.h"

namespace annulus {

/// How far a resize has come. What holds in each stage, with S the old and T the new layout:
///   kNone      reads S, writes S (S == T)
///   kCopying   reads S, writes S and T: whatever T's owners lack is older than the stage, and is being copied
///   kRetiring  reads T, writes T, and S's owners as long as they hold the item: so that nobody reads a stale one
///   kAborting  reads S, writes S, and T's owners as long as they hold the item
enum class ResizeStage : std::uint8_t { kNone, kCopying, kRetiring, kAborting };

std::string_view to_string(ResizeStage stage) noexcept;

/// The declared layout, the layouts that hold, and the stage. Knows which step is legal when, and what it makes of the placement;
/// the owner locks, publishes and drains. A step that throws changes nothing. Not thread-safe.
class ResizeStages {
 public:
  /// Throws as make_layout.
  ResizeStages(RingOptions ring, std::size_t replicas);

  // --- declarations. All throw Error(kFailedPrecondition) while a resize is under way, and what ConsistentHasher throws.

  void add_node(Node node);
  void remove_node(std::string_view id);
  void set_weight(std::string_view id, double weight);
  void set_replicas(std::size_t replicas);  ///< Throws Error(kInvalidArgument) for 0.

  /// What is declared holds now: there is nothing to move. O(tokens x R).
  void settle();

  const ConsistentHasher& declared_ring() const noexcept { return declared_ring_; }
  std::size_t declared_replicas() const noexcept { return declared_replicas_; }
  ResizeStage stage() const noexcept { return stage_; }
  const Placement& placement() const noexcept { return placement_; }  ///< its epoch is the owner's to count

  /// Whether a layout, or the declared ring, has a node of this id.
  bool names(std::string_view id) const noexcept;
  /// Whether a layout has one.
  bool holds(std::string_view id) const noexcept;

  // --- steps. All throw Error(kFailedPrecondition) in another stage than the one they start from.

  /// kNone -> kCopying. Returns false, and changes nothing, if the declared layout serves.
  bool begin();
  /// The same, if what is declared is still `ring` at `replicas`; throws Error(kFailedPrecondition) if not.
  bool begin(const ConsistentHasher& ring, std::size_t replicas);
  /// kCopying -> kRetiring.
  void publish_target();
  /// kCopying -> kAborting; the serving layout is the declared one again.
  void begin_abort();
  /// kRetiring or kAborting -> kNone.
  void finish();

  /// Throws Error(kFailedPrecondition) that `what` has to wait, if a resize is under way.
  void require_no_resize(std::string_view what) const;
  /// Throws Error(kFailedPrecondition) that `what` is not possible now, unless the stage is `stage`.
  void require_stage(ResizeStage stage, std::string_view what) const;

 private:
  ConsistentHasher declared_ring_;
  std::size_t declared_replicas_;
  Placement placement_;
  ResizeStage stage_ = ResizeStage::kNone;
};

}  // namespace annulus
