// The mechanism of every move: a plan's arcs, chunk by chunk, through the stages of a resize. Internal to rebalance/.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rebalance/move_control.h"
#include "rebalance/move_report.h"
#include "rebalance/rebalance_plan.h"
#include "ring/resize_stages.h"

namespace annulus {

/// Moves that are dealt with together: positions in RebalancePlan::moves.
using MoveChunk = std::span<const std::size_t>;

/// Thrown when the move cannot go on now; the message says what it waits for.
struct Blocked {
  std::string message;
};

/// "'a', 'b'".
std::string quoted_list(const std::vector<std::string>& names);

/// Which moves of a plan are done; outlives a blocked execution.
struct MoveMemory {
  explicit MoveMemory(const RebalancePlan& plan);
  bool is_of(const RebalancePlan& plan) const;

  std::uint64_t before;  ///< fingerprints and replicas of the two layouts
  std::uint64_t after;
  std::size_t replicas_before;
  std::size_t replicas_after;
  std::vector<bool> copied;   ///< by move: copied and verified. Stays true: later writes go to the targets as well
  std::uint64_t to_drop = 0;  ///< pairs that leave, for the progress bar
  bool counted = false;
};

/// Names the plan's nodes in the report, with nothing done, and takes over its warnings.
void begin_report(MoveReport& report, const RebalancePlan& plan);

/// Fills in the fractions.
void set_fractions(MoveReport& report, std::size_t replicas);

void add_warning(MoveReport& report, std::string message);

/// Calls copy(sources, targets, chunk) for all that is not copied yet, in chunks of at most `chunk_arcs` arcs with the same ends
/// (sorted, not by rank), and remembers what is. What `copy` throws ends it.
using CopyChunk = std::function<void(const std::vector<PlanNode>& sources, const std::vector<PlanNode>& targets, MoveChunk chunk)>;
void copy_moves(const RebalancePlan& plan, MoveMemory& memory, std::size_t chunk_arcs, const CopyChunk& copy);

/// What is resized in stages: how one kind of payload is counted, copied, published and dropped. StagedMove decides what and when.
/// Any call may throw Blocked; anything else that it throws ends the execution, in the stage that it had reached.
class StagedPayload {
 public:
  virtual ~StagedPayload() = default;

  virtual ResizeStage stage() const = 0;
  /// Live keys and the pairs that must move, into the report and `memory`. Once, in stage kCopying or later.
  virtual void count() = 0;
  /// Copies the arcs of `chunk` from one of `sources` to every one of `targets`, and verifies.
  virtual void copy(const std::vector<PlanNode>& sources, const std::vector<PlanNode>& targets, MoveChunk chunk) = 0;
  /// kCopying -> kRetiring, when all is copied. Throws Error(kAborted) if an abort was asked for.
  virtual void publish() = 0;
  /// kCopying -> kAborting.
  virtual void begin_abort() = 0;
  /// Drops from `node` what `owners` hold; verifies that first. Returns how many items went.
  virtual std::uint64_t drop(PlanNode node, const std::vector<PlanNode>& owners, MoveChunk chunk) = 0;
  /// kRetiring or kAborting -> kNone.
  virtual void finish() = 0;
};

/// Takes a payload through the stages that are left, from whichever it is in. The caller excludes other executions.
class StagedMove {
 public:
  StagedMove(const RebalancePlan& plan, MoveMemory& memory, MoveReport& report, MoveControl& control, std::size_t chunk_arcs,
             StagedPayload& payload)
      : plan_(plan), memory_(memory), report_(report), control_(control), chunk_arcs_(chunk_arcs), payload_(payload) {}

  /// Runs to the end, to an abort, or to where a node is missing; says which in the report.
  void run();

 private:
  void copy_and_publish();
  void drop();
  void undo();

  const RebalancePlan& plan_;
  MoveMemory& memory_;
  MoveReport& report_;
  MoveControl& control_;
  const std::size_t chunk_arcs_;
  StagedPayload& payload_;
};

/// The rings of a store that is resized, as they are now.
struct StagedState {
  Placement placement;
  ResizeStage stage;
  ConsistentHasher declared_ring;
  std::size_t declared_replicas;
};

/// The plan of the resize that is under way, or else the one from what serves to what is declared.
RebalancePlan plan_of(const StagedState& now);

/// Throws Error(kFailedPrecondition) unless `plan` is what plan_of gives and begins at `before`, or if it would leave no node for
/// the data that the nodes hold. `owner` and `planner` are named in the message.
void require_plan_of(const StagedState& now, const RebalancePlan& plan, const ConsistentHasher& before, std::string_view owner,
                     std::string_view planner);

/// What outlives a blocked execution.
template <typename Report>
struct StagedMemory {
  MoveMemory moves;
  Report report;
};

/// One execution of `plan`, which is plan_of(now), from the stage it is in. `begin()`: kNone -> kCopying; false if there is nothing
/// to do. `make_payload(moves, report)` makes the StagedPayload. `memory` is that of an execution before, if that was blocked.
template <typename Report, typename Begin, typename MakePayload>
Report execute_staged(ResizeStage stage, const RebalancePlan& plan, MoveControl& control, std::size_t chunk_arcs,
                      std::unique_ptr<StagedMemory<Report>>& memory, Begin&& begin, MakePayload&& make_payload) {
  const auto started = std::chrono::steady_clock::now();
  control.start();
  const bool goes_on = stage != ResizeStage::kNone && memory != nullptr && memory->moves.is_of(plan);
  if (!goes_on) {
    memory = std::make_unique<StagedMemory<Report>>(StagedMemory<Report>{MoveMemory(plan), {}});
    begin_report(memory->report, plan);
  }
  Report& report = memory->report;
  report.message.clear();
  report.lost = 0;  // what an earlier execution missed is looked at again
  if (stage == ResizeStage::kNone && !begin()) {
    report.outcome = ResizeOutcome::kNothingToDo;
    return report;
  }
  auto payload = make_payload(memory->moves, report);
  if (!memory->moves.counted) payload.count();
  memory->moves.counted = true;
  StagedMove(plan, memory->moves, report, control, chunk_arcs, payload).run();
  report.stage = payload.stage();
  report.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  set_fractions(report, plan.replicas_after);
  Report done = report;
  if (done.outcome != ResizeOutcome::kBlocked) memory.reset();
  return done;
}

/// Locks `execution`, or throws Error(kFailedPrecondition) if an execution is under way.
std::unique_lock<std::mutex> lock_execution(std::mutex& execution, std::string_view owner);

/// Throws Error(kFailedPrecondition) unless `stage` can be aborted.
void require_abortable(ResizeStage stage);

}  // namespace annulus
