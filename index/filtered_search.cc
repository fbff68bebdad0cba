#include "index/filtered_search.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <numeric>

#include "core/prefetch.h"
#include "index/distance.h"
#include "index/filter_sample.h"
#include "index/list_rounds.h"
#include "index/search_scratch.h"
#include "index/top_k.h"
#include "index/walk_choice.h"

namespace annulus {
namespace {

// A list so short is taken as it is: finding out what else the filter accepts would cost more.
constexpr std::size_t kShortList = 256;
// Rows of a scan that stay in the cache while all queries are compared with them, and how far ahead they are fetched.
constexpr std::size_t kScanBlock = 64;
constexpr std::size_t kAhead = 8;

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
          .nlist = index.parsed.nlist,
          .one_by_one = index.store.candidates_are_exact()};
}

using Clock = std::chrono::steady_clock;

double nanoseconds_since(Clock::time_point began) { return std::chrono::duration<double, std::nano>(Clock::now() - began).count(); }

/// A search that must go one way teaches nothing: what it costs is known to who wants it so.
bool teaches(const RowSearch& search) noexcept {
  return search.filter != nullptr && search.batch.params().filter_method == FilterMethod::kByCost;
}

/// Nothing is asked of the index.
bool only_scans(const FilterPlan& plan) noexcept { return plan.scan && !plan.chooses; }

/// Whether what such searches took is to be heeded: a plan by which the index is much cheaper than a scan is not put off by others,
/// which may have asked for more.
bool in_doubt(const FilterPlan& plan) noexcept {
  constexpr double kClear = 1.0 / 3;
  return plan.index_ns >= kClear * plan.scan_ns;
}

FilterPlan plan_of(const SearchedIndex& index, const RowSearch& search, FilterSample& sample) {
  const std::optional<std::size_t> listed = search.filter->listed();
  const FilterMethod method = search.batch.params().filter_method;
  if (listed && *listed <= kShortList && method != FilterMethod::kIndex) return {.scan = true, .by_list = true};
  const FilterFacts filter = sample_filter(*search.filter, index.rows, sample);
  FilterPlan plan = plan_filter(filter, facts_of(index), facts_of(index, search), method,
                                index.costs.factors(filter.selectivity, search.batch.size()));
  if (teaches(search) && search.batch.size() == 1 && !only_scans(plan) && in_doubt(plan) &&
      !index.costs.plan_pays(filter.selectivity, listed.has_value())) {
    plan.scan = true;
    plan.chooses = false;
  }
  return plan;
}

/// Takes the time of a whole search of one query, but for what its plan took.
class WholeTimer {
 public:
  WholeTimer(const SearchedIndex& index, const RowSearch& search, const FilterPlan& plan) noexcept
      : index_(index), plan_(plan), teaches_(teaches(search) && search.batch.size() == 1) {
    if (teaches_) began_ = Clock::now();
  }
  ~WholeTimer() {
    if (!teaches_ || !in_doubt(plan_)) return;
    index_.costs.learn_whole(only_scans(plan_), plan_.filter.selectivity, plan_.filter.listed.has_value(), plan_.scan_ns,
                             nanoseconds_since(began_));
  }
  WholeTimer(const WholeTimer&) = delete;
  WholeTimer& operator=(const WholeTimer&) = delete;

 private:
  const SearchedIndex& index_;
  const FilterPlan& plan_;
  const bool teaches_;
  Clock::time_point began_ = {};
};

/// Takes the time of one part of a search, for the index to learn from.
class PartTimer {
 public:
  PartTimer(const SearchedIndex& index, const RowSearch& search, const FilterPlan& plan) noexcept
      : index_(index), search_(search), plan_(plan), teaches_(teaches(search)) {}

  void begin() noexcept {
    if (teaches_) began_ = Clock::now();
  }
  /// `estimated_ns` is the plan's, with `factor`.
  void end(FilterPart part, double estimated_ns, double factor) noexcept {
    if (!teaches_) return;
    index_.costs.learn(part, plan_.filter.selectivity, search_.batch.size(), estimated_ns / factor, nanoseconds_since(began_));
  }

 private:
  const SearchedIndex& index_;
  const RowSearch& search_;
  const FilterPlan& plan_;
  const bool teaches_;
  Clock::time_point began_ = {};
};

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
  FilterSample sample;
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
  const Reused<FilterMemory> memory;
  const FilterPlan plan = filtered ? plan_of(index, search, memory->sample) : FilterPlan{};
  const WholeTimer whole(index, search, plan);
  PartTimer timer(index, search, plan);
  std::vector<std::uint32_t>& unanswered = memory->unanswered;
  unanswered.clear();
  if (only_scans(plan)) {
    unanswered.resize(search.batch.size());
    std::iota(unanswered.begin(), unanswered.end(), std::uint32_t{0});
  } else {
    const ReadyBatch ready(index, search.batch, filtered ? &plan : nullptr, search.work);
    if (filtered && index.parsed.family == IndexFamily::kIvf) {
      search_in_rounds(index, search, *ready, plan, out, counts, unanswered);
    } else {
      std::optional<WalkChoice> walks;
      if (plan.chooses) walks.emplace(index, search, plan, memory->sample);
      timer.begin();
      index.store.search({.batch = *ready,
                          .k = search.k,
                          .phase = search.phase,
                          .filter = search.filter,
                          .order = search.order,
                          .bounds = search.bounds,
                          .rows = search.rows,
                          .work = search.work,
                          .walks = walks ? &*walks : nullptr},
                         out, counts);
      if (index.parsed.family == IndexFamily::kFlat) timer.end(FilterPart::kVisit, plan.index_ns, plan.factors.visit);
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
  timer.begin();
  gather_rows(search.filter, index.rows, plan.by_list, allowed);
  timer.end(plan.by_list ? FilterPart::kList : FilterPart::kAsk, plan.find_ns, plan.by_list ? plan.factors.list : plan.factors.ask);
  timer.begin();
  scan_rows(index, search, unanswered, allowed, out, counts);
  const double fetch_ns = plan.gather_ns - plan.find_ns;
  timer.end(FilterPart::kCompare, fetch_ns + static_cast<double>(unanswered.size()) * plan.compare_ns, plan.factors.compare);
}

}  // namespace annulus
