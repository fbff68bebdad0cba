// Internal: which queries walk through a graph under a filter, and how far, and which are left to the scan.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

#include "core/reused.h"
#include "index/filter_plan.h"
#include "index/filter_sample.h"
#include "index/filtered_search.h"

namespace annulus {

/// Chooses for each query of a batch. Two things are learnt on the way: how far a query has to go, from a sample of rows with which
/// it is compared, for where the nearest of them are accepted less often than others the walk is long; and what walks cost where
/// the rows lie as they do in this index, from the batch's first walks.
class WalkChoice final : public WalkJudge {
 public:
  /// `sample` is what the plan was made from; more is drawn if that is worth it. References are kept.
  WalkChoice(const SearchedIndex& index, const RowSearch& search, const FilterPlan& plan, FilterSample& sample);

  WalkLimit limit(std::size_t query) override;
  void learn(std::size_t query, std::size_t compared, std::size_t asked) override;
  void gave_up(std::size_t query, std::size_t compared, std::size_t asked) override;

 private:
  /// What forecasts need; the thread's next search uses it again.
  struct Memory {
    std::vector<float> vectors;  // of the sample
    std::vector<float> distances;
    std::vector<std::uint64_t> keys;
    std::vector<char> accepted;  // of the sample, by distance
    std::vector<double> met;     // by query: rows that its walk has to meet
  };

  void forecast(const SearchedIndex& index, const RowSearch& search, const FilterSample& sample);
  void teach(std::size_t query, std::size_t compared, std::size_t asked);
  bool scan_is_worth_it(std::size_t from) const;
  WalkLimit walk(std::size_t query, double spare_ns);
  double walk_ns(std::size_t query) const { return factor_ * walk_cost_ns(plan_, memory_->met[query]); }

  using Clock = std::chrono::steady_clock;

  const FilterPlan& plan_;
  FilterCosts& costs_;
  const bool teaches_;        ///< the index's costs; not where the search must go one way
  const Reused<Memory> memory_;
  Clock::time_point began_ = {};  ///< the walk
  double factor_ = 1;         ///< of what walks cost, by which the plan's estimate is wrong
  double walked_ns_ = 0;      ///< what walks have cost, ...
  double estimated_ns_ = 0;   ///< ... and should have, by estimate
  std::size_t next_decision_ = 0;
  bool walking_ = false;      ///< the last query was let walk, and has not come back
  bool gathers_ = false;      ///< a query is left to the scan: the accepted rows are found anyway
};

}  // namespace annulus
