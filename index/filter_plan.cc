#include "index/filter_plan.h"

#include <algorithm>
#include <cmath>

namespace annulus {
namespace {

// Nanoseconds, measured with vectors of 100 to 1000 components on AVX-512.
constexpr double kLookup = 120;         // one id of a filter's list: from key to row
constexpr double kLookAtRow = 1;        // whether a row is live, where rows are passed in order
constexpr double kMiss = 60;            // a question about a row out of order waits for memory
constexpr double kFetch = 12;           // a vector is fetched for the scan, once for all queries, ...
constexpr double kFetchFloat = 0.12;    // ... and for each of its floats
constexpr double kCompare = 3;          // a fetched vector is compared with a query, ...
constexpr double kCompareFloat = 0.05;  // ... for each of its floats
constexpr double kWalkRow = 14;         // a walk compares a row, ...
constexpr double kWalkByte = 0.04;      // ... for each byte of what it compares
constexpr double kListRow = 0.4;        // a list's row is compared, ...
constexpr double kListByte = 0.012;     // ... for each byte of what is compared
constexpr double kMoveMet = 1.0 / 40;   // a row enters the rows that were met, for each of those behind it

// Rows compared for each row that a walk of a graph of 16 links keeps, and how that number falls as it keeps more.
constexpr double kWalkFan = 42;
constexpr double kWalkFall = 0.2;

// How lists to visit grow as the filter accepts less.
constexpr double kListGrowth = 0.5;
// Accepted rows that the visited lists should hold for each that is asked for.
constexpr double kListReserve = 2;

// How far beyond its expectation a walk is allowed to go before it is compared with the scan.
constexpr double kLeastPatience = 256;

double bytes_of(const IndexFacts& index) { return static_cast<double>(index.dimension) * (index.coded ? 1 : sizeof(float)); }

/// Rows that a scan by distance asks a filter about until k are found, and while the k-th distance falls.
double questions(double k, double selectivity, double rows) {
  if (selectivity <= 0) return rows;
  const double first = std::min(rows, k / selectivity);
  return std::min(rows, first * (1 + std::log(std::max(1.0, rows / first))));
}

/// One walk that keeps `met` rows.
double walk_ns(double met, const FilterFacts& filter, const IndexFacts& index) {
  const double compared = std::min(static_cast<double>(index.rows), met * kWalkFan * std::pow(met, -kWalkFall));
  // rows that enter and fall out again are a few times those that stay
  const double entered = std::min(compared, 3 * met);
  return compared * (kWalkRow + kWalkByte * bytes_of(index)) + entered * (kMiss + filter.accept_ns + met * kMoveMet);
}

double lists_ns(std::size_t nprobe, const SearchFacts& search, const FilterFacts& filter, const IndexFacts& index) {
  const double part = static_cast<double>(nprobe) / static_cast<double>(std::max<std::size_t>(index.nlist, 1));
  const double rows = part * static_cast<double>(index.live);
  // what is nearer lies in larger lists: about half as many rows again
  return 1.5 * rows * (kListRow + kListByte * bytes_of(index)) +
         questions(static_cast<double>(search.k), filter.selectivity, rows) * (kMiss + filter.accept_ns);
}

double flat_ns(const SearchFacts& search, const FilterFacts& filter, const IndexFacts& index) {
  const double rows = static_cast<double>(index.live);
  return rows * (kCompare + kCompareFloat * static_cast<double>(index.dimension)) +
         questions(static_cast<double>(search.k), filter.selectivity, rows) * (kMiss + filter.accept_ns);
}

}  // namespace

std::size_t lists_for(double selectivity, std::size_t nprobe, std::size_t nlist) noexcept {
  const double part = std::clamp(selectivity, 1e-9, 1.0);
  const double wanted = std::ceil(static_cast<double>(nprobe) * std::pow(part, -kListGrowth));
  return static_cast<std::size_t>(std::min(wanted, static_cast<double>(nlist)));
}

FilterPlan plan_filter(const FilterFacts& filter, const IndexFacts& index, const SearchFacts& search, FilterMethod method) {
  const double queries = static_cast<double>(std::max<std::size_t>(search.queries, 1));
  const double live = static_cast<double>(index.live);
  const double d = static_cast<double>(index.dimension);
  double selectivity = std::clamp(filter.selectivity, 0.0, 1.0);
  if (filter.listed) selectivity = std::min(selectivity, static_cast<double>(*filter.listed) / std::max(live, 1.0));
  const double allowed = selectivity * live;

  FilterPlan plan;
  const double asking_ns = static_cast<double>(index.rows) * (kLookAtRow + filter.accept_ns);
  const double listing_ns = filter.listed ? static_cast<double>(*filter.listed) * (kLookup + filter.accept_ns) : asking_ns;
  plan.by_list = filter.listed.has_value() && listing_ns <= asking_ns;
  plan.scan_ns = std::min(asking_ns, listing_ns) + allowed * (kFetch + kFetchFloat * d + queries * (kCompare + kCompareFloat * d));

  FilterFacts asked = filter;
  asked.selectivity = selectivity;
  bool within_reach = true;
  switch (index.family) {
    case IndexFamily::kFlat: plan.index_ns = queries * flat_ns(search, asked, index); break;
    case IndexFamily::kIvf: {
      plan.nprobe = lists_for(selectivity, search.nprobe, index.nlist);
      // the lists visited must hold the answer, several times over
      const double needed =
          kListReserve * static_cast<double>(search.k) / std::max(allowed, 1e-9) * static_cast<double>(index.nlist);
      within_reach = needed <= static_cast<double>(index.nlist);
      plan.nprobe = std::max(plan.nprobe, static_cast<std::size_t>(std::min(std::ceil(needed), static_cast<double>(index.nlist))));
      plan.index_ns = queries * lists_ns(plan.nprobe, search, asked, index);
      break;
    }
    case IndexFamily::kHnsw: {
      const double kept = static_cast<double>(std::max(search.ef, search.k));
      within_reach = kept <= allowed;
      const double met = std::min(static_cast<double>(index.rows), kept / std::max(selectivity, 1e-9));
      plan.index_ns = queries * walk_ns(met, asked, index);
      if (method != FilterMethod::kIndex) {
        double most = std::max(kLeastPatience, met);
        while (most < static_cast<double>(index.rows) && walk_ns(2 * most, asked, index) < plan.scan_ns / queries) most *= 2;
        plan.patience = static_cast<std::size_t>(2 * most);
      }
      break;
    }
  }
  switch (method) {
    case FilterMethod::kByCost:
      plan.scan = plan.scan_ns < plan.index_ns || (index.family != IndexFamily::kFlat && !within_reach);
      break;
    case FilterMethod::kIndex: plan.scan = false; break;
    case FilterMethod::kScan: plan.scan = true; break;
  }
  return plan;
}

}  // namespace annulus
