#include "rebalance/cache_rebalancer.h"

#include <chrono>
#include <deque>
#include <memory>
#include <vector>

#include "core/error.h"
#include "rebalance/cache_warm_up.h"

namespace annulus {
namespace {

using Layouts = std::vector<std::shared_ptr<const Layout>>;

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
  const Layouts former = cache_.former_layouts();
  const auto now = cache_.layout();
  if (former.empty()) return report;
  report.stage = ResizeStage::kRetiring;  // the new ring serves already
  try {
    control_.begin_stage("counting", 0);
    std::deque<CacheWarmUp> warm_ups;  // the newest first: it holds what was written last
    for (auto layout = former.rbegin(); layout != former.rend(); ++layout) {
      CacheWarmUp& warm_up = warm_ups.emplace_back(cache_, options_, control_, plan_between(**layout, *now), report);
      keys ? warm_up.list(*keys) : warm_up.list_all();
    }
    report.keys = warm_ups.front().keys();
    control_.begin_stage("copying", report.lower_bound);
    for (CacheWarmUp& warm_up : warm_ups) warm_up.copy();
    if (!keys) {
      std::uint64_t to_drop = 0;
      for (const CacheWarmUp& warm_up : warm_ups) to_drop += warm_up.to_drop();
      control_.begin_stage("dropping", to_drop);
      report.dropped = cache_.drop_former([this](std::uint64_t dropped) { control_.step(dropped, 0, false); });
      report.stage = ResizeStage::kNone;
    }
    report.outcome = ResizeOutcome::kCompleted;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kAborted) throw;
    report.outcome = ResizeOutcome::kAborted;
    report.message = "stopped on request: the new ring serves, and what was not copied is a miss; execute again to go on";
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  set_fractions(report, now->replicas);
  return report;
}

}  // namespace annulus
