#include "index/filter_costs.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace annulus {
namespace {

// Fewer queries than this are searched one by one; and fewer than this have little in common.
constexpr std::size_t kBatch = 4;
constexpr std::size_t kLargeBatch = 32;
// No longer than this: the clock has its part in it.
constexpr double kTooShortNs = 2000;
// What no estimate is wrong by, and no whole search: the thread was interrupted.
constexpr double kMostWrong = 16;
constexpr double kMostWrongWhole = 3;
// Searches as planned must have taken so many times what scans took to be given up, and are tried again after so many.
constexpr double kWorse = 1.1;
constexpr std::uint32_t kTriedAgain = 32;
// One of them alone may have been disturbed.
constexpr std::uint32_t kEvidence = 2;
// What has not been seen is taken to cost so much of what it seems to: so it is tried, where that costs little, and seen.
constexpr double kHope = 0.8;
// Observations over which the mean is taken, at most.
constexpr std::uint32_t kMemory = 8;

}  // namespace

std::size_t FilterCosts::kind_of(std::size_t queries) noexcept { return queries < kBatch ? 0 : queries < kLargeBatch ? 1 : 2; }

std::size_t FilterCosts::decade(double selectivity) noexcept {
  const double decades = -std::log10(std::clamp(selectivity, 1e-9, 1.0));
  return std::min(kDecades - 1, static_cast<std::size_t>(decades + 0.5));
}

PartFactors FilterCosts::factors(double selectivity, std::size_t queries) const noexcept {
  const Kind& kind = kinds_[kind_of(queries)];
  const auto mean_of = [](const auto& add_all) {
    double sum = 0, count = 0;
    add_all([&](const Learnt& learnt) {
      if (learnt.seen.load(std::memory_order_relaxed) == 0) return;
      sum += static_cast<double>(learnt.logarithm.load(std::memory_order_relaxed));
      ++count;
    });
    return count == 0 ? std::nullopt : std::optional<double>(sum / count);
  };
  const auto factor = [&](FilterPart part) {
    const auto& of_part = kind[static_cast<std::size_t>(part)];
    std::optional<double> logarithm = mean_of([&](const auto& add) { add(of_part[decade(selectivity)]); });
    if (logarithm) return std::exp(*logarithm);
    logarithm = mean_of([&](const auto& add) { std::for_each(of_part.begin(), of_part.end(), add); });
    if (logarithm) return kHope * std::exp(*logarithm);
    if (part == FilterPart::kForeseen) return 1.0;
    logarithm = mean_of([&](const auto& add) {
      for (std::size_t other = 0; other < kParts; ++other) {
        if (other != static_cast<std::size_t>(FilterPart::kForeseen)) std::for_each(kind[other].begin(), kind[other].end(), add);
      }
    });
    if (!logarithm) return 1.0;
    // what a question costs is measured each time: there the machine counts already
    return part == FilterPart::kAsk ? kHope : kHope * std::exp(*logarithm);
  };
  return {.ask = factor(FilterPart::kAsk),
          .list = factor(FilterPart::kList),
          .compare = factor(FilterPart::kCompare),
          .walk = factor(FilterPart::kWalk),
          .foreseen = factor(FilterPart::kForeseen),
          .visit = factor(FilterPart::kVisit)};
}

void FilterCosts::learn(FilterPart part, double selectivity, std::size_t queries, double estimated_ns, double took_ns) noexcept {
  if (took_ns < kTooShortNs || estimated_ns <= 0 || !learning().load(std::memory_order_relaxed)) return;
  learn(kinds_[kind_of(queries)][static_cast<std::size_t>(part)][decade(selectivity)], took_ns / estimated_ns, kMostWrong);
}

void FilterCosts::learn(Learnt& learnt, double factor, double most) noexcept {
  const double found = std::log(std::clamp(factor, 1 / most, most));
  const std::uint32_t seen = std::min(learnt.seen.load(std::memory_order_relaxed) + 1, kMemory);
  const float known = learnt.logarithm.load(std::memory_order_relaxed);
  learnt.logarithm.store(known + (static_cast<float>(found) - known) / static_cast<float>(seen), std::memory_order_relaxed);
  learnt.seen.store(seen, std::memory_order_relaxed);
}

bool FilterCosts::plan_pays(double selectivity, bool listed) noexcept {
  Ways& ways = this->ways(selectivity, listed);
  if (ways.planned.seen.load(std::memory_order_relaxed) < kEvidence || !learning().load(std::memory_order_relaxed)) return true;
  const double planned = ways.planned.logarithm.load(std::memory_order_relaxed);
  const double scanned = ways.scanned.logarithm.load(std::memory_order_relaxed);
  if (planned <= scanned + std::log(kWorse)) return true;
  if (ways.kept_from_plan.fetch_add(1, std::memory_order_relaxed) + 1 < kTriedAgain) return false;
  ways.kept_from_plan.store(0, std::memory_order_relaxed);
  return true;
}

void FilterCosts::learn_whole(bool scanned, double selectivity, bool listed, double scan_ns, double took_ns) noexcept {
  if (took_ns < kTooShortNs || scan_ns <= 0 || !learning().load(std::memory_order_relaxed)) return;
  Ways& ways = this->ways(selectivity, listed);
  learn(scanned ? ways.scanned : ways.planned, took_ns / scan_ns, kMostWrongWhole);
}

}  // namespace annulus
