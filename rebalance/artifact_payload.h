// How artifacts are copied, published and dropped. Internal to rebalance/.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "artifact/artifact_distributor.h"
#include "rebalance/key_catalogue.h"
#include "rebalance/staged_move.h"

namespace annulus {

/// The artifacts of a distributor's hosts, for one execution of a resize.
class ArtifactPayload final : public StagedPayload {
 public:
  ArtifactPayload(ArtifactDistributor& artifacts, MoveControl& control, const RebalancePlan& plan, MoveMemory& memory,
                  MoveReport& report)
      : artifacts_(artifacts), control_(control), plan_(plan), memory_(memory), report_(report) {}

  ResizeStage stage() const override { return artifacts_.stage(); }
  void count() override;
  void copy(const std::vector<PlanNode>& sources, const std::vector<PlanNode>& targets, MoveChunk chunk) override;
  void publish() override;
  void begin_abort() override;
  std::uint64_t drop(PlanNode node, const std::vector<PlanNode>& owners, MoveChunk chunk) override;
  void finish() override { artifacts_.finish(); }

 private:
  /// What one host holds: its newest version of each name, and the names by token.
  struct Holdings {
    bool in_reach = false;
    std::string problem;  // unless it is in reach
    std::map<std::string, ArtifactInfo, std::less<>> newest;
    KeyCatalogue names;
  };

  const Holdings& holdings(PlanNode node);
  void copy_artifact(const std::string& name, const std::vector<PlanNode>& sources, PlanNode target);
  bool drop_artifact(const std::string& name, const std::string& host, const std::vector<std::string>& keepers);
  void warn_of_remains(const std::string& host, const std::string& problem);
  std::vector<Arc> arcs_of(MoveChunk chunk) const;

  ArtifactDistributor& artifacts_;
  MoveControl& control_;
  const RebalancePlan& plan_;
  MoveMemory& memory_;
  MoveReport& report_;
  std::map<PlanNode, Holdings> holdings_;  // as of the stage; asked once
};

}  // namespace annulus
