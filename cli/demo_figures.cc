#include "cli/demo_figures.h"

#include <fmt/format.h>

#include <string_view>

#include "cli/table.h"

namespace annulus::cli {
namespace {

/// Collects the sentences of problems().
class Problems {
 public:
  /// `count` of `what` should be 0.
  void none(std::uint64_t count, std::string_view what) {
    if (count > 0) add(fmt::format("{} {}", with_commas(count), what));
  }
  void require(bool holds, const std::string& otherwise) {
    if (!holds) add(otherwise);
  }
  void proof(const Proof& proof, double recall_before) {
    none(proof.cluster.arcs_differing, "arcs differ between their owners");
    none(proof.cluster.strangers, "records are on shards that do not own them");
    none(proof.cluster.unowned, "arcs have no owner that is up");
    none(proof.cluster.not_up.size(), "shards are not up");
    oracle(proof.oracle);
    recall(proof.probe, recall_before);
    require(proof.probe.coverage >= 1, "searches do not cover all keys");
  }
  void oracle(const OracleComparison& oracle) {
    none(oracle.missing, "keys are lost");
    none(oracle.wrong, "keys have another vector than was written");
    none(oracle.resurrected, "erased keys are back");
  }
  void recall(const RecallProbe& probe, double before) {
    none(probe.duplicates, "keys came twice in an answer");
    require(probe.recall >= before - kRecallTolerance, fmt::format("recall@10 fell from {:.4f} to {:.4f}", before, probe.recall));
  }
  void cache(const CacheFigures& cache) {
    require(cache.report.outcome == ResizeOutcome::kCompleted,
            "the cache's warm-up ended as '" + std::string(to_string(cache.report.outcome)) + "'");
    require(cache.changed > 0, "no cache entry changed its node");
    none(cache.twin_hits, "cache entries that moved are hits without a warm-up");
    none(cache.changed - cache.hits, "cache entries that moved are misses in spite of the warm-up");
    none(cache.wrong, "cache entries have another value than was put");
  }
  void artifacts(const ArtifactProof& proof) {
    none(proof.missing, "artifacts cannot be read");
    none(proof.wrong, "artifacts have another content than was put");
    require(proof.check.ok() && proof.check.superseded == 0, "the artifacts' hosts do not hold what they should");
  }
  void writes(const WriteFigures& writes) {
    none(writes.stale, "reads did not see the write before them");
    none(writes.resurrected, "searches gave a key that was erased before");
  }

  void set_context(std::string context) { context_ = std::move(context); }
  std::vector<std::string> take() { return std::move(all_); }

 private:
  void add(const std::string& what) { all_.push_back(context_ + ": " + what); }

  std::string context_;
  std::vector<std::string> all_;
};

Json cache_json(const DemoFigures& figures) {
  Json resizes = Json::array();
  for (const ResizeFigures& resize : figures.resizes) {
    const CacheFigures& cache = resize.cache;
    resizes.push_back({{"change", resize.change},
                       {"changed", cache.changed},
                       {"moved", cache.report.moved},
                       {"lower_bound", cache.report.lower_bound},
                       {"dropped", cache.report.dropped},
                       {"bytes", cache.report.bytes},
                       {"hit_rate", cache.hit_rate()},
                       {"hit_rate_without_warm_up", cache.twin_hit_rate()},
                       {"wrong", cache.wrong},
                       {"seconds", cache.report.seconds}});
  }
  return {{"entries", figures.keys}, {"replicas", 1}, {"resizes", resizes}};
}

Json artifact_proof_json(const ArtifactProof& proof) {
  return {{"ok", proof.ok()},
          {"replicas", proof.check.replicas},
          {"damaged", proof.check.damaged},
          {"strangers", proof.check.strangers},
          {"missing", proof.missing},
          {"wrong", proof.wrong}};
}

Json artifacts_json(const DemoFigures& figures) {
  Json resizes = Json::array();
  for (const ResizeFigures& resize : figures.resizes) {
    const MoveReport& report = resize.artifacts.report;
    resizes.push_back({{"change", resize.change},
                       {"outcome", to_string(report.outcome)},
                       {"moved", report.moved},
                       {"lower_bound", report.lower_bound},
                       {"verified", report.verified},
                       {"lost", report.lost},
                       {"dropped", report.dropped},
                       {"bytes", report.bytes},
                       {"seconds", report.seconds},
                       {"proof", artifact_proof_json(resize.artifacts.proof)}});
  }
  Json document{
      {"artifacts", figures.artifacts}, {"bytes", figures.artifact_bytes}, {"replicas", figures.replicas}, {"resizes", resizes}};
  if (const auto& heal = figures.shard_down.heal) {
    document["damaged"] = {
        {"artifact", heal->artifact}, {"host", heal->host}, {"healed", heal->healed}, {"proof", artifact_proof_json(heal->proof)}};
  }
  return document;
}

Json load_json(const ResizeFigures& resize) {
  return {{"searches", resize.during.searches},
          {"incomplete", resize.during.incomplete},
          {"wrong", resize.during.wrong},
          {"recall_at_10", resize.during.recall_at_10},
          {"search_p99_before_ms", resize.before.p99_seconds * 1e3},
          {"search_p99_ms", resize.during.p99_seconds * 1e3},
          {"writes", resize.writes.all()},
          {"inserted", resize.writes.inserted},
          {"overwritten", resize.writes.overwritten},
          {"erased", resize.writes.erased},
          {"write_p99_ms", resize.writes.p99_seconds * 1e3},
          {"stale", resize.writes.stale + resize.writes.resurrected}};
}

Json proof_json(const Proof& proof) {
  return {{"ok", proof.cluster.ok() && proof.oracle.ok()},
          {"keys", proof.cluster.keys},
          {"copies", proof.cluster.copies},
          {"arcs", proof.cluster.arcs},
          {"arcs_differing", proof.cluster.arcs_differing},
          {"strangers", proof.cluster.strangers},
          {"missing", proof.oracle.missing},
          {"wrong", proof.oracle.wrong},
          {"resurrected", proof.oracle.resurrected}};
}

Json resize_json(const ResizeFigures& resize) {
  Json nodes = Json::array();
  for (const NodeFlow& node : resize.report.nodes) {
    nodes.push_back({{"id", node.id}, {"copied_in", node.copied_in}, {"copied_out", node.copied_out}, {"dropped", node.dropped}});
  }
  return {{"change", resize.change},
          {"outcome", to_string(resize.report.outcome)},
          {"moved_fraction", resize.report.moved_fraction},
          {"lower_bound_fraction", resize.report.lower_bound_fraction},
          {"ideal_fraction", resize.plan.ring.ideal_fraction},
          {"planned_fraction", resize.plan.ring.moved_fraction},
          {"moved", resize.report.moved},
          {"lower_bound", resize.report.lower_bound},
          {"already_there", resize.report.already_there},
          {"recopied", resize.report.recopied},
          {"bytes", resize.report.bytes},
          {"verified", resize.report.verified},
          {"lost", resize.lost()},
          {"duplicated", resize.duplicated()},
          {"recall_at_10", resize.proof.probe.recall},
          {"seconds", resize.report.seconds},
          {"nodes", nodes},
          {"load", load_json(resize)},
          {"proof", proof_json(resize.proof)}};
}

}  // namespace

std::vector<std::string> problems(const DemoFigures& figures) {
  Problems found;
  const double recall = figures.probe.recall;
  found.set_context("after loading");
  found.require(figures.probe.coverage >= 1, "searches do not cover all keys");
  found.none(figures.probe.duplicates, "keys came twice in an answer");
  for (const ResizeFigures& resize : figures.resizes) {
    found.set_context(resize.change);
    found.require(resize.report.outcome == ResizeOutcome::kCompleted,
                  fmt::format("the resize ended as '{}': {}", to_string(resize.report.outcome), resize.report.message));
    found.none(resize.report.lost, "records were missing at their new owners");
    found.none(resize.during.incomplete, "answers were incomplete");
    found.none(resize.during.duplicates, "keys came twice in an answer during the resize");
    found.none(resize.during.wrong, "neighbours had a wrong distance");
    found.writes(resize.writes);
    found.proof(resize.proof, recall);
    found.cache(resize.cache);
    found.require(resize.artifacts.report.outcome == ResizeOutcome::kCompleted,
                  fmt::format("the artifacts' resize ended as '{}': {}", to_string(resize.artifacts.report.outcome),
                              resize.artifacts.report.message));
    found.none(resize.artifacts.report.lost, "artifacts were missing at their new hosts");
    found.artifacts(resize.artifacts.proof);
  }
  const ShardDownFigures& down = figures.shard_down;
  if (figures.replicas > 1) {
    found.set_context(down.shard + " down");
    found.require(down.probe.coverage >= 1, fmt::format("answers cover {} of the keys", percent(down.probe.coverage)));
    found.recall(down.probe, recall);
    found.oracle(down.oracle);
    found.writes(down.writes);
  }
  found.set_context(down.shard + " back");
  found.require(down.sync.up, "it does not serve: " + down.sync.waits_for);
  found.proof(down.proof, recall);
  if (down.heal) {
    found.set_context("a damaged artifact");
    found.require(down.heal->healed, "'" + down.heal->artifact + "' was not healed on " + down.heal->host);
    found.artifacts(down.heal->proof);
  }
  return found.take();
}

Json to_json(const DemoFigures& figures) {
  Json resizes = Json::array();
  for (const ResizeFigures& resize : figures.resizes) resizes.push_back(resize_json(resize));
  const ShardDownFigures& down = figures.shard_down;
  const std::vector<std::string> wrong = problems(figures);
  return {{"ok", wrong.empty()},
          {"problems", wrong},
          {"index", figures.index},
          {"shards", figures.shards},
          {"replicas", figures.replicas},
          {"dimension", figures.dimension},
          {"keys", figures.keys},
          {"queries", figures.queries},
          {"fill_seconds", figures.fill_seconds},
          {"recall_at_10", figures.probe.recall},
          {"resizes", resizes},
          {"shard_down",
           {{"shard", down.shard},
            {"coverage", down.probe.coverage},
            {"recall_at_10", down.probe.recall},
            {"equal_answers", down.equal_answers},
            {"writes", down.writes.all()},
            {"back", down.sync.up},
            {"arcs_checked", down.sync.arcs_checked},
            {"arcs_differing", down.sync.arcs_differing},
            {"copied", down.sync.copy.copied + down.sync.copy.copied_tombstones},
            {"sync_seconds", down.sync_seconds},
            {"recall_at_10_after", down.proof.probe.recall},
            {"proof", proof_json(down.proof)}}},
          {"cache", cache_json(figures)},
          {"artifacts", artifacts_json(figures)},
          {"seconds", figures.seconds}};
}

}  // namespace annulus::cli
