#include "cli/demo_story.h"

#include <errno.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "cli/output.h"
#include "cli/table.h"
#include "core/key.h"

namespace annulus::cli {
namespace {

constexpr std::size_t kBarColumns = 40;

std::string recall_text(double recall) { return fmt::format("{:.4f}", recall); }

/// Lengths of the three parts of a bar of `columns` for what a node keeps, gives and takes, of `widest`.
struct ChangeBar {
  std::size_t keeps;
  std::size_t gives;
  std::size_t takes;
};
ChangeBar change_bar(const NodeChange& node, double share_before, double widest) {
  const auto columns = [&](double part) { return static_cast<std::size_t>(std::lround(part / widest * kBarColumns)); };
  const std::size_t keeps = columns(share_before - node.lost);
  return {keeps, columns(share_before) - keeps, columns(node.gained)};
}

/// "1 arc", "2 arcs".
std::string counted(std::uint64_t count, const std::string& one, const std::string& many) {
  return with_commas(count) + " " + (count == 1 ? one : many);
}

}  // namespace

void DemoStory::say(const std::string& text) {
  if (voice_ == Voice::kMute) return;
  print(text);
  std::cout.flush();  // what was told is seen before the next long work begins
}

void DemoStory::line(const std::string& text) { say(text.empty() ? "\n" : "   " + text + "\n"); }

void DemoStory::section(const std::string& heading) {
  say("\n" + style_.heading(fmt::format("{}  {}", ++sections_, heading)) + "\n\n");
}

void DemoStory::check(bool holds, const std::string& about, const std::string& text) {
  line((holds ? style_.good("✓") : style_.bad("✗")) + fmt::format(" {:<9} ", about) + (holds ? text : style_.bad(text)));
}

void DemoStory::title(const DemoFigures& figures) {
  say("\n" + style_.heading("Annulus") +
      style_.faint(fmt::format("  {} words as vectors of {} dimensions, on {} shards, {} of each\n", with_commas(figures.keys),
                               figures.dimension, figures.shards, counted(figures.replicas, "copy", "copies"))));
}

void DemoStory::ring(const RingStats& stats, const RingOptions& options) {
  section("The ring: who owns what");
  line(fmt::format("A key belongs to the next virtual node clockwise. Each shard has {} of them.",
                   options.virtual_nodes_per_weight));
  line("");
  double widest = 0;
  for (const NodeShare& node : stats.nodes) widest = std::max(widest, node.share);
  Table table({{"shard"}, {""}, {"first copies", Align::kRight}, {"all copies", Align::kRight}});
  for (const NodeShare& node : stats.nodes) {
    table.add_row(
        {node.id, style_.accent(share_bar(node.share / widest, kBarColumns)), percent(node.share), percent(node.replica_share)});
  }
  say(table.to_string(3));
  line("");
  line(fmt::format("Shares spread by {} around fair ones; chance alone gives {}.", percent(stats.stddev),
                   percent(stats.theory_stddev)));
}

void DemoStory::fill(const DemoFigures& figures) {
  section("Fill");
  line(fmt::format("{} words in {}: {} words/s, {} indexes of type {}", with_commas(figures.keys),
                   duration_text(figures.fill_seconds),
                   with_commas(static_cast<std::uint64_t>(static_cast<double>(figures.keys) / figures.fill_seconds)),
                   figures.shards, figures.index));
  line(fmt::format("on the same nodes: embeddings in a cache (1 copy), and in {} ({}, {})",
                   counted(figures.artifacts, "file", "files"), bytes_text(static_cast<double>(figures.artifact_bytes)),
                   counted(figures.replicas, "copy each", "copies each")));
}

void DemoStory::search(const std::vector<Neighborhood>& words, const DemoFigures& figures) {
  section("Search: the nearest words, by cosine");
  Table table({{"word"}, {"nearest"}, {""}, {""}, {""}, {""}, {""}});
  for (const Neighborhood& word : words) {
    std::vector<std::string> cells{style_.accent(display_key(word.word))};
    for (const Neighbor& neighbor : word.nearest) {
      cells.push_back(display_key(neighbor.key) + style_.faint(fmt::format(" {:.2f}", neighbor.distance)));
    }
    table.add_row(std::move(cells));
  }
  say(table.to_string(3));
  line("");
  line(fmt::format("recall@10 {} against exact search over all words: {} queries, {} each",
                   style_.heading(recall_text(figures.probe.recall)), figures.queries,
                   duration_text(figures.probe.seconds / static_cast<double>(figures.queries))));
}

void DemoStory::plan(const std::string& change, const RebalancePlan& plan, const PlanStats& stats, std::uint64_t keys) {
  section(change);
  line(fmt::format("plan: {} of all copies move, in {}; minimum {}, perfectly even placement {}",
                   style_.heading(percent(stats.ring.moved_fraction, 2)), counted(stats.arcs, "arc", "arcs"),
                   percent(stats.ring.lower_bound_fraction, 2), percent(stats.ring.ideal_fraction, 2)));
  line("");
  // Shares of all pairs. Without zones, what a node has is what it lost plus what it kept.
  const auto shares = [](const ConsistentHasher& ring, std::size_t replicas) {
    return ring.num_nodes() > 0 ? ring_stats(ring, replicas).nodes : std::vector<NodeShare>{};
  };
  const auto before = shares(plan.before, plan.replicas_before);
  const auto after = shares(plan.after, plan.replicas_after);
  const auto share_of = [](const std::vector<NodeShare>& nodes, const std::string& id) {
    const auto node = std::find_if(nodes.begin(), nodes.end(), [&](const NodeShare& share) { return share.id == id; });
    return node != nodes.end() ? node->replica_share : 0.0;
  };
  double widest = 0;
  for (const NodeChange& node : stats.ring.nodes) widest = std::max(widest, share_of(before, node.id) + node.gained);

  const double pairs = static_cast<double>(keys) * static_cast<double>(plan.replicas_after);
  const auto copies = [&](double fraction) {
    return fraction > 0 ? with_commas(static_cast<std::uint64_t>(std::lround(fraction * pairs))) : std::string("-");
  };
  Table table(
      {{"shard"}, {""}, {"before", Align::kRight}, {"after", Align::kRight}, {"in", Align::kRight}, {"out", Align::kRight}});
  for (const NodeChange& node : stats.ring.nodes) {
    const double share = share_of(before, node.id);
    const ChangeBar bar = change_bar(node, share, widest);
    table.add_row(
        {node.id,
         style_.accent(repeated("█", bar.keeps)) + style_.good(repeated("▓", bar.takes)) + style_.faint(repeated("░", bar.gives)),
         percent(share), percent(share_of(after, node.id)), copies(node.gained), copies(node.lost)});
  }
  say(table.to_string(3));
  line(style_.faint("█ stays  ▓ comes  ░ goes; in and out: copies, as planned"));
  for (const std::string& warning : plan.warnings) line("note: " + warning);
  line("");
}

void DemoStory::resize(const ResizeFigures& resize, double recall_before) {
  const ResizeReport& report = resize.report;
  check(
      report.outcome == ResizeOutcome::kCompleted, "moved",
      fmt::format("{} in {} ({}); {} more came with live writes", counted(report.moved, "copy", "copies"),
                  duration_text(report.seconds), bytes_text(static_cast<double>(report.bytes)), with_commas(report.already_there)));
  if (!report.message.empty()) line(fmt::format("  {}: {}", to_string(report.outcome), report.message));
  check(report.lost == 0, "verified",
        fmt::format("{} at the new owners, before any old copy was dropped: {} lost", with_commas(report.verified), report.lost));
  const SearchFigures& during = resize.during;
  check(during.incomplete == 0 && during.duplicates == 0 && during.wrong == 0, "searches",
        fmt::format("{} meanwhile: {} incomplete, {} doubled, {} wrong; p99 {} (quiet: {})", with_commas(during.searches),
                    during.incomplete, during.duplicates, during.wrong, duration_text(during.p99_seconds),
                    duration_text(resize.before.p99_seconds)));
  const WriteFigures& writes = resize.writes;
  check(writes.stale == 0 && writes.resurrected == 0, "writes",
        fmt::format("{} meanwhile ({} new, {} over, {} erased), read back at once: {} stale; p99 {}", with_commas(writes.all()),
                    writes.inserted, writes.overwritten, writes.erased, writes.stale + writes.resurrected,
                    duration_text(writes.p99_seconds)));
  proof(resize.proof, recall_before);
  const CacheFigures& cache = resize.cache;
  check(cache.ok(), "cache",
        fmt::format("{} of {} embeddings moved: {} hits on them, {} without the warm-up", with_commas(cache.changed),
                    with_commas(cache.entries), percent(cache.hit_rate()), percent(cache.twin_hit_rate())));
  const ArtifactFigures& artifacts = resize.artifacts;
  check(artifacts.ok(), "artifacts",
        fmt::format("{} moved ({}), {} hashes compared; {} read: {} missing, {} wrong",
                    counted(artifacts.report.moved, "copy", "copies"), bytes_text(static_cast<double>(artifacts.report.bytes)),
                    with_commas(artifacts.report.verified), counted(artifacts.proof.artifacts, "file", "files"),
                    artifacts.proof.missing, artifacts.proof.wrong));
}

void DemoStory::proof(const Proof& proof, double recall_before) {
  const VerifyReport& cluster = proof.cluster;
  check(
      cluster.ok(), "owners",
      fmt::format("{} in {}: {} on a wrong shard; {} of {} arc digests differ", counted(cluster.keys, "key", "keys"),
                  counted(cluster.copies, "copy", "copies"), cluster.strangers, cluster.arcs_differing, with_commas(cluster.arcs)));
  const OracleComparison& oracle = proof.oracle;
  check(oracle.ok(), "content",
        fmt::format("{} read: {} missing, {} wrong; {} erased: {} back", counted(oracle.live, "key", "keys"), oracle.missing,
                    oracle.wrong, with_commas(oracle.erased), oracle.resurrected));
  check(proof.probe.recall >= recall_before - kRecallTolerance && proof.probe.coverage >= 1, "recall",
        fmt::format("{} at 10, at first {}", recall_text(proof.probe.recall), recall_text(recall_before)));
}

void DemoStory::shard_down(const DemoFigures& figures) {
  const ShardDownFigures& down = figures.shard_down;
  section(down.shard + " goes down, and comes back");
  const bool can_be_complete = figures.replicas > 1;
  check(!can_be_complete || (down.probe.coverage >= 1 && down.probe.recall >= figures.probe.recall - kRecallTolerance), "answers",
        fmt::format("{}: they cover {} of the keys, recall {} at 10; {} of {} as before",
                    down.probe.coverage >= 1 ? "complete" : "partial, and say so", percent(down.probe.coverage),
                    recall_text(down.probe.recall), down.equal_answers, figures.queries));
  if (can_be_complete) {
    check(down.oracle.ok() && down.writes.stale == 0 && down.writes.resurrected == 0, "writes",
          fmt::format("{} without it, read back at once: {} stale; {} read: {} missing, {} wrong", with_commas(down.writes.all()),
                      down.writes.stale + down.writes.resurrected, counted(down.oracle.live, "key", "keys"), down.oracle.missing,
                      down.oracle.wrong));
  }
  check(down.sync.up, "back",
        fmt::format("in {}: {} of {} differed, {} caught up", duration_text(down.sync_seconds),
                    with_commas(down.sync.arcs_differing), counted(down.sync.arcs_checked, "arc", "arcs"),
                    counted(down.sync.copy.copied + down.sync.copy.copied_tombstones, "write", "writes")));
  if (!down.sync.waits_for.empty()) line("  " + down.sync.waits_for);
  proof(down.proof, figures.probe.recall);
  if (down.heal) {
    check(down.heal->healed && down.heal->proof.ok(), "artifacts",
          fmt::format("a byte altered on {}: found when the file was read, and {}", down.heal->host,
                      down.heal->healed ? "replaced" : "not replaced"));
  }
}

void DemoStory::summary(const DemoFigures& figures) {
  section("Summary");
  Table table({{"change"},
               {"moved", Align::kRight},
               {"minimum", Align::kRight},
               {"ideal", Align::kRight},
               {"copied", Align::kRight},
               {"verified", Align::kRight},
               {"lost", Align::kRight},
               {"doubled", Align::kRight},
               {"recall@10", Align::kRight},
               {"time", Align::kRight}});
  table.add_row({"loaded", "", "", "", with_commas(figures.keys * figures.replicas), "", "", "", recall_text(figures.probe.recall),
                 duration_text(figures.fill_seconds)});
  for (const ResizeFigures& resize : figures.resizes) {
    table.add_row({resize.change, percent(resize.report.moved_fraction, 2), percent(resize.report.lower_bound_fraction, 2),
                   percent(resize.plan.ring.ideal_fraction, 2), with_commas(resize.report.moved),
                   with_commas(resize.report.verified), std::to_string(resize.lost()), std::to_string(resize.duplicated()),
                   recall_text(resize.proof.probe.recall), duration_text(resize.report.seconds)});
  }
  const ShardDownFigures& down = figures.shard_down;
  table.add_row({down.shard + " down", "", "", "", "", "", "", "", recall_text(down.probe.recall), ""});
  const CopyCounts& caught_up = down.sync.copy;
  table.add_row({down.shard + " back", "", "", "", with_commas(caught_up.copied + caught_up.copied_tombstones),
                 with_commas(caught_up.verified), std::to_string(down.proof.oracle.missing),
                 std::to_string(down.proof.cluster.strangers), recall_text(down.proof.probe.recall),
                 duration_text(down.sync_seconds)});
  say(table.to_string(3));
  line(style_.faint("moved, minimum and ideal: of all copies; what live writes brought is not copied again."));
  line("");
  const std::vector<std::string> wrong = problems(figures);
  if (wrong.empty()) {
    line(style_.good("✓") + style_.heading(" Nothing lost, nothing doubled, nothing incomplete") +
         fmt::format("; {} in all.", duration_text(figures.seconds)));
  }
  for (const std::string& what : wrong) line(style_.bad("✗ " + what));
  line("");
  line("Next: README.md shows how to use the library; look at a ring, or measure one, with");
  const std::string program = program_invocation_name;  // as it was called, so that the lines can be copied
  line("  " + style_.accent(program + " ring stats --nodes 5 --replicas 2"));
  line("  " + style_.accent(program + " bench ring"));
  say("\n");
}

}  // namespace annulus::cli
