// The demo as people read it: sections with tables, bars and check marks, on stdout.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/demo_figures.h"
#include "cli/terminal_style.h"
#include "rebalance/rebalance_plan.h"
#include "ring/ring_stats.h"

namespace annulus::cli {

/// A word and those nearest to it.
struct Neighborhood {
  std::string word;
  std::vector<Neighbor> nearest;  ///< without the word itself
};

/// Tells the demo section by section, each when it has happened; says nothing at all if it is mute (--json).
/// Lines fit 100 columns. Not thread-safe.
class DemoStory {
 public:
  enum class Voice : std::uint8_t { kTells, kMute };

  DemoStory(Voice voice, TerminalStyle style) : voice_(voice), style_(style) {}

  void title(const DemoFigures& figures);
  void ring(const RingStats& stats, const RingOptions& options);
  void fill(const DemoFigures& figures);
  void search(const std::vector<Neighborhood>& words, const DemoFigures& figures);

  /// Starts the section of a resize with what is planned.
  void plan(const std::string& change, const RebalancePlan& plan, const PlanStats& stats, std::uint64_t keys);
  void resize(const ResizeFigures& resize, double recall_before);

  void shard_down(const DemoFigures& figures);
  void summary(const DemoFigures& figures);

 private:
  void section(const std::string& heading);
  void line(const std::string& text);
  /// A line that says whether something holds: a mark, what it is about, the figures.
  void check(bool holds, const std::string& about, const std::string& text);
  void proof(const Proof& proof, double recall_before);
  void say(const std::string& text);

  Voice voice_;
  TerminalStyle style_;
  int sections_ = 0;
};

}  // namespace annulus::cli
