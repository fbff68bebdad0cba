// The search path: cover -> (shard x query block) grid -> candidates -> one merge -> exact distances -> answer.
#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "core/reused.h"
#include "core/thread_budget.h"
#include "index/distance.h"
#include "shard/bound_merge.h"
#include "shard/top_k_merge.h"
#include "shard/vector_router.h"

namespace annulus {
namespace {

// Queries that one task of the grid answers: enough to pay for its start, few enough to spread. Lists are read once for all
// queries of a block that visit them, and a filter is asked about all rows once for them: there the more, the better, as long as
// every thread has a block.
constexpr std::size_t kQueryBlock = 32;
constexpr std::size_t kMaxListQueryBlock = 1024;

bool callers_fault(ErrorCode code) { return code == ErrorCode::kInvalidArgument || code == ErrorCode::kFailedPrecondition; }

/// A shard failed to refine its candidates.
struct RefineFailure {
  std::size_t shard;  // of the cover
  std::exception_ptr cause;
};

/// What one search needs; the thread's next one uses it again. Lists of lists only grow, to keep what is in them.
struct SearchMemory {
  std::vector<char> usable;  // by member
  Cover cover;
  std::vector<std::uint32_t> open;               // queries that have no answer yet
  std::vector<QueryBatch::Memory> batch_memory;  // by block
  std::vector<std::optional<QueryBatch>> batches;
  std::vector<SharedBound> bounds;             // by open query
  std::vector<std::vector<float>> nearest;     // by open query: the distances found so far, sorted
  std::vector<double> share_asked;             // by block: of all keys, among the rows of the shards that have answered
  std::vector<CandidateLists> lists;           // blocks x shards of the cover
  std::vector<char> whole;                     // by open query: its answer has no hole
  std::vector<std::vector<Neighbor>> answers;  // by query
  std::vector<float> gathered;
};

/// What merging a block needs.
struct MergeMemory {
  TopKMerge merger;
  std::vector<std::vector<MergedHit>> hits;  // by query
  std::vector<std::size_t> begins;           // of items, by shard
  std::vector<RefineItem> items;
  std::vector<MergedHit*> places;
  std::vector<float> exact;
};

/// Distances that are merged between shards for each query, at most.
constexpr std::size_t kMostMerged = 1024;

/// A thread does not keep the memory of a search for more queries than this.
constexpr std::size_t kMostKept = 16384;

template <class T>
void grow_to(std::vector<T>& list, std::size_t size) {
  if (list.size() < size) list.resize(size);
}

}  // namespace

/// One search under one snapshot.
class RouterSearch {
 public:
  RouterSearch(const VectorRouter& router, const MatrixView& queries, std::size_t k, const SearchOptions& options, SearchResult& result)
      : router_(router), queries_(queries), k_(k), options_(options), result_(result), snapshot_(router.control().pin()) {
    if (options_.filter != nullptr) filter_ = [this](KeyView key) { return passes(key); };
  }
  ~RouterSearch() {
    batches_.clear();  // they refer to the queries, and to the codec
    if (static_cast<std::size_t>(queries_.rows()) > kMostKept) *memory_ = SearchMemory();
  }
  RouterSearch(const RouterSearch&) = delete;
  RouterSearch& operator=(const RouterSearch&) = delete;

  void run() {
    const auto n = static_cast<std::size_t>(queries_.rows());
    result_.distances = 0;
    result_.errors.clear();
    usable_.clear();
    for (const Member& member : snapshot_->members()) usable_.push_back(member.health == ShardHealth::kUp);
    cover_ = snapshot_->plans().next();
    result_.coverage = snapshot_->plans().coverage();
    require_cover();
    result_.shards_asked = cover_.size();
    // Room for what there is, not for what is asked: k may be absurd.
    result_.counts_.assign(n, 0);
    grow_to(answers_, n);

    std::vector<std::uint32_t>& open = memory_->open;
    open.resize(n);
    for (std::uint32_t i = 0; i < n; ++i) open[i] = i;
    // An answer that may have a hole is asked again for more: this ends at the latest when the lists are not cut any more.
    bool first = true;
    for (std::size_t asked = candidates_of_a_shard(); !open.empty(); asked = std::max(doubled(asked), candidates_wanted())) {
      ask_until_answered(open, asked, first);
      merge(open, asked);
      if (first && asked < wanted_) router_.learn_holes(open.size(), n);
      first = false;
    }
    write_answers();
  }

 private:
  // For `list` of a hit whose key was erased between the two phases.
  static constexpr std::uint32_t kGone = std::numeric_limits<std::uint32_t>::max();

  void require_cover() const {
    if (!cover_.empty()) return;
    if (snapshot_->members().empty()) throw Error(ErrorCode::kUnavailable, "no shard is attached to this router; call attach_node");
    std::string first = result_.errors.empty() ? "" : "; " + result_.errors.front().message;
    throw Error(ErrorCode::kUnavailable, "no shard is up, of " + std::to_string(snapshot_->members().size()) +
                                             "; bring one up and search again" + first);
  }

  // The caller's filter; what it throws is his, and no shard's, failure.
  bool passes(KeyView key) {
    try {
      return (*options_.filter)(key);
    } catch (...) {
      std::lock_guard lock(filter_mutex_);
      if (!filter_failure_) filter_failure_ = std::current_exception();
      return false;
    }
  }

  const Shard& shard_of(const CoverUnit& unit) const { return *snapshot_->members()[unit.member].shard; }

  static std::size_t doubled(std::size_t n) { return n > std::numeric_limits<std::size_t>::max() / 2 ? n : 2 * n; }

  std::size_t candidates_wanted() const {
    const bool exact = std::all_of(cover_.begin(), cover_.end(),
                                   [&](const CoverUnit& unit) { return shard_of(unit).candidates_are_exact(); });
    if (exact) return k_;
    const auto rerank = static_cast<std::size_t>(options_.params.rerank.value_or(0));
    return std::max(k_, rerank != 0 ? rerank : default_rerank(k_));
  }

  // What one shard is asked for at first: those of the wanted that it should hold.
  std::size_t candidates_of_a_shard() const {
    const std::size_t wanted = candidates_wanted();
    if (!settled() || router_.asks_for_all()) return wanted;
    double share = 0;
    for (const CoverUnit& unit : cover_) share = std::max(share, share_of(unit));
    return most_in_a_share(wanted, share);
  }

  // Of the keys that the cover reaches, the part that is among a unit's rows.
  double share_of(const CoverUnit& unit) const { return std::min(1.0, unit.share / result_.coverage); }

  // Whether no resize is under way: keys are where the layout says, or in more places where a copy was not dropped yet.
  bool settled() const {
    const Placement& placement = snapshot_->placement();
    return placement.target == placement.serving && placement.retiring == nullptr;
  }

  bool restricted() const { return options_.filter != nullptr || options_.allow != nullptr || options_.deny != nullptr; }

  std::size_t block_of(std::size_t queries) const {
    if (router_.family_ != IndexFamily::kIvf && !restricted()) return kQueryBlock;
    const std::size_t threads = std::max<std::size_t>(1, thread_budget());
    return std::clamp((queries + threads - 1) / threads, kQueryBlock, kMaxListQueryBlock);
  }

  // Asks the cover; a shard that fails is left out and a cover without it is asked instead.
  void ask_until_answered(const std::vector<std::uint32_t>& open, std::size_t asked, bool sharing) {
    prepare(open);
    while (!ask(open, asked, sharing)) cover_without_failed();
  }

  void cover_without_failed() {
    const QueryPlans plans = snapshot_->plans_with({usable_.begin(), usable_.end()});
    cover_ = plans.next();
    result_.coverage = plans.coverage();
    require_cover();
    result_.shards_asked = cover_.size();
  }

  // Reports the failure of a shard of the cover, which is asked no more; rethrows what the caller is to blame for.
  void leave_out(std::size_t shard, const std::exception_ptr& failure) {
    const MemberIndex member = cover_[shard].member;
    const ShardError error = describe_failure(snapshot_->members()[member].shard->id(), failure);
    if (callers_fault(error.code)) std::rethrow_exception(failure);
    if (usable_[member] != 0) result_.errors.push_back(error);
    usable_[member] = 0;
  }

  std::size_t dimension() const { return static_cast<std::size_t>(queries_.cols()); }

  void gather(const std::vector<std::uint32_t>& open) {
    gathered_.resize(open.size() * dimension());
    for (std::size_t i = 0; i < open.size(); ++i) {
      std::copy_n(row_data(queries_, open[i]), dimension(), gathered_.data() + i * dimension());
    }
  }

  // Makes the blocks of open queries ready, once for all shards.
  void prepare(const std::vector<std::uint32_t>& open) {
    block_ = block_of(open.size());
    blocks_ = (open.size() + block_ - 1) / block_;
    const bool all = open.size() == static_cast<std::size_t>(queries_.rows());
    if (!all) gather(open);
    const MatrixView asked = all ? queries_ : MatrixView(map_rows(gathered_.data(), open.size(), dimension()));
    batches_.clear();
    batches_.resize(blocks_);
    grow_to(memory_->batch_memory, blocks_);
    const std::shared_ptr<const Codec> codec = router_.codec();
    const auto make_batch = [&](std::size_t block) {
      const auto begin = static_cast<Eigen::Index>(block * block_);
      const auto rows = static_cast<Eigen::Index>(std::min(block_, open.size() - block * block_));
      batches_[block].emplace(router_.options().index, MatrixView(asked.middleRows(begin, rows)), options_.params, codec,
                              &memory_->batch_memory[block]);
    };
    const auto failures = fan_out(blocks_, router_.query_cost_.threads_for(open.size()), std::ref(make_batch));
    for (const auto& failure : failures) {
      if (failure) std::rethrow_exception(failure);
    }
    for (const auto& batch : batches_) result_.distances += batch->distances();
  }

  // `sharing`: the shards share a bound for each query, where all of them search by comparable distances.
  bool ask(const std::vector<std::uint32_t>& open, std::size_t asked, bool sharing) {
    const std::size_t tasks = blocks_ * cover_.size();
    grow_to(lists_, tasks);
    wanted_ = candidates_wanted();
    merges_bounds_ = may_merge_bounds();
    const bool shared = sharing && cover_.size() > 1 && router_.family_ != IndexFamily::kHnsw;
    std::vector<SharedBound>& bounds = memory_->bounds;
    bounds.clear();
    for (std::size_t i = 0; shared && i < open.size(); ++i) bounds.emplace_back(wanted_);
    grow_to(memory_->nearest, bounds.size());
    for (std::size_t i = 0; i < bounds.size(); ++i) memory_->nearest[i].clear();
    memory_->share_asked.assign(blocks_, 0.0);
    const std::size_t measured = router_.query_cost_.measured_of(cover_.size());
    // a block's lists lie side by side, for the merge
    const auto ask_shard = [&](std::size_t task) {
      const std::size_t block = task % blocks_;
      const std::size_t shard = task / blocks_;
      const std::uint64_t began = shard == measured ? thread_nanoseconds() : 0;
      const QueryBatch& batch = *batches_[block];
      shard_of(cover_[shard]).candidates(
          {.queries = batch,
           .k = asked,
           .filter = filter_ ? &filter_ : nullptr,
           .allow = options_.allow,
           .deny = options_.deny,
           .groups = cover_[shard].groups,
           .bounds = bounds.empty() ? std::span<SharedBound>() : std::span(bounds).subspan(block * block_, batch.size())},
          lists_[block * cover_.size() + shard]);
      if (!bounds.empty() && merges_bounds_) merge_bounds(block, shard, asked);
      if (shard == measured) router_.query_cost_.learn(thread_nanoseconds() - began, batch.size());
    };
    const auto failures = fan_out(tasks, router_.query_cost_.threads_for(open.size() * cover_.size()), std::ref(ask_shard));
    if (filter_failure_) std::rethrow_exception(filter_failure_);
    bool answered = true;
    for (std::size_t task = 0; task < tasks; ++task) {
      if (failures.empty() || !failures[task]) {
        result_.distances += lists_[(task % blocks_) * cover_.size() + task / blocks_].distances;
        continue;
      }
      leave_out(task / blocks_, failures[task]);
      answered = false;
    }
    return answered;
  }

  // Whether shards that are asked later may be told what all before them have found together: if each row is found once. Where a
  // key may be in two shards it would count twice.
  bool may_merge_bounds() const {
    if (wanted_ > kMostMerged || !settled()) return false;
    return snapshot_->placement().serving->replicas == 1 ||
           std::ranges::all_of(cover_, [](const CoverUnit& unit) { return unit.groups == RowGroups::kPrimary; });
  }

  // Lowers the bounds of a block's queries by what the shards so far have found together: to the distance of the last wanted row,
  // or of as many as lie among these shards' rows of those wanted, by their share. The merge notices where that was too few. Not so
  // under a filter: there a list falls short for other reasons, and is completed where no bound says that it need not be.
  void merge_bounds(std::size_t block, std::size_t shard, std::size_t asked) {
    const CandidateLists& found = lists_[block * cover_.size() + shard];
    const bool by_share = asked < wanted_ && !restricted();
    const std::lock_guard lock(bounds_mutex_);
    double& share = memory_->share_asked[block];
    share = std::min(1.0, share + share_of(cover_[shard]));
    const std::size_t enough = by_share ? most_in_a_share(wanted_, share) : wanted_;
    for (std::size_t i = 0; i < found.queries(); ++i) {
      std::vector<float>& nearest = memory_->nearest[block * block_ + i];
      merge_distances(found.of(i), wanted_, nearest);
      if (nearest.size() >= enough) memory_->bounds[block * block_ + i].lower_to(nearest[enough - 1]);
    }
  }

  // Merges each open query; keeps open those whose answer may have a hole, or lacks exact distances of a shard that failed.
  void merge(std::vector<std::uint32_t>& open, std::size_t asked) {
    std::vector<char>& whole = memory_->whole;
    whole.assign(open.size(), 0);
    const auto merge_one = [&](std::size_t block) { merge_block(block, asked, open, whole); };
    // by reference: a function object of so many captures would be allocated
    const auto failures =
        fan_out(blocks_, std::min(blocks_, router_.query_cost_.threads_for(open.size() * cover_.size())), std::ref(merge_one));
    bool refined = true;
    for (const auto& failure : failures) {
      if (!failure) continue;
      try {
        std::rethrow_exception(failure);
      } catch (const RefineFailure& refine) {
        leave_out(refine.shard, refine.cause);
        refined = false;
      }
    }
    if (!refined) cover_without_failed();
    std::size_t kept = 0;
    for (std::size_t i = 0; i < open.size(); ++i) {
      if (!whole[i]) open[kept++] = open[i];
    }
    open.resize(kept);
  }

  void merge_block(std::size_t block, std::size_t asked, const std::vector<std::uint32_t>& open, std::vector<char>& whole) {
    const Reused<MergeMemory> memory;
    const auto lists = std::span<const CandidateLists>(lists_).subspan(block * cover_.size(), cover_.size());
    const std::size_t begin = block * block_;
    const std::size_t queries = batches_[block]->size();
    grow_to(memory->hits, queries);
    const auto hits = std::span(memory->hits).first(queries);
    for (std::size_t i = 0; i < hits.size(); ++i) {
      const auto& bounds = memory_->bounds;
      MergeBound bound;
      if (!bounds.empty()) bound = {bounds[begin + i].get(), merges_bounds_};
      if (memory->merger.merge(lists, i, asked, wanted_, router_.options().key_kind, hits[i], bound)) whole[begin + i] = 1;
    }
    try {
      refine(*batches_[block], hits, *memory);
    } catch (...) {
      std::fill_n(whole.begin() + static_cast<std::ptrdiff_t>(begin), hits.size(), char{0});
      throw;
    }
    for (std::size_t i = 0; i < hits.size(); ++i) {
      if (whole[begin + i]) answer(open[begin + i], hits[i]);
    }
  }

  // The second phase, for shards whose first was not exact: one call a shard for all hits of the block.
  void refine(const QueryBatch& batch, std::span<std::vector<MergedHit>> hits, MergeMemory& memory) const {
    auto& [merger, all_hits, begins, items, places, exact] = memory;
    // in the order of their shards
    begins.assign(cover_.size() + 1, 0);
    for (const auto& of_query : hits) {
      for (const MergedHit& hit : of_query) ++begins[hit.list + 1];
    }
    std::partial_sum(begins.begin(), begins.end(), begins.begin());
    items.resize(begins.back());
    places.resize(begins.back());
    exact.resize(begins.back());
    for (std::size_t query = 0; query < hits.size(); ++query) {
      for (MergedHit& hit : hits[query]) {
        const std::size_t at = begins[hit.list]++;  // in the end each is the next one's
        items[at] = {query, hit.key, hit.handle};
        places[at] = &hit;
      }
    }
    std::size_t begin = 0;
    for (std::uint32_t list = 0; list < cover_.size(); ++list) {
      const std::size_t end = begins[list];
      refine_part(list, batch, std::span(items).subspan(begin, end - begin), std::span(places).subspan(begin, end - begin),
                  std::span(exact).subspan(begin, end - begin));
      begin = end;
    }
  }

  void refine_part(std::uint32_t list, const QueryBatch& batch, std::span<const RefineItem> items, std::span<MergedHit* const> places,
                   std::span<float> exact) const {
    const Shard& shard = shard_of(cover_[list]);
    if (items.empty() || shard.candidates_are_exact()) return;
    try {
      shard.refine(batch.queries(), items, exact);
    } catch (...) {
      throw RefineFailure{list, std::current_exception()};
    }
    for (std::size_t i = 0; i < items.size(); ++i) {
      places[i]->distance = exact[i];
      if (std::isinf(exact[i]) && exact[i] > 0) places[i]->list = kGone;
    }
  }

  // The cut to k.
  void answer(std::uint32_t query, std::vector<MergedHit>& hits) {
    std::erase_if(hits, [](const MergedHit& hit) { return hit.list == kGone; });
    const std::size_t count = std::min(k_, hits.size());
    std::partial_sort(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(count), hits.end(),
                      [&](const MergedHit& a, const MergedHit& b) {
                        return a.distance != b.distance ? a.distance < b.distance
                                                        : compare_keys(a.key, b.key, router_.options().key_kind) < 0;
                      });
    const bool similarity = router_.options().index.metric != Metric::kL2;
    std::vector<Neighbor>& neighbors = answers_[query];
    neighbors.resize(count);
    for (std::size_t i = 0; i < neighbors.size(); ++i) {
      neighbors[i].key = hits[i].key;
      neighbors[i].distance = similarity ? -hits[i].distance : hits[i].distance;
      neighbors[i].version = hits[i].version;
    }
  }

  void write_answers() {
    const auto answers = std::span(answers_).first(static_cast<std::size_t>(queries_.rows()));
    result_.k_ = 0;
    for (const auto& neighbors : answers) result_.k_ = std::max(result_.k_, neighbors.size());
    result_.neighbors_.resize(answers.size() * result_.k_);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      result_.counts_[i] = answers[i].size();
      std::swap_ranges(answers[i].begin(), answers[i].end(),
                       result_.neighbors_.begin() + static_cast<std::ptrdiff_t>(i * result_.k_));
    }
  }

  const VectorRouter& router_;
  const MatrixView& queries_;
  const std::size_t k_;
  const SearchOptions& options_;
  SearchResult& result_;
  const SnapshotPtr snapshot_;
  const Reused<SearchMemory> memory_;
  std::vector<char>& usable_ = memory_->usable;
  Cover& cover_ = memory_->cover;
  std::vector<std::optional<QueryBatch>>& batches_ = memory_->batches;
  std::vector<CandidateLists>& lists_ = memory_->lists;
  std::vector<std::vector<Neighbor>>& answers_ = memory_->answers;
  std::vector<float>& gathered_ = memory_->gathered;
  std::size_t wanted_ = 0;      // candidates of all shards together, as the cover was asked
  bool merges_bounds_ = false;  // then too
  std::size_t block_ = 1;       // queries a block
  std::size_t blocks_ = 0;
  KeyFilter filter_;  // empty: all keys
  std::mutex bounds_mutex_;
  std::mutex filter_mutex_;
  std::exception_ptr filter_failure_;
};

bool VectorRouter::asks_for_all() const noexcept {
  if (searches_for_all_.load(std::memory_order_relaxed) <= 0) return false;
  searches_for_all_.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

void VectorRouter::learn_holes(std::size_t holes, std::size_t queries) const noexcept {
  constexpr std::size_t kFew = 16;  // one query in so many
  constexpr int kSearches = 256;
  if (holes * kFew > queries) searches_for_all_.store(kSearches, std::memory_order_relaxed);
}

void VectorRouter::search(const MatrixView& queries, std::size_t k, const SearchOptions& options, SearchResult& result) const {
  if (k == 0) throw Error(ErrorCode::kInvalidArgument, "k is 0: ask for at least one neighbour");
  for (const std::optional<int>& param : {options.params.ef, options.params.nprobe, options.params.rerank}) {
    if (param && *param <= 0) throw Error(ErrorCode::kInvalidArgument, "ef, nprobe and rerank must be greater than 0");
  }
  if (options.filter != nullptr && !*options.filter) throw Error(ErrorCode::kInvalidArgument, "the filter is empty; pass null for no filter");
  for (const KeySet* set : {options.allow, options.deny}) {
    if (set != nullptr && !set->empty() && set->kind() != options_.key_kind) {
      throw Error(ErrorCode::kInvalidArgument, "a set of keys of another kind than this router's; make it with RouterOptions::key_kind");
    }
  }
  validate_vectors(queries, options_.index.dimension, options_.index.metric, "the queries");
  if (options_.index.metric != Metric::kCosine) return RouterSearch(*this, queries, k, options, result).run();
  const Reused<std::vector<float>> reused;
  std::vector<float>& normalised = *reused;
  const auto n = static_cast<std::size_t>(queries.rows());
  const std::size_t d = options_.index.dimension;
  normalised.resize(n * d);
  for (std::size_t i = 0; i < n; ++i) {
    std::copy_n(row_data(queries, i), d, normalised.data() + i * d);
    normalise(normalised.data() + i * d, d);
  }
  RouterSearch(*this, map_rows(normalised.data(), n, d), k, options, result).run();
  if (n > kMostKept) std::vector<float>().swap(normalised);
}

SearchResult VectorRouter::search(const MatrixView& queries, std::size_t k, const SearchOptions& options) const {
  SearchResult result;
  search(queries, k, options, result);
  return result;
}

}  // namespace annulus
