// Counts what a change must move, item by item. Internal to rebalance/.
#pragma once

#include <cstdint>
#include <vector>

#include "rebalance/rebalance_plan.h"
#include "ring/token.h"

namespace annulus {

/// Counts (key, node) pairs by the rings' own walks, not by the plan's arcs: an independent account.
class PairCounter {
 public:
  explicit PairCounter(const RebalancePlan& plan);

  /// Counts a live key. O(R^2) expected.
  void add(Token token);

  std::uint64_t keys() const noexcept { return keys_; }
  std::uint64_t to_copy() const noexcept { return to_copy_; }  ///< pairs in the new replica sets and not in the old ones
  std::uint64_t to_drop() const noexcept { return to_drop_; }  ///< pairs in the old replica sets and not in the new ones

 private:
  ConsistentHasher before_;
  ConsistentHasher after_;
  std::vector<PlanNode> old_name_;  // by NodeIndex
  std::vector<PlanNode> new_name_;
  std::vector<NodeIndex> old_set_;
  std::vector<NodeIndex> new_set_;
  std::uint64_t keys_ = 0;
  std::uint64_t to_copy_ = 0;
  std::uint64_t to_drop_ = 0;
};

}  // namespace annulus
