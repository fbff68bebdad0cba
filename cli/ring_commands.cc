#include "cli/ring_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/ring_bench.h"
#include "cli/node_argument.h"
#include "cli/output.h"
#include "cli/table.h"
#include "core/key.h"
#include "ring/hash_ring.h"
#include "ring/ring_diff.h"
#include "ring/ring_stats.h"

namespace annulus::cli {
namespace {

/// What the commands share: which ring, and how to print.
struct RingFlags {
  std::size_t count = 0;
  std::vector<std::string> nodes;
  RingOptions options;
  std::size_t replicas = 1;
  bool json = false;
};

ConsistentHasher make_ring(const RingFlags& flags) {
  std::vector<Node> nodes;
  for (std::size_t i = 0; i < flags.count; ++i) nodes.push_back({"node-" + std::to_string(i), 1.0, ""});
  for (const std::string& text : flags.nodes) nodes.push_back(parse_node(text));
  if (nodes.empty()) throw CLI::RequiredError("--nodes N or --node ID");
  return ConsistentHasher(flags.options, nodes);
}

CLI::Option* add_list(CLI::App& command, const std::string& name, std::vector<std::string>& values, const std::string& help) {
  return command.add_option(name, values, help)->allow_extra_args(false);
}

void add_ring_flags(CLI::App& command, RingFlags& flags) {
  command.add_option("--nodes", flags.count, "That many nodes, node-0, node-1, ..., of weight 1")->check(CLI::Range(1, 1'000'000));
  add_list(command, "--node", flags.nodes, "A node: ID, ID:WEIGHT or ID:WEIGHT:ZONE; repeat it for more");
  command.add_option("--vnodes", flags.options.virtual_nodes_per_weight, "Virtual nodes of a node of weight 1")
      ->check(CLI::Range(std::uint32_t{1}, kMaxTokensPerNode))
      ->capture_default_str();
  command.add_option("--replicas", flags.replicas, "Nodes that hold each key")->check(CLI::Range(1, 1000))->capture_default_str();
  command.add_option("--seed", flags.options.seed, "Seed of the ring")->capture_default_str();
  command.add_flag("--json", flags.json, "Print one JSON document");
}

void add_probes(CLI::App& command, RingFlags& flags) {
  command.add_option("--probes", flags.options.probes, "Positions tried for each key")
      ->check(CLI::Range(std::uint32_t{1}, kMaxProbes))
      ->capture_default_str();
}

std::string hex(std::uint64_t value) { return fmt::format("{:016x}", value); }

std::string counted(std::size_t n, const std::string& noun) { return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s"); }

void print_stats(const RingFlags& flags) {
  const RingStats stats = ring_stats(make_ring(flags), flags.replicas);
  const bool exact = stats.method == ShareMethod::kExact;
  if (flags.json) {
    Json nodes = Json::array();
    for (const NodeShare& node : stats.nodes) {
      nodes.push_back({{"id", display_key(node.id)},
                       {"weight", node.weight},
                       {"zone", display_key(node.zone)},
                       {"tokens", node.tokens},
                       {"share", node.share},
                       {"replica_share", node.replica_share}});
    }
    print_json({{"nodes", nodes},
                {"tokens", stats.tokens},
                {"peak_to_average", stats.peak_to_average},
                {"stddev", stats.stddev},
                {"theory_stddev", stats.theory_stddev},
                {"replicas", stats.replicas},
                {"fingerprint", hex(stats.fingerprint)},
                {"bytes_per_token", stats.bytes_per_token},
                {"exact", exact},
                {"samples", stats.samples}});
    return;
  }
  Table table({{"node"},
               {"weight", Align::kRight},
               {"zone"},
               {"tokens", Align::kRight},
               {"share", Align::kRight},
               {"of replicas", Align::kRight}});
  for (const NodeShare& node : stats.nodes) {
    table.add_row({display_key(node.id), fmt::format("{:g}", node.weight), display_key(node.zone), with_commas(node.tokens),
                   percent(node.share, 2), percent(node.replica_share, 2)});
  }
  print(table.to_string());
  print(fmt::format("\n  {} tokens at {:.1f} bytes, {} nodes, {} replicas, fingerprint {}\n", with_commas(stats.tokens),
                    stats.bytes_per_token, with_commas(stats.nodes.size()), stats.replicas, hex(stats.fingerprint)));
  print(fmt::format("  peak to average {:.3f}, spread {} of the fair share (theory {})\n", stats.peak_to_average,
                    percent(stats.stddev, 2), percent(stats.theory_stddev, 2)));
  if (!exact) print(fmt::format("  shares are sampled from {} tokens\n", with_commas(stats.samples)));
}

void print_lookup(const RingFlags& flags, const std::vector<std::string>& keys) {
  const ConsistentHasher ring = make_ring(flags);
  Json rows = Json::array();
  Table table({{"key"}, {"token", Align::kRight}, {"replicas"}, {"short of"}});
  for (const std::string& key : keys) {
    validate_key(key, KeyKind::kBytes);
    const Token token = token_of_key(key);
    const ReplicaSet set = ring.replica_set(token, flags.replicas);
    std::vector<std::string> names;
    for (const NodeIndex node : set.nodes) names.push_back(display_key(ring.node(node).id));
    rows.push_back({{"key", display_key(key)},
                    {"token", std::to_string(token)},
                    {"replicas", names},
                    {"node_shortfall", set.node_shortfall},
                    {"zone_shortfall", set.zone_shortfall}});
    std::string missing;
    if (set.node_shortfall > 0) missing = counted(set.node_shortfall, "node");
    if (set.zone_shortfall > 0) missing += (missing.empty() ? "" : ", ") + counted(set.zone_shortfall, "zone");
    table.add_row({display_key(key), std::to_string(token), fmt::format("{}", fmt::join(names, " ")), missing});
  }
  if (flags.json) {
    print_json({{"keys", rows}});
  } else {
    print(table.to_string());
  }
}

/// The nodes that change most; --json has all.
constexpr std::size_t kShownChanges = 20;

struct Change {
  std::vector<std::string> add;
  std::vector<std::string> remove;
  std::vector<std::string> weight;
};

ConsistentHasher changed(ConsistentHasher ring, const Change& change) {
  for (const std::string& id : change.remove) ring.remove_node(id);
  for (const std::string& text : change.weight) {
    const std::size_t equals = text.rfind('=');
    if (equals == std::string::npos) throw CLI::ValidationError(fmt::format("'{}': a new weight is ID=WEIGHT", text));
    ring.set_weight(text.substr(0, equals), parse_weight(text.substr(equals + 1), text));
  }
  for (const std::string& text : change.add) ring.add_node(parse_node(text));
  return ring;
}

void print_diff(const RingFlags& flags, const Change& change) {
  const ConsistentHasher before = make_ring(flags);
  const RingDiff difference = diff(before, changed(before, change), flags.replicas);
  const DiffStats stats = difference.stats();
  if (flags.json) {
    Json nodes = Json::array();
    for (const NodeChange& node : stats.nodes) {
      nodes.push_back({{"id", display_key(node.id)}, {"gained", node.gained}, {"lost", node.lost}});
    }
    print_json({{"moved_fraction", stats.moved_fraction},
                {"lower_bound_fraction", stats.lower_bound_fraction},
                {"ideal_fraction", stats.ideal_fraction},
                {"excess_fraction", stats.excess_fraction},
                {"arcs", difference.changes.size()},
                {"nodes", nodes}});
    return;
  }
  print(fmt::format("  {} of the (key, replica) pairs move, in {} arcs\n", percent(stats.moved_fraction, 4),
                    with_commas(difference.changes.size())));
  print(fmt::format("  least possible {}, ideal by weight {}, between untouched nodes {}\n\n",
                    percent(stats.lower_bound_fraction, 4), percent(stats.ideal_fraction, 4), percent(stats.excess_fraction, 4)));
  std::vector<NodeChange> nodes = stats.nodes;
  std::erase_if(nodes, [](const NodeChange& node) { return node.gained == 0.0 && node.lost == 0.0; });
  std::ranges::stable_sort(nodes, std::greater(), [](const NodeChange& node) { return node.gained + node.lost; });
  const std::size_t shown = std::min(nodes.size(), kShownChanges);
  Table table({{"node"}, {"gains", Align::kRight}, {"loses", Align::kRight}});
  for (const NodeChange& node : std::span(nodes).first(shown)) {
    table.add_row({display_key(node.id), percent(node.gained, 4), percent(node.lost, 4)});
  }
  print(table.to_string());
  print(fmt::format("\n  {} more change less, {} keep what they have\n", with_commas(nodes.size() - shown),
                    with_commas(stats.nodes.size() - nodes.size())));
}

void print_bench(const bench::RingBenchOptions& options, bool json) {
  const Json rows = bench::ring_bench(options);
  const Json context = bench::bench_context();
  if (json) {
    print_json({{"context", context}, {"rows", rows}});
    return;
  }
  Table table({{"method"},
               {"time", Align::kRight},
               {"least", Align::kRight},
               {"greatest", Align::kRight},
               {"first", Align::kRight},
               {"compared"}});
  for (const Json& row : rows) {
    if (!row.contains("ns_range")) continue;
    std::string compared;
    if (row.contains("ratio_to_lower_bound"))
      compared = fmt::format("{:.1f}x std::lower_bound", row["ratio_to_lower_bound"].get<double>());
    if (row.contains("ratio_to_primary")) compared = fmt::format("{:.2f} primary lookups", row["ratio_to_primary"].get<double>());
    if (row.contains("ratio_to_rebuild")) compared = fmt::format("{:.0f}x a rebuild", row["ratio_to_rebuild"].get<double>());
    if (row.contains("arcs")) {
      compared = fmt::format("a join: {} arcs, excess {}", row["arcs"].get<std::size_t>(), row["excess_fraction"].get<double>());
    }
    const auto time = [&](const Json& nanoseconds) { return duration_text(nanoseconds.get<double>() * 1e-9); };
    table.add_row({row["method"].get<std::string>(), time(row.contains("ns_per_call") ? row["ns_per_call"] : row["ns_per_lookup"]),
                   time(row["ns_range"][0]), time(row["ns_range"][1]),
                   row.contains("ns_first_call") ? time(row["ns_first_call"]) : "", compared});
  }
  print(table.to_string());
  const Json& memory = rows.back();
  print(fmt::format("\n  {} nodes, {} tokens at {:.2f} bytes; {}, {}\n", memory["nodes"].get<std::size_t>(),
                    with_commas(memory["tokens"].get<std::uint64_t>()), memory["bytes_per_token"].get<double>(),
                    context["cpu"].get<std::string>(), context["compiler"].get<std::string>()));
}

}  // namespace

void add_ring_commands(CLI::App& app) {
  CLI::App& ring = *app.add_subcommand("ring", "Look at rings: how even they are, what a change moves, where a key lies");
  ring.require_subcommand(1);

  CLI::App& stats = *ring.add_subcommand("stats", "Shares of the nodes and their spread");
  const auto stats_flags = std::make_shared<RingFlags>();
  add_ring_flags(stats, *stats_flags);
  add_probes(stats, *stats_flags);
  stats.callback([stats_flags] { print_stats(*stats_flags); });

  CLI::App& diff_command = *ring.add_subcommand("diff", "What moves when nodes join, leave or change weight");
  const auto diff_flags = std::make_shared<RingFlags>();
  const auto change = std::make_shared<Change>();
  add_ring_flags(diff_command, *diff_flags);
  add_list(diff_command, "--add", change->add, "A node that joins: ID[:WEIGHT[:ZONE]]");
  add_list(diff_command, "--remove", change->remove, "A node that leaves");
  add_list(diff_command, "--weight", change->weight, "A node's new weight: ID=WEIGHT");
  diff_command.callback([diff_flags, change] { print_diff(*diff_flags, *change); });

  CLI::App& lookup = *ring.add_subcommand("lookup", "The replicas of keys");
  const auto lookup_flags = std::make_shared<RingFlags>();
  const auto keys = std::make_shared<std::vector<std::string>>();
  add_ring_flags(lookup, *lookup_flags);
  add_probes(lookup, *lookup_flags);
  lookup.add_option("KEY", *keys, "Keys")->required();
  lookup.callback([lookup_flags, keys] { print_lookup(*lookup_flags, *keys); });
}

void add_bench_ring(CLI::App& bench) {
  CLI::App& ring = *bench.add_subcommand("ring", "Lookups and changes of a ring, beside std::lower_bound");
  const auto options = std::make_shared<bench::RingBenchOptions>();
  const auto json = std::make_shared<bool>(false);
  ring.add_option("--nodes", options->nodes, "Nodes, of weight 1")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  ring.add_option("--vnodes", options->virtual_nodes, "Virtual nodes of each")
      ->check(CLI::Range(std::uint32_t{1}, kMaxTokensPerNode))
      ->capture_default_str();
  ring.add_option("--replicas", options->replicas, "Replicas of the replica lookups, the table and the diff")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  ring.add_option("--repetitions", options->repetitions, "Times that each method is measured")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  ring.add_flag("--json", *json, "Print one JSON document");
  ring.callback([options, json] { print_bench(*options, *json); });
}

}  // namespace annulus::cli
