#include "rebalance/rebalance_plan.h"

#include <algorithm>
#include <cmath>

#include "ring/replica_table.h"

namespace annulus {
namespace {

std::vector<std::string> union_of_ids(const ConsistentHasher& a, const ConsistentHasher& b) {
  std::vector<std::string> ids;
  for (const Node& node : a.nodes()) ids.push_back(node.id);
  for (const Node& node : b.nodes()) ids.push_back(node.id);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// By NodeIndex of `ring`: the position among the plan's nodes.
std::vector<PlanNode> positions(const ConsistentHasher& ring, const RebalancePlan& plan) {
  std::vector<PlanNode> at;
  for (const Node& node : ring.nodes()) at.push_back(plan.position(node.id));
  return at;
}

std::vector<PlanNode> mapped(const std::vector<NodeIndex>& nodes, const std::vector<PlanNode>& at) {
  std::vector<PlanNode> plan_nodes;
  for (const NodeIndex node : nodes) plan_nodes.push_back(at[node]);
  return plan_nodes;
}

std::vector<std::string> warnings_of(const ConsistentHasher& ring, std::size_t replicas) {
  std::vector<std::string> warnings;
  if (ring.num_nodes() == 0) return {"no node is left: nothing can be stored"};
  const ReplicaTable table(ring, replicas);
  if (table.node_shortfall() > 0) {
    warnings.push_back("keys get " + std::to_string(table.num_replicas()) + " replicas of " + std::to_string(replicas) +
                       ": there are only " + std::to_string(ring.num_nodes()) + " nodes");
  }
  if (table.zone_shortfall() > 0) {
    warnings.push_back("replicas of a key share a zone: " + std::to_string(ring.num_zones()) + " zones for " +
                       std::to_string(table.num_replicas()) + " replicas; a zone that fails may take more than one of them");
  }
  return warnings;
}

}  // namespace

PlanNode RebalancePlan::position(std::string_view id) const noexcept {
  return static_cast<PlanNode>(std::lower_bound(nodes.begin(), nodes.end(), id) - nodes.begin());
}

RebalancePlan RebalancePlanner::plan(const ConsistentHasher& before, std::size_t replicas_before, const ConsistentHasher& after,
                                     std::size_t replicas_after) {
  const RingDiff difference = diff(before, replicas_before, after, replicas_after);
  RebalancePlan plan{.before = before,
                     .after = after,
                     .replicas_before = replicas_before,
                     .replicas_after = replicas_after,
                     .nodes = union_of_ids(before, after),
                     .moves = {},
                     .warnings = warnings_of(after, replicas_after)};
  const std::vector<PlanNode> old_at = positions(before, plan);
  const std::vector<PlanNode> new_at = positions(after, plan);
  for (const ArcChange& change : difference.changes) {
    if (change.gained.empty() && change.lost.empty()) continue;
    plan.moves.push_back({.arc = change.arc,
                          .sources = mapped(change.old_set, old_at),
                          .targets = mapped(change.gained, new_at),
                          .drops = mapped(change.lost, old_at),
                          .owners = mapped(change.new_set, new_at)});
  }
  return plan;
}

KeyPlan RebalancePlanner::plan_moved(std::span<const KeyView> keys, const ConsistentHasher& before, const ConsistentHasher& after) {
  constexpr std::size_t kBlock = 1024;
  KeyPlan plan;
  plan.keys = keys.size();
  const auto name = [](const ConsistentHasher& ring, NodeIndex node) {
    return node == kNoNode ? std::string() : ring.node(node).id;
  };
  std::vector<NodeIndex> old_owner(kBlock);
  std::vector<NodeIndex> new_owner(kBlock);
  for (std::size_t begin = 0; begin < keys.size(); begin += kBlock) {
    const auto block = keys.subspan(begin, std::min(kBlock, keys.size() - begin));
    before.primaries(block, std::span(old_owner).first(block.size()));
    after.primaries(block, std::span(new_owner).first(block.size()));
    for (std::size_t i = 0; i < block.size(); ++i) {
      const std::string from = name(before, old_owner[i]);
      const std::string to = name(after, new_owner[i]);
      if (from != to) plan.moves.push_back({begin + i, from, to});
    }
  }
  plan.moved_fraction = keys.empty() ? 0.0 : static_cast<double>(plan.moves.size()) / static_cast<double>(keys.size());
  return plan;
}

PlanStats RebalancePlanner::stats(const RebalancePlan& plan, std::uint64_t keys, double bytes_per_key) {
  PlanStats stats;
  stats.ring = diff(plan.before, plan.replicas_before, plan.after, plan.replicas_after).stats();
  stats.arcs = plan.moves.size();
  const double pairs = static_cast<double>(keys) * static_cast<double>(plan.replicas_after);
  stats.estimated_moves = static_cast<std::uint64_t>(std::llround(stats.ring.moved_fraction * pairs));
  stats.estimated_bytes = static_cast<std::uint64_t>(std::llround(stats.ring.moved_fraction * pairs * bytes_per_key));
  return stats;
}

}  // namespace annulus
