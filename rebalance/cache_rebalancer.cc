#include "rebalance/cache_rebalancer.h"

#include <chrono>
#include <deque>
#include <memory>
#include <vector>

#include "core/error.h"
#include "rebalance/cache_warm_up.h"

namespace annulus {
namespace {

RebalancePlan plan_between(const Layout& before, const Layout& after) {
  return RebalancePlanner::plan(before.ring, before.replicas, after.ring, after.replicas);
}

}  // namespace

RebalancePlan CacheRebalancer::plan() const {
  const Layouts former = cache_.former_layouts();
  const auto now = cache_.layout();
  return plan_between(former.empty() ? *now : *former.front(), *now);
}

CacheMoveReport CacheRebalancer::execute() { return execute_for(std::nullopt); }

CacheMoveReport CacheRebalancer::execute(std::span<const KeyView> keys) { return execute_for(keys); }

CacheMoveReport CacheRebalancer::execute_for(std::optional<std::span<const KeyView>> keys) {
  const auto started = std::chrono::steady_clock::now();
  CacheMoveReport report;
  control_.start();
  try {
    // What is warmed up for a ring that has changed meanwhile is looked at again, before anything is dropped.
    for (bool again = true; again;) {
      const Layouts former = cache_.former_layouts();
      const auto now = cache_.layout();
      if (former.empty()) break;
      report.stage = ResizeStage::kRetiring;  // the new ring serves already
      const std::uint64_t to_drop = warm_up(former, *now, keys, report);
      again = cache_.layout() != now;
      if (again) continue;
      if (!keys) {
        control_.begin_stage("dropping", to_drop);
        report.dropped = cache_.drop_former(former, [this](std::uint64_t dropped) { control_.step(dropped, 0, false); });
        report.stage = ResizeStage::kNone;
      }
      report.outcome = ResizeOutcome::kCompleted;
      set_fractions(report, now->replicas);
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kAborted) throw;
    report.outcome = ResizeOutcome::kAborted;
    report.message = "stopped on request: the new ring serves, and what was not copied is a miss; execute again to go on";
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return report;
}

// Returns how many pairs are to be dropped afterwards.
std::uint64_t CacheRebalancer::warm_up(const Layouts& former, const Layout& now, std::optional<std::span<const KeyView>> keys,
                                       CacheMoveReport& report) {
  control_.begin_stage("counting", 0);
  std::deque<CacheWarmUp> warm_ups;  // the newest first: it holds what was written last
  for (auto layout = former.rbegin(); layout != former.rend(); ++layout) {
    CacheWarmUp& warm_up = warm_ups.emplace_back(cache_, options_, control_, plan_between(**layout, now), report);
    keys ? warm_up.list(*keys) : warm_up.list_all();
  }
  report.keys = warm_ups.front().keys();
  control_.begin_stage("copying", report.lower_bound);
  std::uint64_t to_drop = 0;
  for (CacheWarmUp& warm_up : warm_ups) {
    warm_up.copy();
    to_drop += warm_up.to_drop();
  }
  return to_drop;
}

}  // namespace annulus
