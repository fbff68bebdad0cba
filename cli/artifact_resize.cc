#include "cli/artifact_resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/artifact_cluster.h"
#include "cli/node_argument.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "core/error.h"
#include "core/key.h"
#include "rebalance/artifact_rebalancer.h"

namespace annulus::cli {
namespace {

struct ResizeFlags {
  std::string root;
  std::vector<std::string> add;
  std::vector<std::string> remove;
  std::vector<std::string> weights;
  std::size_t replicas = 0;  // 0: as it is
  std::uint64_t max_rate = 0;
  bool abort = false;
  bool json = false;

  bool changes() const noexcept { return !add.empty() || !remove.empty() || !weights.empty() || replicas > 0; }
};

ArtifactLayout changed(const ArtifactLayout& now, const ResizeFlags& flags) {
  ArtifactLayout next = now;
  const auto host_of = [&](const std::string& id) {
    const auto at = std::ranges::find_if(next.hosts, [&](const ArtifactLayout::Host& host) { return host.node.id == id; });
    if (at == next.hosts.end()) throw Error(ErrorCode::kNotFound, "there is no host '" + display_key(id) + "' in " + flags.root);
    return at;
  };
  for (const std::string& id : flags.remove) next.hosts.erase(host_of(id));
  for (const std::string& text : flags.weights) {
    const std::size_t equals = text.rfind('=');
    if (equals == std::string::npos) throw CLI::ValidationError("--weight '" + text + "': expected ID=WEIGHT");
    host_of(text.substr(0, equals))->node.weight = parse_weight(text.substr(equals + 1), text);
  }
  for (const std::string& text : flags.add) {
    const ArtifactLayout::Host added = parse_artifact_host(text);
    const auto is_it = [&](const ArtifactLayout::Host& host) { return host.node.id == added.node.id; };
    if (std::ranges::any_of(now.hosts, is_it)) {
      throw Error(ErrorCode::kAlreadyExists,
                  "host '" + display_key(added.node.id) +
                      "' is in the store already; to give it another folder, remove it in a resize of its own, "
                      "and then add it");
    }
    next.hosts.push_back(added);
  }
  if (flags.replicas > 0) next.replicas = flags.replicas;
  if (next.hosts.empty()) throw CLI::ValidationError("no host would be left; add one, or keep one");
  return next;
}

Json json_of(const MoveReport& report) {
  Json nodes = Json::array();
  for (const NodeFlow& node : report.nodes) {
    nodes.push_back(
        {{"id", display_key(node.id)}, {"copied_in", node.copied_in}, {"copied_out", node.copied_out}, {"dropped", node.dropped}});
  }
  return {{"outcome", to_string(report.outcome)},
          {"stage", to_string(report.stage)},
          {"artifacts", report.keys},
          {"moved", report.moved},
          {"lower_bound", report.lower_bound},
          {"moved_fraction", report.moved_fraction},
          {"lower_bound_fraction", report.lower_bound_fraction},
          {"already_there", report.already_there},
          {"verified", report.verified},
          {"lost", report.lost},
          {"dropped", report.dropped},
          {"bytes", report.bytes},
          {"seconds", report.seconds},
          {"nodes", nodes},
          {"warnings", report.warnings}};
}

void print_report(const MoveReport& report, const ResizeFlags& flags) {
  if (flags.json) return print_json(json_of(report));
  Table table({{"host"}, {"received", Align::kRight}, {"sent", Align::kRight}, {"dropped", Align::kRight}});
  for (const NodeFlow& node : report.nodes) {
    table.add_row({display_key(node.id), with_commas(node.copied_in), with_commas(node.copied_out), with_commas(node.dropped)});
  }
  print(table.to_string() + "\n");
  for (const std::string& warning : report.warnings) print("note: " + warning + "\n");
  print(fmt::format(
      "{}: {} replicas moved ({}) in {}, {} verified by their hashes, {} dropped, {} lost; minimum {}, already there {}\n",
      to_string(report.outcome), with_commas(report.moved), bytes_text(static_cast<double>(report.bytes)),
      duration_text(report.seconds), with_commas(report.verified), with_commas(report.dropped), report.lost,
      with_commas(report.lower_bound), with_commas(report.already_there)));
}

/// From `from` to `to`; where it stands is in cluster.json before the disk shows it.
MoveReport move(const ResizeFlags& flags, const ArtifactLayout& from, const ArtifactLayout& to) {
  const auto store = open_artifact_layout(flags.root, from);
  declare_artifact_layout(*store, flags.root, from, to);
  ArtifactRebalancer rebalancer(*store, {.max_bytes_per_second = flags.max_rate});
  std::optional<ProgressBar> bar;
  std::string shown;
  rebalancer.set_progress([&](const MoveProgress& progress) {
    if (shown != progress.stage) {
      shown = progress.stage;
      bar.reset();
      bar.emplace(shown, progress.total, "replicas");
      // The target serves, and nothing has been dropped yet.
      if (shown == "dropping") save_artifact_cluster(flags.root, {to, std::nullopt, from});
    }
    bar->update(progress.done, progress.total);
  });
  const RebalancePlan plan = rebalancer.plan();
  MoveReport report = rebalancer.execute(plan, plan.before);
  if (report.outcome == ResizeOutcome::kBlocked) {
    throw Error(ErrorCode::kUnavailable, report.message + ". To go on: annulus artifact resize " + flags.root);
  }
  save_artifact_cluster(flags.root, {to, std::nullopt, std::nullopt});
  return report;
}

/// A resize died when `cluster` served already. What it did not drop is at hosts that do not own it, or that have left: a repair
/// takes it from them, after every owner has been found to hold what is newest.
void clean_up(const ResizeFlags& flags, const ArtifactCluster& cluster) {
  const auto store = open_artifact_layout(flags.root, cluster);
  for (const ArtifactLayout::Host& host : cluster.former->hosts) {
    const auto is_it = [&](const ArtifactLayout::Host& other) { return other.node.id == host.node.id; };
    if (std::ranges::none_of(cluster.hosts, is_it)) store->attach_node(open_artifact_host(flags.root, host));
  }
  const ArtifactCheckReport report = store->repair();
  if (report.lost > 0) {
    throw Error(ErrorCode::kDataLoss,
                fmt::format("{} artifacts have no whole replica on the hosts that serve; bring the hosts of before "
                            "back and run annulus artifact resize {} again",
                            report.lost, flags.root));
  }
  save_artifact_cluster(flags.root, {cluster, std::nullopt, std::nullopt});
  if (flags.json) {
    Json problems = Json::array();
    for (const ArtifactHostError& problem : report.problems)
      problems.push_back({{"host", display_key(problem.host)}, {"message", problem.message}});
    print_json({{"outcome", to_string(ResizeOutcome::kCompleted)},
                {"stage", to_string(ResizeStage::kNone)},
                {"artifacts", report.artifacts},
                {"healed", report.healed},
                {"dropped", report.removed},
                {"problems", problems}});
    return;
  }
  for (const ArtifactHostError& problem : report.problems)
    print(fmt::format("note: host '{}': {}\n", display_key(problem.host), problem.message));
  print(fmt::format("completed: the new hosts served already; {} healed, {} dropped\n", with_commas(report.healed),
                    with_commas(report.removed)));
}

void abort_resize(const ResizeFlags& flags, const ArtifactCluster& cluster) {
  if (!cluster.target) {
    throw Error(ErrorCode::kFailedPrecondition,
                cluster.former ? "too late to abort: the new hosts serve already; finish with annulus artifact resize " + flags.root
                               : "no resize of " + flags.root + " is under way");
  }
  {
    const OpenArtifactCluster open = open_artifact_cluster(flags.root);
    ArtifactRebalancer(*open.store).abort();
    if (open->stage() != ResizeStage::kNone) {
      throw Error(ErrorCode::kUnavailable,
                  "a host that is out of reach may hold the only copy of something; bring it up and abort again");
    }
  }
  save_artifact_cluster(flags.root, {cluster, std::nullopt, std::nullopt});
  if (flags.json) {
    print_json({{"outcome", to_string(ResizeOutcome::kAborted)}});
  } else {
    print("aborted: the old hosts serve as before\n");
  }
}

/// A host that joins brings nothing: what it holds may have been erased or replaced since.
void require_empty(const ResizeFlags& flags, const ArtifactLayout& now, const ArtifactLayout& next) {
  for (const ArtifactLayout::Host& host : next.hosts) {
    const auto is_it = [&](const ArtifactLayout::Host& other) { return other.node.id == host.node.id; };
    if (std::ranges::any_of(now.hosts, is_it)) continue;
    const std::size_t held = open_artifact_host(flags.root, host)->list().size();
    if (held == 0) continue;
    throw Error(
        ErrorCode::kFailedPrecondition,
        fmt::format(
            "host '{}' holds {} versions of artifacts already, which may be older than they know; empty its folder, or choose "
            "another",
            display_key(host.node.id), with_commas(held)));
  }
}

void resize(const ResizeFlags& flags) {
  (void)load_artifact_cluster(flags.root);
  const ArtifactResizeLock lock(flags.root);
  ArtifactCluster cluster = load_artifact_cluster(flags.root);
  if (flags.abort) return abort_resize(flags, cluster);
  const bool under_way = cluster.target || cluster.former;
  if (under_way && flags.changes()) {
    throw Error(ErrorCode::kFailedPrecondition, "a resize of " + flags.root +
                                                    " is under way; finish it first, with annulus artifact resize " + flags.root +
                                                    (cluster.target ? ", or take it back with --abort" : ""));
  }
  if (!under_way && !flags.changes()) {
    throw CLI::ValidationError("nothing to change: give --add, --remove, --weight or --replicas");
  }
  if (cluster.former) return clean_up(flags, cluster);
  if (!under_way) {
    const ArtifactLayout next = changed(cluster, flags);
    make_artifact_hosts(flags.root, next);
    require_empty(flags, cluster, next);
    cluster.target = next;
    save_artifact_cluster(flags.root, cluster);
  }
  print_report(move(flags, cluster, *cluster.target), flags);
}

}  // namespace

void add_artifact_resize(CLI::App& artifact) {
  const auto flags = std::make_shared<ResizeFlags>();
  CLI::App& command = *artifact.add_subcommand(
      "resize", "Add, remove or re-weight hosts, and move what that moves; without changes: go on with a resize that was stopped");
  command.add_option("ROOT", flags->root, "The store's folder, which holds cluster.json")->required();
  command.add_option("--add", flags->add, "A new host: ID[:WEIGHT[:ZONE]][=FOLDER], without FOLDER in ROOT/ID; repeat it for more")
      ->allow_extra_args(false);
  command.add_option("--remove", flags->remove, "A host that leaves; repeat it for more")->allow_extra_args(false);
  command.add_option("--weight", flags->weights, "Another weight of a host: ID=WEIGHT; repeat it for more")
      ->allow_extra_args(false);
  command.add_option("--replicas", flags->replicas, "Hosts that hold each artifact from now on")->check(CLI::Range(1, 1000));
  command.add_option("--max-rate", flags->max_rate, "Bytes a second, as 100MB; 0: no limit")->transform(CLI::AsSizeValue(true));
  command.add_flag("--abort", flags->abort, "Take back a resize that was stopped before the new hosts serve");
  command.add_flag("--json", flags->json, "Print one JSON document");
  command.callback([flags] { resize(*flags); });
}

}  // namespace annulus::cli
