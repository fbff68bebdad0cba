#include "rebalance/vector_rebalancer.h"

#include <chrono>

#include "core/error.h"
#include "rebalance/resize_run.h"

namespace annulus {
namespace {

// Whether `layout` is what the plan names.
bool is(const Layout& layout, const ConsistentHasher& ring, std::size_t replicas) {
  return layout.replicas == replicas && layout.ring.fingerprint() == ring.fingerprint();
}

// Whether the plan is that of the resize which is under way, or of the one that is declared.
void require_matching(const RebalancePlan& plan, const ConsistentHasher& before, const VectorRouter& router, ResizeStage stage) {
  const Placement now = router.placement();
  bool matches = before.fingerprint() == plan.before.fingerprint();
  switch (stage) {
    case ResizeStage::kNone:
      matches = matches && is(*now.serving, plan.before, plan.replicas_before) &&
                router.ring().fingerprint() == plan.after.fingerprint() && router.replicas() == plan.replicas_after;
      break;
    case ResizeStage::kCopying:
      matches = matches && is(*now.serving, plan.before, plan.replicas_before) && is(*now.target, plan.after, plan.replicas_after);
      break;
    case ResizeStage::kRetiring:
      matches = matches && is(*now.retiring, plan.before, plan.replicas_before) && is(*now.serving, plan.after, plan.replicas_after);
      break;
    case ResizeStage::kAborting:
      matches = matches && is(*now.serving, plan.before, plan.replicas_before) && is(*now.retiring, plan.after, plan.replicas_after);
      break;
  }
  if (!matches) {
    throw Error(ErrorCode::kFailedPrecondition,
                "the plan is of other rings than this router's (stage '" + std::string(to_string(stage)) +
                    "'); make it from the ring that serves and the ring that is declared: VectorRebalancer::plan()");
  }
}

bool same_plan(const ResizeMemory& memory, const RebalancePlan& plan) {
  return memory.before == plan.before.fingerprint() && memory.after == plan.after.fingerprint() &&
         memory.replicas_before == plan.replicas_before && memory.replicas_after == plan.replicas_after;
}

ResizeMemory fresh_memory(const RebalancePlan& plan) {
  ResizeMemory memory{.before = plan.before.fingerprint(),
                      .after = plan.after.fingerprint(),
                      .replicas_before = plan.replicas_before,
                      .replicas_after = plan.replicas_after,
                      .copied = std::vector<bool>(plan.moves.size(), false),
                      .to_drop = 0,
                      .report = {}};
  for (const std::string& id : plan.nodes) memory.report.nodes.push_back({.id = id});
  memory.report.warnings = plan.warnings;
  return memory;
}

}  // namespace

std::string_view to_string(ResizeOutcome outcome) noexcept {
  switch (outcome) {
    case ResizeOutcome::kCompleted: return "completed";
    case ResizeOutcome::kNothingToDo: return "nothing to do";
    case ResizeOutcome::kAborted: return "aborted";
    case ResizeOutcome::kBlocked: return "blocked";
  }
  return "unknown";
}

VectorRebalancer::VectorRebalancer(VectorRouter& router, RebalanceOptions options) : router_(router), options_(options) {
  if (options_.page_records == 0 || options_.chunk_arcs == 0) {
    throw Error(ErrorCode::kInvalidArgument, "page_records and chunk_arcs must be at least 1");
  }
  control_.set_max_rate(options_.max_bytes_per_second);
}

VectorRebalancer::~VectorRebalancer() = default;

RebalancePlan VectorRebalancer::plan() const {
  const Placement now = router_.placement();
  switch (router_.control().stage()) {
    case ResizeStage::kRetiring:
      return RebalancePlanner::plan(now.retiring->ring, now.retiring->replicas, now.serving->ring, now.serving->replicas);
    case ResizeStage::kAborting:
      return RebalancePlanner::plan(now.serving->ring, now.serving->replicas, now.retiring->ring, now.retiring->replicas);
    case ResizeStage::kNone:
    case ResizeStage::kCopying: break;
  }
  return RebalancePlanner::plan(now.serving->ring, now.serving->replicas, router_.ring(), router_.replicas());
}

ResizeReport VectorRebalancer::execute(const RebalancePlan& plan, const ConsistentHasher& before) {
  std::unique_lock running(router_.control().execution(), std::try_to_lock);
  if (!running) throw Error(ErrorCode::kFailedPrecondition, "a resize of this router is executing already; wait for it, or abort it");
  return execute_alone(plan, before);
}

// Under the execution lock of the cluster.
ResizeReport VectorRebalancer::execute_alone(const RebalancePlan& plan, const ConsistentHasher& before) {
  const auto started = std::chrono::steady_clock::now();
  ClusterControl& cluster = router_.control();
  const ResizeStage stage = cluster.stage();
  require_matching(plan, before, router_, stage);
  if (stage == ResizeStage::kNone && plan.after.num_nodes() == 0 && plan.before.num_nodes() > 0) {
    throw Error(ErrorCode::kFailedPrecondition, "the declared ring has no node, and " + std::to_string(plan.before.num_nodes()) +
                                                    " nodes hold data that would have nowhere to go; attach a node first");
  }
  control_.start();
  const bool goes_on = stage != ResizeStage::kNone && memory_ != nullptr && same_plan(*memory_, plan);
  if (!goes_on) memory_ = std::make_unique<ResizeMemory>(fresh_memory(plan));
  ResizeReport& report = memory_->report;
  report.message.clear();
  report.lost = 0;  // what an earlier execution missed is looked at again
  if (stage == ResizeStage::kNone && !cluster.begin_resize(plan.after, plan.replicas_after)) {
    report.outcome = ResizeOutcome::kNothingToDo;
    return report;
  }
  ResizeRun run(cluster, options_, control_, plan, *memory_);
  if (!goes_on) run.count();
  run.run();
  report.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const double pairs = static_cast<double>(report.keys) * static_cast<double>(plan.replicas_after);
  if (pairs > 0) {
    report.moved_fraction = static_cast<double>(report.moved) / pairs;
    report.lower_bound_fraction = static_cast<double>(report.lower_bound) / pairs;
  }
  ResizeReport done = report;
  if (done.outcome != ResizeOutcome::kBlocked) memory_.reset();
  return done;
}

void VectorRebalancer::abort() {
  std::unique_lock idle(router_.control().execution(), std::try_to_lock);
  const ResizeStage stage = router_.control().stage();
  if (stage != ResizeStage::kCopying) {
    throw Error(ErrorCode::kFailedPrecondition,
                stage == ResizeStage::kRetiring
                    ? "too late to abort: the target serves already; to go back, declare the old ring and resize again"
                    : "there is no resize to abort");
  }
  control_.abort();
  if (!idle) return;  // the execution stops at its next step
  const RebalancePlan now = plan();
  router_.control().begin_abort();
  (void)execute_alone(now, now.before);
}

}  // namespace annulus
