// How vectors are copied, published and dropped. Internal to rebalance/.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rebalance/staged_move.h"
#include "rebalance/vector_rebalancer.h"
#include "shard/arc_copy.h"
#include "shard/cluster_control.h"

namespace annulus {

/// The records of a router's shards, for one execution of a resize.
/// Holds no snapshot while it waits: drains of others do not wait for its throttle.
class VectorPayload final : public StagedPayload {
 public:
  VectorPayload(ClusterControl& cluster, std::size_t page_records, MoveControl& control, const RebalancePlan& plan,
                MoveMemory& memory, ResizeReport& report)
      : cluster_(cluster), page_records_(page_records), control_(control), plan_(plan), memory_(memory), report_(report) {}

  ResizeStage stage() const override { return cluster_.stage(); }
  void count() override;
  /// From one source after the other until one can be read to the end and is dominated.
  void copy(const std::vector<PlanNode>& sources, const std::vector<PlanNode>& targets, MoveChunk chunk) override;
  void publish() override;
  void begin_abort() override { cluster_.begin_abort(); }
  std::uint64_t drop(PlanNode node, const std::vector<PlanNode>& owners, MoveChunk chunk) override;
  void finish() override;

 private:
  void account(const CopyCounts& counts, bool lossless, PlanNode source, const std::vector<PlanNode>& targets);
  void require_witness(const std::string& id, const std::vector<PlanNode>& owners) const;
  void check_before_drop(const Shard& old, std::vector<std::shared_ptr<Shard>> keepers, std::span<const Arc> arcs);

  std::vector<Arc> arcs_of(MoveChunk chunk) const;
  std::vector<PlanNode> least_used_first(std::vector<PlanNode> nodes) const;
  std::vector<std::string> names(const std::vector<PlanNode>& nodes) const;
  std::shared_ptr<Shard> member(const std::string& id) const;
  std::shared_ptr<Shard> if_up(const std::string& id);  // after synchronising it, if it is behind; null if it is not up
  std::shared_ptr<Shard> require_up(const std::string& id);

  ClusterControl& cluster_;
  const std::size_t page_records_;
  MoveControl& control_;
  const RebalancePlan& plan_;
  MoveMemory& memory_;
  ResizeReport& report_;
  std::vector<std::string> uncleaned_;  // shards that hold what they are to drop and could not be reached
};

}  // namespace annulus
