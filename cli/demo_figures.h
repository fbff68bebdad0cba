// What the demo measured: the fields of its JSON document, and what counts as a failure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/demo_artifacts.h"
#include "cli/demo_cache.h"
#include "cli/demo_load.h"
#include "cli/demo_oracle.h"
#include "cli/output.h"
#include "rebalance/cluster_verifier.h"
#include "rebalance/vector_rebalancer.h"

namespace annulus::cli {

/// What was found when the cluster was quiet again.
struct Proof {
  VerifyReport cluster;     ///< by the library: the digests of all owners
  OracleComparison oracle;  ///< by the demo: every key read
  RecallProbe probe;        ///< by the demo: exact answers
};

struct ResizeFigures {
  std::string change;  ///< "shard-5 joins"
  PlanStats plan;
  ResizeReport report;
  SearchFigures before;  ///< while nothing moved yet, under the same load
  SearchFigures during;
  WriteFigures writes;   ///< during the resize
  Proof proof;
  CacheFigures cache;          ///< the same change of the cache's nodes
  ArtifactFigures artifacts;   ///< and of the artifacts' hosts

  std::uint64_t lost() const noexcept { return report.lost + proof.oracle.missing; }
  /// Keys that came twice in an answer, and records on nodes that do not own them.
  std::uint64_t duplicated() const noexcept { return during.duplicates + proof.probe.duplicates + proof.cluster.strangers; }
};

struct ShardDownFigures {
  std::string shard;
  RecallProbe probe;              ///< with the shard down
  std::size_t equal_answers = 0;  ///< of the queries: answers that are those of before, key by key
  OracleComparison oracle;        ///< with the shard down; empty if there is one replica only
  WriteFigures writes;            ///< with the shard down
  SyncReport sync;                ///< when it came back
  double sync_seconds = 0;
  Proof proof;                    ///< afterwards
  std::optional<HealFigures> heal;  ///< of an artifact; nothing if there is one replica only
};

struct DemoFigures {
  std::string index;
  std::size_t shards = 0;
  std::size_t replicas = 0;
  std::size_t dimension = 0;
  std::uint64_t keys = 0;
  std::size_t queries = 0;
  double fill_seconds = 0;
  std::uint64_t artifacts = 0;
  std::uint64_t artifact_bytes = 0;
  RecallProbe probe;  ///< when all was loaded
  std::vector<ResizeFigures> resizes;
  ShardDownFigures shard_down;
  double seconds = 0;
};

/// Recall may differ by this much before and after a change: a graph that took its rows in another order is another graph.
inline constexpr double kRecallTolerance = 0.01;

/// What went wrong, a sentence each; empty when nothing was lost, duplicated, wrong or incomplete and recall is as before.
/// With one replica an answer with a shard down is incomplete by nature, and only has to say so.
std::vector<std::string> problems(const DemoFigures& figures);

/// The document of `annulus demo --json`.
Json to_json(const DemoFigures& figures);

}  // namespace annulus::cli
