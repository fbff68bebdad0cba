#include "rebalance/pair_counter.h"

#include <algorithm>

namespace annulus {
namespace {

std::vector<PlanNode> plan_nodes_of(const ConsistentHasher& ring, const RebalancePlan& plan) {
  std::vector<PlanNode> nodes;
  for (const Node& node : ring.nodes()) nodes.push_back(plan.position(node.id));
  return nodes;
}

}  // namespace

// The sets are no larger than there are nodes: a cluster may ask for as many replicas as it likes.
PairCounter::PairCounter(const RebalancePlan& plan)
    : before_(plan.before),
      after_(plan.after),
      old_name_(plan_nodes_of(before_, plan)),
      new_name_(plan_nodes_of(after_, plan)),
      old_set_(std::min(plan.replicas_before, before_.num_nodes())),
      new_set_(std::min(plan.replicas_after, after_.num_nodes())) {}

void PairCounter::add(Token token) {
  const std::size_t olds = before_.replicas(token, old_set_);
  const std::size_t news = after_.replicas(token, new_set_);
  std::size_t stays = 0;
  for (std::size_t a = 0; a < news; ++a) {
    for (std::size_t b = 0; b < olds; ++b) stays += new_name_[new_set_[a]] == old_name_[old_set_[b]] ? 1 : 0;
  }
  ++keys_;
  to_copy_ += news - stays;
  to_drop_ += olds - stays;
}

}  // namespace annulus
