// Internal: whether a search under a filter goes through the index, or compares all rows that the filter accepts.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>

#include "index/filter_costs.h"
#include "index/index_spec.h"
#include "index/search_types.h"

namespace annulus {

/// What is known of a filter before the search.
struct FilterFacts {
  double selectivity = 1;            ///< part of the live rows that it accepts, 0 to 1
  double accept_ns = 0;              ///< asking it once, where rows are asked about in their order
  double apart_ns = 60 + accept_ns;  ///< and in no order, which waits for memory
  std::optional<std::size_t> listed = {};  ///< Filter::listed
  std::size_t asked = 0;  ///< rows about which it was asked to learn this
};

/// What is known of the index.
struct IndexFacts {
  IndexFamily family = IndexFamily::kFlat;
  bool coded = false;         ///< it searches by int8 codes
  std::size_t dimension = 1;
  std::size_t rows = 0;       ///< dead ones too
  std::size_t live = 0;
  std::size_t nlist = 1;      ///< IVF
  bool one_by_one = false;    ///< IVF: a row is asked about before the next is compared, not a block of them after
};

/// What a search of lists has learnt of a filter near one query, from the rows that it asks about first: they are of the nearest
/// lists.
struct FilterTally {
  std::size_t most = std::numeric_limits<std::size_t>::max();  ///< rows that count
  std::size_t asked = 0;
  std::size_t accepted = 0;
  std::size_t questions = 0;  ///< all of them, those that do not count too

  void count(bool one_accepted) noexcept {
    ++questions;
    if (asked == most) return;
    ++asked;
    accepted += one_accepted ? 1 : 0;
  }
};

/// When a walk of a graph under a filter gives up.
struct WalkLimit {
  /// Rows whose comparison costs as much as the scan of all accepted rows. 0: the walk is not begun.
  std::size_t patience = std::numeric_limits<std::size_t>::max();
  double expected = 1;  ///< rows around the query that hold enough accepted ones, by forecast
  std::size_t first_look = 0;  ///< rows compared before it asks itself whether it gives up, at least
};

/// What is asked. `ef` and `nprobe` are those of a search without a filter.
struct SearchFacts {
  std::size_t queries = 1;
  std::size_t k = 1;
  std::size_t kept = 1;    ///< IVF: rows that the search keeps for exact distances to decide about, k at least
  std::size_t ef = 1;
  std::size_t nprobe = 1;
};

struct FilterPlan {
  bool scan = false;      ///< compare the accepted rows, not the index's
  bool by_list = false;   ///< where the accepted rows are needed, the filter's list gives them, not questions about all rows
  std::size_t nprobe = 1; ///< IVF: lists to visit, so that recall is what it is without the filter
  /// HNSW: each query chooses for itself (WalkChoice), whatever `scan` says of all. The filter should have been asked about
  /// `sampled` rows, with which the queries are compared; 0: that would cost more than it can save.
  bool chooses = false;
  std::size_t sampled = 0;
  double index_ns = 0;    ///< estimates for all queries
  double scan_ns = 0;

  /// For an IVF, whose queries go on from here, each as it finds the filter near it (further_lists).
  std::size_t first_lists = 1;  ///< to visit before the first look back: few where the scan is not much dearer
  std::size_t scouts = std::numeric_limits<std::size_t>::max();  ///< queries that look before the others do
  std::size_t tallied = std::numeric_limits<std::size_t>::max();  ///< FilterTally::most
  bool may_scan = true;
  double look_ns = 0;     ///< what the first look of one query costs, if the filter is asked about every row
  double find_ns = 0;     ///< finding the accepted rows: of gather_ns the first part
  double gather_ns = 0;   ///< of scan_ns: finding the accepted rows and fetching their vectors ...
  double compare_ns = 0;  ///< ... and comparing a query with them
  FilterFacts filter = {};
  IndexFacts index = {};
  SearchFacts search = {};
  PartFactors factors = {};  ///< in all estimates
};

/// How a query of an IVF goes on that has visited some lists.
struct FurtherLists {
  std::size_t total = 0;  ///< lists that it is to have visited in the end
  std::size_t next = 0;   ///< and before the next look back; no more than were visited: it is done
  double cost_ns = 0;     ///< estimate for all further lists
};

/// Queries of an IVF that a scan may answer for less than the index.
struct Doubt {
  double each_ns = 0;   ///< what the index costs one of them, ...
  double index_ns = 0;  ///< ... and all of them, by estimate
  double scan_ns = 0;   ///< what the scan costs them
};

/// The cheaper way by estimate; `method` overrules. Pure. The costs of single steps are constants, measured on one machine, times
/// `factors`: what this index has learnt since.
FilterPlan plan_filter(const FilterFacts& filter, const IndexFacts& index, const SearchFacts& search,
                       FilterMethod method = FilterMethod::kByCost, const PartFactors& factors = {});

/// HNSW: a walk for which the nearest `met` rows hold enough accepted ones, by estimate; and one that has compared so many rows,
/// and asked the filter about so many of them; and each row that it compares, of which it asks about some only.
double walk_cost_ns(const FilterPlan& plan, double met);
double walked_cost_ns(const FilterPlan& plan, std::size_t compared, std::size_t asked, double met);
double walk_row_ns(const FilterPlan& plan, double met);

/// The lists that a query needs: those planned where the filter accepts as much near the query as elsewhere (or more). Where it
/// accepts less, so many more that they hold as many accepted rows as were expected of those planned.
FurtherLists further_lists(const FilterPlan& plan, const FilterTally& tally, std::size_t visited);

/// What the lists of a query cost that ends at `visited`, by what `tally` says of the filter near it; and what they did cost.
double forecast_ns(const FilterPlan& plan, const FilterTally& tally, std::size_t visited);
double visited_ns(const FilterPlan& plan, const FilterTally& tally, std::size_t visited);

/// Whether one of the queries should go through the index before the others, to see how far the estimate is from the truth: both
/// ways cost about the same, and that one query little beside them.
bool wants_pilot(const Doubt& doubt) noexcept;

/// Part of an IVF's `nlist` lists that are visited for one of `nprobe` without a filter: the k nearest of the rows accepted
/// lie as far apart as the k / selectivity nearest of all.
std::size_t lists_for(double selectivity, std::size_t nprobe, std::size_t nlist) noexcept;

}  // namespace annulus
