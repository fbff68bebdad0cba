#include "index/filter_plan.h"

#include <algorithm>
#include <cmath>

namespace annulus {
namespace {

// Nanoseconds, measured with vectors of 100 to 1000 components on AVX-512.
constexpr double kLookup = 120;         // one id of a filter's list: from key to row
constexpr double kLookAtRow = 0.2;      // whether a row is live, where rows are passed in order
constexpr double kFetch = 12;           // a vector is fetched for the scan, once for all queries, ...
constexpr double kFetchFloat = 0.12;    // ... and for each of its floats
constexpr double kCompare = 3;          // a fetched vector is compared with a query, ...
constexpr double kCompareFloat = 0.05;  // ... for each of its floats
constexpr double kWalkRow = 14;         // a walk compares a row, ...
constexpr double kWalkByte = 0.04;      // ... for each byte of what it compares
constexpr double kHit = 10;             // a row that is near enough is taken out of its list, asked about, kept or not
constexpr double kList = 40;            // a list is begun, ...
constexpr double kListRow = 0.4;        // ... a row of it is compared, ...
constexpr double kListByte = 0.012;     // ... for each byte of what is compared
constexpr double kMoveMet = 1.0 / 40;   // a row enters the rows that were met, for each of those behind it

// Rows compared for each row that a walk of a graph of 16 links keeps, and how that number falls as it keeps more.
constexpr double kWalkFan = 42;
constexpr double kWalkFall = 0.2;

// Questions after the first k accepted rows, of what they would be if the nearest lists did not come first; where rows are asked
// about one by one. (Blocks are compared as a whole, and batches of them list by list: there it makes no difference.)
constexpr double kNearestFirst = 0.3;

// How lists to visit grow as the filter accepts less.
constexpr double kListGrowth = 0.8;
// Accepted rows that the visited lists should hold for each that is asked for.
constexpr double kListReserve = 2;

// A scan is preferred where it is not much dearer: it is exact, its cost is known, and nothing is spent on looking back.
constexpr double kScanWorth = 1.15;

// What a search may spend, of the scan's time, before it looks back at what the filter accepts near the query.
constexpr double kLookPart = 0.1;
// And where all lists cost no more than this part, there is no looking back: rounds are dearer than lists in one go.
constexpr double kSurePart = 0.1;
// Accepted rows that must have been expected of those asked about before their number says something.
constexpr double kEvidence = 8;
// And when there are enough of them, for what comes later is farther from the query.
constexpr double kFullEvidence = 32;
// More lists are worth a further round from this many times those visited on.
constexpr double kWorthARound = 1.25;

// Lists visited in the end of a round, of those in its beginning: a round of a batch goes list by list, and asks about more rows
// the fewer near ones it has found before.
constexpr std::size_t kRoundGrowth = 4;

// An estimate of what lists cost may be wrong by this factor: it depends on how the rows lie. What may be spent, of the time of
// the scan, to see what they do cost.
constexpr double kListDoubt = 2;
constexpr double kPilotPart = 0.2;

// The estimate of walks may be too high by this factor: it depends on how the rows lie.
constexpr double kWalkDoubt = 4;

// What may be spent, of the time of the cheaper way, to learn how far a graph's queries have to go, ...
constexpr double kForecastPart = 0.05;
// ... on sorting the rows of the sample, beside comparing them, ...
constexpr double kForecastRow = 60;
// ... and as many accepted rows must be expected where the scan becomes cheaper, or else their absence says nothing.
constexpr double kForecastEvidence = 3;

double bytes_of(const IndexFacts& index) { return static_cast<double>(index.dimension) * (index.coded ? 1 : sizeof(float)); }

/// Rows that a scan by distance asks a filter about until k are found, and while the k-th distance falls: by `fall` of what it
/// would be if rows came in no order.
double questions(double k, double selectivity, double rows, double fall = 1) {
  if (selectivity <= 0 || rows <= 0) return rows;
  const double first = std::min(rows, k / selectivity);
  return std::min(rows, first * (1 + fall * std::log(std::max(1.0, rows / first))));
}

/// Rows that a walk compares to keep `met`.
double rows_compared(double met, const IndexFacts& index) {
  return std::min(static_cast<double>(index.rows), met * kWalkFan * std::pow(met, -kWalkFall));
}

/// One walk that keeps `met` rows, where `expected` would have been enough had as many been accepted near the query as elsewhere.
double walk_ns(double met, double expected, const FilterFacts& filter, const IndexFacts& index) {
  const double compared = rows_compared(met, index);
  // rows that enter and fall out again are twice those that stay; none falls out before enough are accepted
  const double entered = std::min(compared, met + 2 * std::min(met, expected));
  return compared * (kWalkRow + kWalkByte * bytes_of(index)) + entered * (filter.apart_ns + met * kMoveMet);
}

/// Rows worth sampling to choose for each query of a graph.
std::size_t worth_sampling(const FilterPlan& plan) {
  const double queries = static_cast<double>(std::max<std::size_t>(plan.search.queries, 1));
  const double rows = static_cast<double>(plan.index.rows);
  const double d = static_cast<double>(plan.index.dimension);
  const double each = queries * (kCompare + kCompareFloat * d + kForecastRow) + kFetch + kFetchFloat * d;
  const double spend = kForecastPart * std::min(plan.index_ns, plan.scan_ns);
  const auto asked = static_cast<double>(plan.filter.asked);
  const double worth = spend <= asked * each ? spend / each : asked + (spend - asked * each) / (each + plan.filter.apart_ns);
  // the most rows that a walk may meet before the scan would have been cheaper
  double most = 1;
  while (most < rows && walk_cost_ns(plan, 2 * most) < plan.scan_ns / queries) most *= 2;
  if (!plan.scan && worth * std::min(1.0, most / std::max(rows, 1.0)) * plan.filter.selectivity < kForecastEvidence) return 0;
  return static_cast<std::size_t>(std::min(worth, rows));
}

/// Rows in the nearest of an IVF's lists. What is nearer lies in larger lists: about half as many rows again.
double rows_in(std::size_t lists, const IndexFacts& index) {
  const double part = static_cast<double>(lists) / static_cast<double>(std::max<std::size_t>(index.nlist, 1));
  return std::min(1.5 * part, 1.0) * static_cast<double>(index.live);
}

double list_row_ns(const IndexFacts& index) { return kListRow + kListByte * bytes_of(index); }

/// So many more lists, with so many rows, and so many questions about these.
double lists_ns(const FilterPlan& plan, double lists, double rows, double questions) {
  return plan.factors.visit * (lists * kList + rows * list_row_ns(plan.index) + questions * (kHit + plan.filter.apart_ns));
}

/// How many times more the filter accepts elsewhere than near a query, at least, as far as chance allows.
double shortage(const FilterPlan& plan, const FilterTally& tally) {
  const double accepted = static_cast<double>(tally.accepted);
  const double near = (accepted + 2 * std::sqrt(accepted) + 1) / static_cast<double>(std::max<std::size_t>(tally.asked, 1));
  return std::max(1.0, plan.filter.selectivity / near);
}

/// What lists cost from one number of them to another, where the filter accepts so many times less near the query than elsewhere.
double lists_ns(const FilterPlan& plan, std::size_t from, std::size_t to, double shortage) {
  const double rows = rows_in(to, plan.index);
  const double before = rows_in(from, plan.index);
  const double kept = static_cast<double>(plan.search.kept);
  // If as few are accepted further on as near the query, all the rows up to there are asked about; if as many as elsewhere, few
  // are. Nothing tells which: the geometric mean is wrong by the least factor.
  const double part = plan.filter.selectivity / shortage;
  const double fall = plan.index.one_by_one ? kNearestFirst : 1;
  const double many = questions(kept, part, rows, fall) - questions(kept, part, before, fall);
  const double few = std::min(many, questions(kept, plan.filter.selectivity, rows - before, fall));
  return lists_ns(plan, static_cast<double>(to - from), rows - before, std::sqrt(many * few));
}

/// A list in which the filter is asked about every row.
double asked_list_ns(const FilterPlan& plan) {
  return lists_ns(plan, 1, rows_in(1, plan.index), rows_in(1, plan.index));
}

/// As many lists as a small part of the scan's time allows, if the filter is asked about every row in them.
std::size_t first_look(const FilterPlan& plan) {
  const double scan_ns = plan.scan_ns / static_cast<double>(std::max<std::size_t>(plan.search.queries, 1));
  const double index_ns = plan.index_ns / static_cast<double>(std::max<std::size_t>(plan.search.queries, 1));
  if (!plan.may_scan || index_ns <= kSurePart * scan_ns) return plan.nprobe;
  const double lists = kLookPart * scan_ns / asked_list_ns(plan);
  return std::clamp<std::size_t>(static_cast<std::size_t>(std::min(lists, 1e9)), 1, plan.nprobe);
}

/// As many queries as a small part of the scan's time allows, if each of them visits the first lists.
std::size_t first_to_look(const FilterPlan& plan) {
  if (plan.first_lists >= plan.nprobe) return plan.search.queries;
  const double queries = kLookPart * plan.scan_ns / plan.look_ns;
  return std::max<std::size_t>(static_cast<std::size_t>(std::min(queries, 1e9)), 1);
}

double flat_ns(const SearchFacts& search, const FilterFacts& filter, const IndexFacts& index) {
  const double rows = static_cast<double>(index.live);
  return rows * (kCompare + kCompareFloat * static_cast<double>(index.dimension)) +
         questions(static_cast<double>(search.k), filter.selectivity, rows) * filter.apart_ns;
}

}  // namespace

std::size_t lists_for(double selectivity, std::size_t nprobe, std::size_t nlist) noexcept {
  const double part = std::clamp(selectivity, 1e-9, 1.0);
  const double wanted = std::ceil(static_cast<double>(nprobe) * std::pow(part, -kListGrowth));
  return static_cast<std::size_t>(std::min(wanted, static_cast<double>(nlist)));
}

FilterPlan plan_filter(const FilterFacts& filter, const IndexFacts& index, const SearchFacts& search, FilterMethod method,
                       const PartFactors& factors) {
  const double queries = static_cast<double>(std::max<std::size_t>(search.queries, 1));
  const double live = static_cast<double>(index.live);
  const double d = static_cast<double>(index.dimension);
  double selectivity = std::clamp(filter.selectivity, 0.0, 1.0);
  if (filter.listed) selectivity = std::min(selectivity, static_cast<double>(*filter.listed) / std::max(live, 1.0));
  const double allowed = selectivity * live;

  FilterPlan plan;
  plan.factors = factors;
  const double asking_ns = factors.ask * static_cast<double>(index.rows) * (kLookAtRow + filter.accept_ns);
  const double listing_ns =
      filter.listed ? factors.list * static_cast<double>(*filter.listed) * (kLookup + filter.accept_ns) : asking_ns;
  plan.by_list = filter.listed.has_value() && listing_ns <= asking_ns;
  plan.find_ns = std::min(asking_ns, listing_ns);
  plan.gather_ns = plan.find_ns + factors.compare * allowed * (kFetch + kFetchFloat * d);
  plan.compare_ns = factors.compare * allowed * (kCompare + kCompareFloat * d);
  plan.scan_ns = plan.gather_ns + queries * plan.compare_ns;
  plan.may_scan = method != FilterMethod::kIndex;

  FilterFacts asked = filter;
  asked.selectivity = selectivity;
  plan.filter = asked;
  plan.index = index;
  plan.search = search;
  bool within_reach = true;
  switch (index.family) {
    case IndexFamily::kFlat: plan.index_ns = factors.visit * queries * flat_ns(search, asked, index); break;
    case IndexFamily::kIvf: {
      plan.nprobe = lists_for(selectivity, search.nprobe, index.nlist);
      // the lists visited must hold the answer, several times over
      const double needed =
          kListReserve * static_cast<double>(search.k) / std::max(allowed, 1e-9) * static_cast<double>(index.nlist);
      within_reach = allowed >= static_cast<double>(search.k);
      plan.nprobe = std::max(plan.nprobe, static_cast<std::size_t>(std::min(std::ceil(needed), static_cast<double>(index.nlist))));
      plan.index_ns = queries * lists_ns(plan, 0, plan.nprobe, 1);
      plan.first_lists = first_look(plan);
      plan.look_ns = static_cast<double>(plan.first_lists) * asked_list_ns(plan);
      plan.scouts = first_to_look(plan);
      plan.tallied = static_cast<std::size_t>(std::min(std::ceil(kFullEvidence / std::max(selectivity, 1e-9)), live + 1));
      break;
    }
    case IndexFamily::kHnsw: {
      const double kept = static_cast<double>(std::max(search.ef, search.k));
      within_reach = kept <= allowed;
      const double met = std::min(static_cast<double>(index.rows), kept / std::max(selectivity, 1e-9));
      plan.index_ns = factors.walk * factors.foreseen * queries * walk_ns(met, met, asked, index);
      break;
    }
  }
  switch (method) {
    case FilterMethod::kByCost:
      plan.scan = plan.scan_ns < kScanWorth * plan.index_ns || (index.family != IndexFamily::kFlat && !within_reach);
      break;
    case FilterMethod::kIndex: plan.scan = false; break;
    case FilterMethod::kScan: plan.scan = true; break;
  }
  // unless no query would walk, not even one all of whose neighbours are accepted
  const double kept = static_cast<double>(std::max(search.ef, search.k));
  if (index.family == IndexFamily::kHnsw && method == FilterMethod::kByCost && within_reach &&
      walk_cost_ns(plan, kept) < kWalkDoubt * plan.scan_ns / queries) {
    plan.chooses = true;
    plan.sampled = worth_sampling(plan);
  }
  return plan;
}

double walk_cost_ns(const FilterPlan& plan, double met) {
  const double kept = static_cast<double>(std::max(plan.search.ef, plan.search.k));
  const double expected = std::min(static_cast<double>(plan.index.rows), kept / std::max(plan.filter.selectivity, 1e-9));
  return plan.factors.walk * plan.factors.foreseen * walk_ns(met, expected, plan.filter, plan.index);
}

double walked_cost_ns(const FilterPlan& plan, std::size_t compared, std::size_t asked, double met) {
  return plan.factors.walk * (static_cast<double>(compared) * (kWalkRow + kWalkByte * bytes_of(plan.index)) +
                              static_cast<double>(asked) * (plan.filter.apart_ns + met * kMoveMet));
}

double walk_row_ns(const FilterPlan& plan, double met) {
  return walk_cost_ns(plan, met) / plan.factors.foreseen / rows_compared(met, plan.index);
}

FurtherLists further_lists(const FilterPlan& plan, const FilterTally& tally, std::size_t visited) {
  const double expected = plan.filter.selectivity * static_cast<double>(tally.asked);
  const double times = shortage(plan, tally);
  const double wanted = std::min(std::round(static_cast<double>(plan.nprobe) * times), static_cast<double>(plan.index.nlist));
  FurtherLists further{.total = static_cast<std::size_t>(wanted)};
  if (further.total <= visited ||
      (visited >= plan.nprobe && wanted < kWorthARound * static_cast<double>(visited) && further.total < plan.index.nlist)) {
    return {visited, visited, 0};
  }
  if (visited == 0) {
    further.next = std::min(further.total, plan.first_lists);
  } else if (expected < kEvidence) {
    further.next = std::min(further.total, 2 * visited);
  } else {
    further.next = std::min(further.total, std::max(plan.nprobe, kRoundGrowth * visited));
  }
  further.cost_ns = lists_ns(plan, visited, further.total, times);
  return further;
}

double forecast_ns(const FilterPlan& plan, const FilterTally& tally, std::size_t visited) {
  return lists_ns(plan, 0, visited, shortage(plan, tally));
}

double visited_ns(const FilterPlan& plan, const FilterTally& tally, std::size_t visited) {
  return lists_ns(plan, static_cast<double>(visited), rows_in(visited, plan.index), static_cast<double>(tally.questions));
}

bool wants_pilot(const Doubt& doubt) noexcept {
  return doubt.each_ns <= kPilotPart * doubt.scan_ns && doubt.index_ns <= kListDoubt * doubt.scan_ns &&
         doubt.scan_ns <= kListDoubt * doubt.index_ns;
}

}  // namespace annulus
