#include "index/filtered_search.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <numeric>

#include "core/prefetch.h"
#include "index/distance.h"
#include "index/list_rounds.h"
#include "index/search_scratch.h"
#include "index/top_k.h"

namespace annulus {
namespace {

// A list so short is taken as it is: finding out what else the filter accepts would cost more.
constexpr std::size_t kShortList = 256;
// Rows asked about at once while a filter is sampled, when that is enough, and when it is too much.
constexpr std::size_t kSampleStep = 32;
constexpr std::size_t kEnoughAccepted = 16;
constexpr std::size_t kMostSamples = 1024;
// Rows in order over which the filter's cost is taken, the least of so many turns, for the clock may be interrupted.
constexpr std::size_t kTimedRows = 48;
constexpr std::size_t kTimedTurns = 2;
constexpr std::size_t kTimedApart = 16;  // of those of the sample, which are in no order
// Rows of a scan that stay in the cache while all queries are compared with them, and how far ahead they are fetched.
constexpr std::size_t kScanBlock = 64;
constexpr std::size_t kAhead = 8;

double nanoseconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - began).count();
}

/// What it costs to ask about one row, of rows in order.
double time_filter(const Filter& filter, const RowTable& rows) {
  double least = std::numeric_limits<double>::infinity();
  std::size_t row = rows.rows() / 2;
  for (std::size_t turn = 0; turn <= kTimedTurns; ++turn) {
    std::size_t asked = 0;
    const auto began = std::chrono::steady_clock::now();
    for (; row < rows.rows() && asked < kTimedRows; ++row) {
      if (!rows.is_live(static_cast<Row>(row))) continue;
      static_cast<void>(filter.accept(rows.id(static_cast<Row>(row))));
      ++asked;
    }
    if (asked == 0) break;
    least = std::min(least, nanoseconds_since(began) / static_cast<double>(asked));
  }
  return least == std::numeric_limits<double>::infinity() ? 0 : least;
}

/// How many rows the store keeps of a query's: those that exact distances are to decide about.
std::size_t kept_of(const SearchedIndex& index, const RowSearch& search) {
  const bool ranks = index.parsed.family == IndexFamily::kIvf && !index.store.candidates_are_exact();
  if (!ranks || search.phase == SearchPhase::kCandidates) return search.k;
  const int asked = search.batch.params().rerank.value_or(0);
  return std::max(search.k, asked > 0 ? static_cast<std::size_t>(asked) : default_rerank(search.k));
}

SearchFacts facts_of(const SearchedIndex& index, const RowSearch& search) {
  const SearchParams& params = search.batch.params();
  return {.queries = search.batch.size(),
          .k = search.k,
          .kept = kept_of(index, search),
          .ef = static_cast<std::size_t>(params.ef.value_or(index.spec.ef)),
          .nprobe = std::min(static_cast<std::size_t>(params.nprobe.value_or(index.spec.nprobe)),
                             std::max<std::size_t>(index.parsed.nlist, 1))};
}

IndexFacts facts_of(const SearchedIndex& index) {
  return {.family = index.parsed.family,
          .coded = index.spec.search_codes == SearchCodes::kInt8 || index.parsed.coding != Coding::kFloat,
          .dimension = index.spec.dimension,
          .rows = index.rows.rows(),
          .live = index.rows.live(),
          .nlist = index.parsed.nlist};
}

FilterPlan plan_of(const SearchedIndex& index, const RowSearch& search) {
  const std::optional<std::size_t> listed = search.filter->listed();
  const FilterMethod method = search.batch.params().filter_method;
  if (listed && *listed <= kShortList && method != FilterMethod::kIndex) return {.scan = true, .by_list = true};
  return plan_filter(sample_filter(*search.filter, index.rows), facts_of(index), facts_of(index, search), method);
}

/// The batch with the lists that the plan wants, in the codec of the index: `given` itself where it is that.
class ReadyBatch {
 public:
  ReadyBatch(const SearchedIndex& index, const QueryBatch& given, const FilterPlan* plan, SearchWork& work) : ready_(&given) {
    if (index.codec == nullptr) return;
    SearchParams params = given.params();
    const bool more = plan != nullptr && index.parsed.family == IndexFamily::kIvf &&
                      plan->nprobe > static_cast<std::size_t>(params.nprobe.value_or(index.spec.nprobe));
    if (more) params.nprobe = static_cast<int>(plan->nprobe);
    if (!more && given.codec() != nullptr && given.codec()->fingerprint() == index.codec->fingerprint()) return;
    ready_ = &own_.emplace(index.spec, given.queries(), params, index.codec, &*memory_);
    work.distances += own_->distances();
  }
  const QueryBatch& operator*() const noexcept { return *ready_; }

 private:
  const Reused<QueryBatch::Memory> memory_;
  std::optional<QueryBatch> own_;
  const QueryBatch* ready_;
};

/// What searches need beside the index's own scratch.
struct FilterMemory {
  std::vector<std::uint32_t> unanswered;
  std::vector<char> left;
  std::vector<VectorId> ids;
  std::vector<Row> allowed;
  std::vector<TopK> nearest;
};

void prefetch(const float* x, std::size_t d) noexcept {
  const auto* bytes = reinterpret_cast<const char*>(x);
  for (std::size_t at = 0; at < std::min<std::size_t>(d * sizeof(float), 1024); at += 64) annulus::prefetch(bytes + at);
}

}  // namespace

FilterFacts sample_filter(const Filter& filter, const RowTable& rows) {
  FilterFacts facts{.listed = filter.listed()};
  if (rows.live() == 0) return facts;
  std::size_t asked = 0, accepted = 0;
  double least = std::numeric_limits<double>::infinity();
  auto began = std::chrono::steady_clock::now();
  // multiples of the golden ratio: any first few of them are spread evenly
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ULL;
  std::uint64_t at = kGolden / 2;
  for (std::size_t tried = 0; asked < kMostSamples && tried < 4 * kMostSamples; ++tried, at += kGolden) {
    if (asked % kSampleStep == 0 && accepted >= kEnoughAccepted) break;
    const Row row = static_cast<Row>(((at >> 32) * rows.rows()) >> 32);
    if (!rows.is_live(row)) continue;
    ++asked;
    accepted += filter.accept(rows.id(row)) ? 1 : 0;
    if (asked % kTimedApart != 0) continue;
    const auto now = std::chrono::steady_clock::now();
    least = std::min(least, std::chrono::duration<double, std::nano>(now - began).count() / static_cast<double>(kTimedApart));
    began = now;
  }
  facts.selectivity = (static_cast<double>(accepted) + 0.5) / (static_cast<double>(asked) + 1);
  facts.accept_ns = time_filter(filter, rows);
  facts.apart_ns = std::max(facts.accept_ns, least == std::numeric_limits<double>::infinity() ? 0 : least);
  return facts;
}

void gather_rows(const Filter* filter, const RowTable& rows, bool by_list, std::vector<Row>& out) {
  if (filter != nullptr && by_list) {
    const Reused<FilterMemory> memory;
    std::vector<VectorId>& ids = memory->ids;
    ids.clear();
    filter->list(ids);
    for (const VectorId id : ids) {
      const std::optional<Row> row = rows.find(id);
      if (row && filter->accept(id)) out.push_back(*row);
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return;
  }
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    const Row row = static_cast<Row>(i);
    if (rows.is_live(row) && (filter == nullptr || filter->accept(rows.id(row)))) out.push_back(row);
  }
}

void scan_rows(const SearchedIndex& index, const RowSearch& search, std::span<const std::uint32_t> queries,
               std::span<const Row> allowed, Candidate* out, std::size_t* counts) {
  const std::size_t d = index.spec.dimension;
  const bool in_place = index.parsed.coding == Coding::kFloat;
  const Reused<FilterMemory> memory;
  std::vector<TopK>& nearest = memory->nearest;
  nearest.clear();
  nearest.reserve(queries.size());
  for (const std::uint32_t query : queries) nearest.emplace_back(std::span(out + query * search.k, search.k), search.order);
  ScratchLease scratch;
  scratch->decoded.resize(kScanBlock * d);
  float* block = scratch->decoded.data();
  std::array<float, kScanBlock> found;
  for (std::size_t begin = 0; begin < allowed.size(); begin += kScanBlock) {
    const std::size_t n = std::min(kScanBlock, allowed.size() - begin);
    for (std::size_t i = 0; i < n; ++i) {
      if (in_place && begin + i + kAhead < allowed.size()) prefetch(index.store.vector(allowed[begin + i + kAhead], nullptr), d);
      const float* stored = index.store.vector(allowed[begin + i], block + i * d);
      if (in_place) std::copy_n(stored, d, block + i * d);
    }
    for (std::size_t q = 0; q < queries.size(); ++q) {
      distances(index.spec.metric, search.batch.query(queries[q]), block, n, d, d, found.data());
      SharedBound* bound = search.bounds.empty() ? nullptr : &search.bounds[queries[q]];
      const float farthest = bound == nullptr ? std::numeric_limits<float>::infinity() : bound->get();
      for (std::size_t i = 0; i < n; ++i) {
        if (found[i] <= farthest && nearest[q].admits(found[i])) nearest[q].push({index.rows.id(allowed[begin + i]), found[i]});
      }
      if (bound != nullptr && nearest[q].full()) bound->lower(nearest[q].farthest(), nearest[q].size());
    }
  }
  for (std::size_t q = 0; q < queries.size(); ++q) counts[queries[q]] = nearest[q].finish().size();
  search.work.distances += allowed.size() * queries.size();
  search.work.exact_scans += queries.size();
}

void search_rows(const SearchedIndex& index, const RowSearch& search, Candidate* out, std::size_t* counts) {
  const bool filtered = search.filter != nullptr && index.rows.live() != 0;
  const FilterPlan plan = filtered ? plan_of(index, search) : FilterPlan{};
  const Reused<FilterMemory> memory;
  std::vector<std::uint32_t>& unanswered = memory->unanswered;
  unanswered.clear();
  if (plan.scan) {
    unanswered.resize(search.batch.size());
    std::iota(unanswered.begin(), unanswered.end(), std::uint32_t{0});
  } else {
    const ReadyBatch ready(index, search.batch, filtered ? &plan : nullptr, search.work);
    if (filtered && index.parsed.family == IndexFamily::kIvf) {
      search_in_rounds(index, search, *ready, plan, out, counts, unanswered);
    } else {
      index.store.search({.batch = *ready,
                          .k = search.k,
                          .phase = search.phase,
                          .filter = search.filter,
                          .order = search.order,
                          .bounds = search.bounds,
                          .rows = search.rows,
                          .work = search.work,
                          .patience = plan.patience,
                          .share = plan.filter.selectivity},
                         out, counts);
    }
    std::vector<char>& left = memory->left;
    left.assign(search.batch.size(), 0);
    for (const std::uint32_t query : unanswered) left[query] = 1;
    const bool walked = index.parsed.family == IndexFamily::kHnsw;
    const bool completes = walked || (filtered && index.parsed.family == IndexFamily::kIvf);
    for (std::size_t i = 0; completes && i < search.batch.size(); ++i) {
      // a walk heeds no bound: where it fell short it gave up, however near others are
      const bool bounded = !walked && !search.bounds.empty() && search.bounds[i].get() < std::numeric_limits<float>::infinity();
      const bool short_of_k = counts[i] < std::min(search.k, index.rows.live());
      if (left[i] == 0 && !bounded && short_of_k) unanswered.push_back(static_cast<std::uint32_t>(i));
    }
  }
  if (unanswered.empty()) return;
  std::vector<Row>& allowed = memory->allowed;
  allowed.clear();
  gather_rows(search.filter, index.rows, plan.by_list, allowed);
  scan_rows(index, search, unanswered, allowed, out, counts);
}

}  // namespace annulus
