#include "index/walk_choice.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "index/distance.h"
#include "index/distance_key.h"
#include "index/walk_forecast.h"

namespace annulus {
namespace {

// The first query walks on trial where the scan is cheaper by no more than this factor: the estimate of walks may be as wrong, and
// the trial, which gives up early, costs little of the scan. Where more queries wait it may cost this part of their scan.
constexpr double kDoubt = 4;
constexpr double kTrialPart = 8;

}  // namespace

WalkChoice::WalkChoice(const SearchedIndex& index, const RowSearch& search, const FilterPlan& plan, FilterSample& sample)
    : plan_(plan), costs_(index.costs), teaches_(search.batch.params().filter_method == FilterMethod::kByCost) {
  const double rows = static_cast<double>(index.rows.rows());
  const double kept = static_cast<double>(std::max(plan.search.ef, plan.search.k));
  memory_->met.assign(search.batch.size(), std::min(kept / std::max(plan.filter.selectivity, 1e-9), rows));
  if (plan.sampled == 0) return;
  sample.draw(*search.filter, index.rows, plan.sampled);
  forecast(index, search, sample);
}

void WalkChoice::forecast(const SearchedIndex& index, const RowSearch& search, const FilterSample& sample) {
  const std::size_t d = index.spec.dimension;
  const std::size_t n = std::min(sample.size(), plan_.sampled);
  Memory& memory = *memory_;
  memory.vectors.resize(n * d);
  for (std::size_t i = 0; i < n; ++i) {
    float* place = memory.vectors.data() + i * d;
    const float* stored = index.store.vector(sample.rows()[i], place);
    if (stored != place) std::copy_n(stored, d, place);
  }
  memory.distances.resize(n);
  memory.keys.resize(n);
  memory.accepted.resize(n);
  const double live = static_cast<double>(index.rows.live());
  const double ef = static_cast<double>(std::max(plan_.search.ef, plan_.search.k));
  for (std::size_t query = 0; query < search.batch.size(); ++query) {
    distances(index.spec.metric, search.batch.query(query), memory.vectors.data(), n, d, d, memory.distances.data());
    for (std::size_t i = 0; i < n; ++i) memory.keys[i] = distance_key(memory.distances[i], static_cast<std::uint32_t>(i));
    std::sort(memory.keys.begin(), memory.keys.end());
    for (std::size_t i = 0; i < n; ++i) memory.accepted[i] = sample.accepted()[key_number(memory.keys[i])];
    const double met = rows_to_meet(memory.accepted, live / static_cast<double>(n), plan_.filter.selectivity, ef);
    memory.met[query] = std::min(met, live);
  }
  search.work.distances += n * search.batch.size();
}

/// Finding the accepted rows is paid for once: the queries that gain by a scan must gain as much together.
bool WalkChoice::scan_is_worth_it(std::size_t from) const {
  double gain = -plan_.gather_ns;
  for (std::size_t i = from; i < memory_->met.size(); ++i) gain += std::max(0.0, walk_ns(i) - plan_.compare_ns);
  return gain > 0;
}

WalkLimit WalkChoice::walk(std::size_t query, double spare_ns) {
  walking_ = true;
  began_ = Clock::now();
  const double met = memory_->met[query];
  const double row_ns = walk_row_ns(plan_, met);
  const double foreseen = walked_ns_ > 0 ? walk_ns(query) / row_ns : 0;
  return {static_cast<std::size_t>(std::max(1.0, spare_ns / row_ns)), met, static_cast<std::size_t>(foreseen)};
}

WalkLimit WalkChoice::limit(std::size_t query) {
  gathers_ = gathers_ || walking_;  // the one before has given up
  walking_ = false;
  if (!gathers_ && query == next_decision_) {
    next_decision_ = 2 * query + 1;
    gathers_ = scan_is_worth_it(query);
    if (query == 0 && gathers_) {
      const bool alone = memory_->met.size() == 1;
      const double spare = plan_.scan_ns / (alone ? 1 : kTrialPart);
      gathers_ = walk_ns(0) >= kDoubt * spare;
      if (!gathers_) {
        WalkLimit trial = walk(0, spare);
        // where it is so short, it does not look before it has something to tell by
        if (!alone) trial.first_look = trial.patience / 2;
        return trial;
      }
    }
  }
  if (gathers_ && walk_ns(query) >= plan_.compare_ns) return {.patience = 0};
  return walk(query, plan_.compare_ns + (gathers_ ? 0 : plan_.gather_ns));
}

void WalkChoice::gave_up(std::size_t query, std::size_t compared, std::size_t asked) { teach(query, compared, asked); }

void WalkChoice::teach(std::size_t query, std::size_t compared, std::size_t asked) {
  if (!teaches_) return;
  const double took_ns = std::chrono::duration<double, std::nano>(Clock::now() - began_).count();
  const double estimated_ns = walked_cost_ns(plan_, compared, asked, memory_->met[query]) / plan_.factors.walk;
  costs_.learn(FilterPart::kWalk, plan_.filter.selectivity, memory_->met.size(), estimated_ns, took_ns);
}

void WalkChoice::learn(std::size_t query, std::size_t compared, std::size_t asked) {
  teach(query, compared, asked);
  walking_ = false;
  const double walked_ns = walked_cost_ns(plan_, compared, asked, memory_->met[query]);
  const double estimated_ns = walk_cost_ns(plan_, memory_->met[query]);
  walked_ns_ += walked_ns;
  estimated_ns_ += estimated_ns;
  // what the constants foresee is rather too much; a walk that cost more had farther to go, which says nothing of the others
  const double foreseen = plan_.factors.foreseen;
  factor_ = std::min(1 / foreseen, walked_ns_ / estimated_ns_);
  if (teaches_) {
    costs_.learn(FilterPart::kForeseen, plan_.filter.selectivity, memory_->met.size(), estimated_ns / foreseen,
                 std::min(estimated_ns / foreseen, walked_ns));
  }
}

}  // namespace annulus
