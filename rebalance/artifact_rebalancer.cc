#include "rebalance/artifact_rebalancer.h"

#include "core/error.h"
#include "rebalance/artifact_payload.h"
#include "rebalance/staged_move.h"

namespace annulus {
namespace {

StagedState state_of(const ArtifactDistributor& artifacts) {
  return {artifacts.placement(), artifacts.stage(), artifacts.ring(), artifacts.replicas()};
}

}  // namespace

ArtifactRebalancer::ArtifactRebalancer(ArtifactDistributor& artifacts, RebalanceOptions options)
    : MoveSteering(options), artifacts_(artifacts) {}

ArtifactRebalancer::~ArtifactRebalancer() = default;

RebalancePlan ArtifactRebalancer::plan() const { return plan_of(state_of(artifacts_)); }

MoveReport ArtifactRebalancer::execute(const RebalancePlan& plan, const ConsistentHasher& before) {
  const auto running = lock_execution(artifacts_.execution(), "distributor");
  return execute_alone(plan, before);
}

// Under the execution lock of the distributor.
MoveReport ArtifactRebalancer::execute_alone(const RebalancePlan& plan, const ConsistentHasher& before) {
  const StagedState now = state_of(artifacts_);
  require_plan_of(now, plan, before, "distributor", "ArtifactRebalancer::plan()");
  return execute_staged<MoveReport>(
      now.stage, plan, control_, options_.chunk_arcs, memory_,
      [&] { return artifacts_.begin_resize(plan.after, plan.replicas_after); },
      [&](MoveMemory& moves, MoveReport& report) { return ArtifactPayload(artifacts_, control_, plan, moves, report); });
}

void ArtifactRebalancer::abort() {
  std::unique_lock idle(artifacts_.execution(), std::try_to_lock);
  require_abortable(artifacts_.stage());
  control_.abort();
  if (!idle) return;  // the execution stops at its next step
  const RebalancePlan now = plan();
  artifacts_.begin_abort();
  (void)execute_alone(now, now.before);
}

}  // namespace annulus
