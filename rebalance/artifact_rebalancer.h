// Carries out a resize of an ArtifactDistributor: online, throttled, verified. Start at ArtifactRebalancer.
#pragma once

#include <memory>

#include "artifact/artifact_distributor.h"
#include "rebalance/move_control.h"
#include "rebalance/move_report.h"
#include "rebalance/rebalance_plan.h"

namespace annulus {

template <typename Report>
struct StagedMemory;

/// Executes plans on one distributor, stage by stage as VectorRebalancer does for vectors (docs/resize.md): commits go to the union
/// of both rings; each artifact is copied in chunks to the hosts that gain it, and its content hash verified there; the target
/// serves, all at once; only then do hosts drop what they do not own any more, each artifact after its owners have been found to
/// hold it whole. Gets and puts go on throughout. Pairs in the report are (artifact, host).
///
/// What is on the hosts is all that it needs to know: after a crash, declare the same ring and execute again; what is there
/// already is verified and not sent again.
/// Thread-safe: steering and abort from any thread while one executes. One execution at a time on one distributor.
class ArtifactRebalancer : public MoveSteering {
 public:
  explicit ArtifactRebalancer(ArtifactDistributor& artifacts, RebalanceOptions options = {});
  ~ArtifactRebalancer();

  /// The plan from what serves to what is declared.
  RebalancePlan plan() const;

  /// Carries out `plan`; `before` is the ring that it starts from. A blocked resize goes on when called again with the same plan.
  /// Throws Error(kFailedPrecondition) if the plan or `before` is of other rings than this distributor's, or an execution on it is
  /// under way; never because of a host that fails: that is reported.
  MoveReport execute(const RebalancePlan& plan, const ConsistentHasher& before);

  /// plan and execute in one.
  MoveReport execute() {
    const RebalancePlan now = plan();
    return execute(now, now.before);
  }

  /// As VectorRebalancer::abort.
  void abort();

 private:
  MoveReport execute_alone(const RebalancePlan& plan, const ConsistentHasher& before);

  ArtifactDistributor& artifacts_;
  std::unique_ptr<StagedMemory<MoveReport>> memory_;  // of a blocked execution
};

}  // namespace annulus
