#include "rebalance/vector_rebalancer.h"

#include "core/error.h"
#include "rebalance/staged_move.h"
#include "rebalance/vector_payload.h"

namespace annulus {
namespace {

StagedState state_of(const VectorRouter& router) {
  return {router.placement(), router.control().stage(), router.ring(), router.replicas()};
}

}  // namespace

VectorRebalancer::VectorRebalancer(VectorRouter& router, RebalanceOptions options) : MoveSteering(options), router_(router) {}

VectorRebalancer::~VectorRebalancer() = default;

RebalancePlan VectorRebalancer::plan() const { return plan_of(state_of(router_)); }

ResizeReport VectorRebalancer::execute(const RebalancePlan& plan, const ConsistentHasher& before) {
  const auto running = lock_execution(router_.control().execution(), "router");
  return execute_alone(plan, before);
}

// Under the execution lock of the cluster.
ResizeReport VectorRebalancer::execute_alone(const RebalancePlan& plan, const ConsistentHasher& before) {
  ClusterControl& cluster = router_.control();
  const StagedState now = state_of(router_);
  require_plan_of(now, plan, before, "router", "VectorRebalancer::plan()");
  return execute_staged<ResizeReport>(
      now.stage, plan, control_, options_.chunk_arcs, memory_,
      [&] { return cluster.begin_resize(plan.after, plan.replicas_after); },
      [&](MoveMemory& moves, ResizeReport& report) {
        return VectorPayload(cluster, options_.page_records, control_, plan, moves, report);
      });
}

void VectorRebalancer::abort() {
  std::unique_lock idle(router_.control().execution(), std::try_to_lock);
  require_abortable(router_.control().stage());
  control_.abort();
  if (!idle) return;  // the execution stops at its next step
  const RebalancePlan now = plan();
  router_.control().begin_abort();
  (void)execute_alone(now, now.before);
}

}  // namespace annulus
