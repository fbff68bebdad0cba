// The copying of a warm-up: from one former layout to the one that serves. Internal to rebalance/.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "cache/distributed_cache.h"
#include "rebalance/cache_rebalancer.h"
#include "rebalance/key_catalogue.h"
#include "rebalance/staged_move.h"

namespace annulus {

/// One plan's worth. Nothing in it blocks: nodes out of reach cost misses.
class CacheWarmUp {
 public:
  CacheWarmUp(DistributedCache& cache, const RebalanceOptions& options, MoveControl& control, RebalancePlan plan,
              CacheMoveReport& report);

  /// Lists what the former owners hold of the arcs that moved; counts it into the report.
  void list_all();
  /// The same for `keys`, without asking the nodes.
  void list(std::span<const KeyView> keys);
  /// Copies it to the nodes that gained it. Throws Error(kAborted).
  void copy();

  std::uint64_t keys() const noexcept { return keys_; }        ///< listed: live, at their former primaries
  std::uint64_t to_drop() const noexcept { return to_drop_; }  ///< pairs

 private:
  void list_node(PlanNode node);
  void count();
  void copy_chunk(const std::vector<PlanNode>& sources, const std::vector<PlanNode>& targets, MoveChunk chunk);
  std::size_t page_size() const;

  DistributedCache& cache_;
  const RebalanceOptions& options_;
  MoveControl& control_;
  const RebalancePlan plan_;
  CacheMoveReport& report_;
  std::map<PlanNode, ArcSet> gives_;            // by source: the arcs that others gain
  std::map<PlanNode, KeyCatalogue> catalogue_;  // by source: keys in those arcs
  std::uint64_t keys_ = 0;
  std::uint64_t to_drop_ = 0;
};

}  // namespace annulus
