#include "rebalance/staged_move.h"

#include <algorithm>
#include <map>

#include "core/error.h"

namespace annulus {
namespace {

std::vector<PlanNode> sorted(std::vector<PlanNode> nodes) {
  std::sort(nodes.begin(), nodes.end());
  return nodes;
}

// Calls work(ends, chunk) for the moves that have the same ends, chunk by chunk.
template <typename Ends, typename Work>
void by_chunks(const std::vector<std::pair<Ends, std::size_t>>& moves, std::size_t chunk_arcs, Work&& work) {
  std::map<Ends, std::vector<std::size_t>> groups;
  for (const auto& [ends, move] : moves) groups[ends].push_back(move);
  for (const auto& [ends, group] : groups) {
    for (std::size_t begin = 0; begin < group.size(); begin += chunk_arcs) {
      work(ends, MoveChunk(group).subspan(begin, std::min(chunk_arcs, group.size() - begin)));
    }
  }
}

using DropEnds = std::pair<PlanNode, std::vector<PlanNode>>;  // who drops, who owns

bool is(const Layout& layout, const ConsistentHasher& ring, std::size_t replicas) {
  return layout.replicas == replicas && layout.ring.fingerprint() == ring.fingerprint();
}

// Whether the plan is that of the resize which is under way, or of the one that is declared.
bool matches(const StagedState& now, const RebalancePlan& plan) {
  const Placement& placement = now.placement;
  switch (now.stage) {
    case ResizeStage::kNone:
      return is(*placement.serving, plan.before, plan.replicas_before) && plan.replicas_after == now.declared_replicas &&
             plan.after.fingerprint() == now.declared_ring.fingerprint();
    case ResizeStage::kCopying:
      return is(*placement.serving, plan.before, plan.replicas_before) && is(*placement.target, plan.after, plan.replicas_after);
    case ResizeStage::kRetiring:
      return is(*placement.retiring, plan.before, plan.replicas_before) && is(*placement.serving, plan.after, plan.replicas_after);
    case ResizeStage::kAborting:
      return is(*placement.serving, plan.before, plan.replicas_before) && is(*placement.retiring, plan.after, plan.replicas_after);
  }
  return false;
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

std::string quoted_list(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "'" : ", '") + name + "'";
  return all;
}

MoveMemory::MoveMemory(const RebalancePlan& plan)
    : before(plan.before.fingerprint()),
      after(plan.after.fingerprint()),
      replicas_before(plan.replicas_before),
      replicas_after(plan.replicas_after),
      copied(plan.moves.size(), false) {}

bool MoveMemory::is_of(const RebalancePlan& plan) const {
  return before == plan.before.fingerprint() && after == plan.after.fingerprint() && replicas_before == plan.replicas_before &&
         replicas_after == plan.replicas_after;
}

void begin_report(MoveReport& report, const RebalancePlan& plan) {
  for (const std::string& id : plan.nodes) report.nodes.push_back({.id = id});
  report.warnings = plan.warnings;
}

void set_fractions(MoveReport& report, std::size_t replicas) {
  const double pairs = static_cast<double>(report.keys) * static_cast<double>(replicas);
  if (pairs <= 0) return;
  report.moved_fraction = static_cast<double>(report.moved) / pairs;
  report.lower_bound_fraction = static_cast<double>(report.lower_bound) / pairs;
}

void add_warning(MoveReport& report, std::string message) {
  if (std::find(report.warnings.begin(), report.warnings.end(), message) == report.warnings.end()) {
    report.warnings.push_back(std::move(message));
  }
}

void copy_moves(const RebalancePlan& plan, MoveMemory& memory, std::size_t chunk_arcs, const CopyChunk& copy) {
  using Ends = std::pair<std::vector<PlanNode>, std::vector<PlanNode>>;  // sources, targets
  std::vector<std::pair<Ends, std::size_t>> open;
  for (std::size_t i = 0; i < plan.moves.size(); ++i) {
    const ArcMove& move = plan.moves[i];
    if (memory.copied[i] || move.targets.empty() || move.sources.empty()) continue;
    open.push_back({{sorted(move.sources), sorted(move.targets)}, i});
  }
  by_chunks(open, chunk_arcs, [&](const Ends& ends, MoveChunk chunk) {
    copy(ends.first, ends.second, chunk);
    for (const std::size_t i : chunk) memory.copied[i] = true;
  });
}

void StagedMove::run() {
  try {
    if (payload_.stage() == ResizeStage::kCopying) copy_and_publish();
    if (payload_.stage() == ResizeStage::kRetiring) {
      drop();
      payload_.finish();
      report_.outcome = ResizeOutcome::kCompleted;
    } else {
      undo();
      payload_.finish();
      report_.outcome = ResizeOutcome::kAborted;
      report_.message = "aborted on request: the old ring serves as before";
    }
  } catch (const Blocked& blocked) {
    report_.outcome = ResizeOutcome::kBlocked;
    report_.message = blocked.message;
  }
}

// Ends in the next stage, whichever it is.
void StagedMove::copy_and_publish() {
  try {
    control_.begin_stage("copying", report_.lower_bound);
    copy_moves(plan_, memory_, chunk_arcs_,
               [this](const auto& sources, const auto& targets, MoveChunk chunk) { payload_.copy(sources, targets, chunk); });
    payload_.publish();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kAborted) throw;
    payload_.begin_abort();
  }
}

void StagedMove::drop() {
  control_.begin_stage("dropping", memory_.to_drop);
  std::vector<std::pair<DropEnds, std::size_t>> open;
  for (std::size_t i = 0; i < plan_.moves.size(); ++i) {
    for (const PlanNode node : plan_.moves[i].drops) open.push_back({{node, sorted(plan_.moves[i].owners)}, i});
  }
  by_chunks(open, chunk_arcs_, [this](const DropEnds& ends, MoveChunk chunk) {
    control_.step(payload_.drop(ends.first, ends.second, chunk), 0, false);
  });
}

// The reverse of copy: who was to gain drops, and who serves vouches for it. Waits for no throttle and no pause.
void StagedMove::undo() {
  std::vector<std::pair<DropEnds, std::size_t>> open;
  for (std::size_t i = 0; i < plan_.moves.size(); ++i) {
    for (const PlanNode node : plan_.moves[i].targets) open.push_back({{node, sorted(plan_.moves[i].sources)}, i});
  }
  by_chunks(open, chunk_arcs_, [this](const DropEnds& ends, MoveChunk chunk) { payload_.drop(ends.first, ends.second, chunk); });
}

RebalancePlan plan_of(const StagedState& now) {
  const Placement& placement = now.placement;
  switch (now.stage) {
    case ResizeStage::kRetiring:
      return RebalancePlanner::plan(placement.retiring->ring, placement.retiring->replicas, placement.serving->ring,
                                    placement.serving->replicas);
    case ResizeStage::kAborting:
      return RebalancePlanner::plan(placement.serving->ring, placement.serving->replicas, placement.retiring->ring,
                                    placement.retiring->replicas);
    case ResizeStage::kNone:
    case ResizeStage::kCopying: break;
  }
  return RebalancePlanner::plan(placement.serving->ring, placement.serving->replicas, now.declared_ring, now.declared_replicas);
}

void require_plan_of(const StagedState& now, const RebalancePlan& plan, const ConsistentHasher& before, std::string_view owner,
                     std::string_view planner) {
  if (before.fingerprint() != plan.before.fingerprint() || !matches(now, plan)) {
    throw Error(ErrorCode::kFailedPrecondition,
                "the plan is of other rings than this " + std::string(owner) + "'s (stage '" + std::string(to_string(now.stage)) +
                    "'); make it from the ring that serves and the ring that is declared: " + std::string(planner));
  }
  if (now.stage == ResizeStage::kNone && plan.after.num_nodes() == 0 && plan.before.num_nodes() > 0) {
    throw Error(ErrorCode::kFailedPrecondition, "the declared ring has no node, and " + std::to_string(plan.before.num_nodes()) +
                                                    " nodes hold data that would have nowhere to go; attach a node first");
  }
}

std::unique_lock<std::mutex> lock_execution(std::mutex& execution, std::string_view owner) {
  std::unique_lock running(execution, std::try_to_lock);
  if (running) return running;
  throw Error(ErrorCode::kFailedPrecondition,
              "a resize of this " + std::string(owner) + " is executing already; wait for it, or abort it");
}

void require_abortable(ResizeStage stage) {
  if (stage == ResizeStage::kCopying) return;
  throw Error(ErrorCode::kFailedPrecondition,
              stage == ResizeStage::kRetiring
                  ? "too late to abort: the target serves already; to go back, declare the old ring and resize again"
                  : "there is no resize to abort");
}

}  // namespace annulus
