// Carries out a resize of a VectorRouter: online, throttled, verified. Start at VectorRebalancer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rebalance/move_control.h"
#include "rebalance/move_report.h"
#include "rebalance/rebalance_plan.h"
#include "shard/vector_router.h"

namespace annulus {

/// The account of a resize of vectors. Pairs have a live record.
struct ResizeReport : MoveReport {
  std::uint64_t moved_tombstones = 0;
  std::uint64_t recopied = 0;             ///< records found old or missing when verified, copied again
  std::uint64_t checked_before_drop = 0;  ///< pairs found at the new owners again, just before the old copy was dropped
  std::uint64_t lossy_copies = 0;         ///< pairs copied from a lossy index by decoding: the vector is an approximation
  std::vector<SyncReport> synchronised;   ///< shards that had to be brought up to date on the way
};

template <typename Report>
struct StagedMemory;

/// Executes plans on one router, stage by stage (ResizeStage says what holds in each):
///   publish the target, so that writes go to the union, and drain; copy each arc from an owner that is up; verify that every
///   gained owner dominates its source; publish the target as serving, once for all arcs, and drain; check once more, and drop
///   what is not owned any more.
/// No good copy is dropped before its replacement is verified and serves. Reads and writes go on throughout.
///
/// Thread-safe: pause, resume, abort, set_max_rate and progress from any thread while one executes. One execution at a time.
class VectorRebalancer : public MoveSteering {
 public:
  explicit VectorRebalancer(VectorRouter& router, RebalanceOptions options = {});
  ~VectorRebalancer();

  /// The plan from what serves to what is declared.
  RebalancePlan plan() const;

  /// Carries out `plan`; `before` is the ring that it starts from. A blocked resize goes on when called again with the same
  /// plan. Throws Error(kFailedPrecondition) if the plan or `before` is of other rings than this router's, or an execution on
  /// this router is under way; never because of a shard that fails: that is reported.
  ResizeReport execute(const RebalancePlan& plan, const ConsistentHasher& before);

  /// plan and execute in one.
  ResizeReport execute() {
    const RebalancePlan now = plan();
    return execute(now, now.before);
  }

  /// Takes the resize back, as long as the target does not serve yet: a running execution returns kAborted; one that is blocked
  /// is undone here. A request that reaches an execution at its very end is too late, and its report says so: kCompleted.
  /// Throws Error(kFailedPrecondition) if there is no resize, or it is past that point.
  void abort();

 private:
  ResizeReport execute_alone(const RebalancePlan& plan, const ConsistentHasher& before);

  VectorRouter& router_;
  std::unique_ptr<StagedMemory<ResizeReport>> memory_;  // of a blocked execution
};

}  // namespace annulus
