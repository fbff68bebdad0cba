// One execution of a resize plan: the stages, step by step. Internal to rebalance/.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rebalance/move_control.h"
#include "rebalance/rebalance_plan.h"
#include "rebalance/vector_rebalancer.h"
#include "shard/arc_copy.h"
#include "shard/cluster_control.h"

namespace annulus {

/// What outlives a blocked execution: which plan it is of, which of its arcs are done, and the account so far.
struct ResizeMemory {
  std::uint64_t before = 0;   ///< fingerprints and replicas of the two layouts
  std::uint64_t after = 0;
  std::size_t replicas_before = 0;
  std::size_t replicas_after = 0;
  std::vector<bool> copied;   ///< by move: copied and verified. Stays true: later writes go to the targets as well
  std::uint64_t to_drop = 0;  ///< pairs that leave, for the progress bar
  ResizeReport report;
};

/// Takes a cluster through the stages that are left, from whichever it is in. The caller excludes other executions.
/// Holds no snapshot while it waits: drains of others do not wait for its throttle.
class ResizeRun {
 public:
  ResizeRun(ClusterControl& cluster, const RebalanceOptions& options, MoveControl& control, const RebalancePlan& plan,
            ResizeMemory& memory)
      : cluster_(cluster), options_(options), control_(control), plan_(plan), memory_(memory), report_(memory.report) {}

  /// Counts keys, and the pairs that must move, key by key: by the rings' own walks, not by the plan's arcs.
  void count();

  /// Runs to the end, to an abort, or to where a shard is missing; fills the report.
  void run();

 private:
  using Moves = std::span<const std::size_t>;                   // positions in plan_.moves
  using DropEnds = std::pair<PlanNode, std::vector<PlanNode>>;  // who drops, who owns

  void count_page(const RecordPage& page);

  void copy_and_publish();
  void copy();
  void copy_chunk(const std::vector<PlanNode>& sources, const std::vector<PlanNode>& targets, Moves chunk);
  void account(const CopyCounts& counts, bool lossless, PlanNode source, const std::vector<PlanNode>& targets);
  void publish();
  void drop();
  std::uint64_t drop_chunk(PlanNode node, const std::vector<PlanNode>& owners, Moves chunk);
  void finish();
  void require_witness(const std::string& id, const std::vector<PlanNode>& owners) const;
  void check_before_drop(const Shard& old, std::vector<std::shared_ptr<Shard>> keepers, std::span<const Arc> arcs);
  void undo();

  template <typename Ends, typename Work>
  void by_chunks(const std::vector<std::pair<Ends, std::size_t>>& moves, Work&& work);
  std::vector<Arc> arcs_of(Moves chunk) const;
  std::vector<PlanNode> least_used_first(std::vector<PlanNode> nodes) const;
  std::vector<std::string> names(const std::vector<PlanNode>& nodes) const;
  PlanNode position(const std::string& id) const;
  std::shared_ptr<Shard> member(const std::string& id) const;
  std::shared_ptr<Shard> if_up(const std::string& id);     // after synchronising it, if it is behind; null if it is not up
  std::shared_ptr<Shard> require_up(const std::string& id);
  void warn(std::string message);

  ClusterControl& cluster_;
  const RebalanceOptions& options_;
  MoveControl& control_;
  const RebalancePlan& plan_;
  ResizeMemory& memory_;
  ResizeReport& report_;
  std::vector<std::string> uncleaned_;  // shards that hold what they are to drop and could not be reached
};

}  // namespace annulus
