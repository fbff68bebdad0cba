#include "index/list_rounds.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>

#include "core/reused.h"
#include "index/codec_impl.h"
#include "index/exact_rank.h"
#include "index/query_batch.h"

namespace annulus {
namespace {

/// How far a query has come.
struct Query {
  std::span<const Candidate> lists;  ///< that are known, nearest first
  std::vector<Candidate> own_lists;  ///< where they are more than were planned
  std::size_t visited = 0;
  std::size_t wanted = 0;  ///< visited, after the next round
  FurtherLists further = {};
  bool left = false;       ///< to the scan
  bool is_pilot = false;
  bool knows_all = false;  ///< the codec leads to no more lists

  /// Begins anew; the memory of `own_lists` stays.
  void begin(std::span<const Candidate> known, std::size_t first) noexcept {
    lists = known;
    visited = 0;
    wanted = first;
    further = {};
    left = false;
    is_pilot = false;
    knows_all = false;
  }
};

/// What a search in rounds needs; the thread's next one uses it again.
struct RoundsMemory {
  std::vector<Query> queries;  // only grows, to keep what is in them
  std::vector<FilterTally> tallies;
  QueryBatch::Memory round;                      // the batch of one round
  std::vector<std::span<const Candidate>> lists;  // of that batch
  std::vector<Candidate> pool;                   // what was found, before it is ranked
  std::vector<std::size_t> seekers;              // queries that want more lists than are known,
  std::vector<float> vectors;                    // their vectors,
  std::vector<Candidate> found;                  // and the lists found for them
  std::vector<std::size_t> found_counts;
  std::vector<Candidate> joined;                 // one query's lists
  std::vector<std::uint64_t> visited;
};

class Rounds {
 public:
  Rounds(const SearchedIndex& index, const RowSearch& search, const QueryBatch& ready, const FilterPlan& plan)
      : index_(index), search_(search), ready_(ready), plan_(plan),
        ranks_(search.phase == SearchPhase::kAnswers && !index.store.candidates_are_exact()) {
    if (memory_->queries.size() < ready.size()) memory_->queries.resize(ready.size());
    queries_ = std::span(memory_->queries).first(ready.size());
    memory_->tallies.assign(ready.size(), FilterTally{.most = plan.tallied});
  }

  void run(Candidate* out, std::size_t* counts, std::vector<std::uint32_t>& to_scan) {
    const auto began = Clock::now();
    const std::size_t n = queries_.size();
    Candidate* found = out;
    if (ranks_) {
      memory_->pool.resize(n * plan_.search.kept);
      found = memory_->pool.data();
    }
    const std::size_t scouts = std::min(plan_.scouts, n);
    const bool all_at_once = plan_.first_lists >= plan_.nprobe;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t known = ready_.lists(i).size();
      const bool waits = i * scouts % n >= scouts;
      queries_[i].begin(ready_.lists(i), all_at_once ? known : waits ? 0 : std::min(plan_.first_lists, known));
    }
    if (all_at_once) {
      search(ready_, found, counts);
    } else {
      search(next_round(), found, counts);
    }
    while (choose(to_scan)) search(next_round(), found, counts, true);
    teach(began);
    if (ranks_) rank(found, out, counts);
  }

 private:
  using Clock = std::chrono::steady_clock;

  /// What the lists did cost, beside what as many lists and questions should have cost.
  void teach(Clock::time_point began) noexcept {
    if (search_.batch.params().filter_method != FilterMethod::kByCost) return;
    double estimated_ns = 0;
    for (std::size_t i = 0; i < queries_.size(); ++i) {
      if (queries_[i].visited != 0) estimated_ns += visited_ns(plan_, memory_->tallies[i], queries_[i].visited);
    }
    const double took_ns = std::chrono::duration<double, std::nano>(Clock::now() - began).count();
    index_.costs.learn(FilterPart::kVisit, plan_.filter.selectivity, queries_.size(), estimated_ns / plan_.factors.visit, took_ns);
  }

  void search(const QueryBatch& batch, Candidate* found, std::size_t* counts, bool continues = false) {
    index_.store.search({.batch = batch,
                         .k = ranks_ ? plan_.search.kept : search_.k,
                         .phase = ranks_ ? SearchPhase::kCandidates : search_.phase,
                         .filter = search_.filter,
                         .order = search_.order,
                         .bounds = ranks_ ? std::span<SharedBound>() : search_.bounds,
                         .rows = search_.rows,
                         .work = search_.work,
                         .tallies = memory_->tallies,
                         .continues = continues},
                        found, counts);
    for (Query& query : queries_) query.visited = query.wanted;
  }

  /// The batch with the lists that are wanted and were not visited.
  QueryBatch next_round() {
    std::vector<std::span<const Candidate>>& lists = memory_->lists;
    lists.clear();
    for (const Query& query : queries_) lists.push_back(query.lists.subspan(query.visited, query.wanted - query.visited));
    return {ready_, lists, &memory_->round};
  }

  /// Decides what comes next, from what the filter has accepted; false: nothing does.
  bool choose(std::vector<std::uint32_t>& to_scan) {
    forecast();
    if (!pilot_ && plan_.may_scan && !sends_pilot(to_scan)) leave_to_scan(to_scan);
    if (pilot_) {
      for (std::size_t i = 0; i < queries_.size(); ++i) {
        if (i != *pilot_) queries_[i].further = {};
      }
    }
    const bool held = hold_for_the_last();
    find_lists();
    bool goes_on = false;
    for (Query& query : queries_) {
      query.wanted = std::max(query.visited, std::min(query.further.next, query.lists.size()));
      goes_on = goes_on || query.wanted > query.visited;
    }
    // a pilot that knows no further lists, or one that has yet to look and knows none, is at its end, and the others are not
    return goes_on || ((pilot_ || held) && choose(to_scan));
  }

  /// How each query goes on. Those that wait are taken to be like those that had a first look.
  void forecast() {
    double cost_ns = 0;
    std::size_t looked = 0;
    for (std::size_t i = 0; i < queries_.size(); ++i) {
      Query& query = queries_[i];
      query.further = query.left ? FurtherLists{} : further_lists(plan_, memory_->tallies[i], query.visited);
      if (query.knows_all && query.further.next > query.lists.size()) {
        query.further.next = query.further.total = query.lists.size();
        if (query.visited == query.lists.size()) query.further.cost_ns = 0;
      }
      if (pilot_ == i && query.further.next <= query.visited) learn_from_pilot();
    }
    for (Query& query : queries_) {
      if (needs_more(query)) query.further.cost_ns *= dearer_;
      if (query.visited == 0 || query.is_pilot) continue;
      cost_ns += std::max(query.further.cost_ns, plan_.compare_ns);  // what the others do not gain is no loss
      ++looked;
    }
    cost_ns /= static_cast<double>(std::max<std::size_t>(looked, 1));
    for (Query& query : queries_) {
      if (query.visited == 0 && !query.left) query.further.cost_ns = cost_ns;
    }
  }

  /// Whether the filter accepts less near the query than was planned for, which makes it hard to foresee what it costs.
  bool needs_more(const Query& query) const noexcept { return query.further.total > plan_.nprobe; }

  /// If it is in doubt whether the queries gain enough by the scan together: one of those that need more lists goes on alone, to
  /// its end, and the others wait for what it meets. It is in the middle of them: as likely as any to be like the others.
  bool sends_pilot(const std::vector<std::uint32_t>& to_scan) {
    if (decided_ || !to_scan.empty()) return false;
    decided_ = true;
    Doubt doubt{.scan_ns = plan_.gather_ns};
    std::size_t needing = 0;
    for (const Query& query : queries_) {
      if (query.further.cost_ns <= plan_.compare_ns) continue;
      doubt.index_ns += query.further.cost_ns;
      doubt.scan_ns += plan_.compare_ns;
      if (!needs_more(query)) continue;
      doubt.each_ns += query.further.cost_ns;
      ++needing;
    }
    if (needing < 2) return false;
    doubt.each_ns /= static_cast<double>(needing);
    if (!wants_pilot(doubt)) return false;
    needing /= 2;
    for (std::size_t i = 0; !pilot_; ++i) {
      if (needs_more(queries_[i]) && queries_[i].further.cost_ns > plan_.compare_ns && needing-- == 0) pilot_ = i;
    }
    queries_[*pilot_].is_pilot = true;
    return true;
  }

  /// While some have yet to look, the others wait: lists that many queries visit are read once for all of them. Says whether some do.
  bool hold_for_the_last() noexcept {
    const auto looks = [](const Query& query) { return query.visited == 0 && query.further.next > 0; };
    if (std::none_of(queries_.begin(), queries_.end(), looks)) return false;
    for (Query& query : queries_) {
      if (!looks(query)) query.further.next = query.visited;
    }
    return true;
  }

  void learn_from_pilot() {
    const FilterTally& tally = memory_->tallies[*pilot_];
    const std::size_t visited = queries_[*pilot_].visited;
    dearer_ = visited_ns(plan_, tally, visited) / forecast_ns(plan_, tally, visited);
    pilot_.reset();
  }

  /// Finding the accepted rows is paid for once: the queries that gain by a scan must gain as much together.
  void leave_to_scan(std::vector<std::uint32_t>& to_scan) {
    double gain = to_scan.empty() ? -plan_.gather_ns : 0;
    for (const Query& query : queries_) gain += std::max(0.0, query.further.cost_ns - plan_.compare_ns);
    if (gain <= 0) return;
    for (std::size_t i = 0; i < queries_.size(); ++i) {
      Query& query = queries_[i];
      if (query.further.cost_ns <= plan_.compare_ns) continue;
      if (query.visited == 0 && plan_.look_ns < plan_.compare_ns) continue;  // it may turn out to be another kind
      query.left = true;
      query.further = {};
      to_scan.push_back(static_cast<std::uint32_t>(i));
    }
  }

  /// The nearest lists of those queries that want more than are known.
  void find_lists() {
    std::vector<std::size_t>& seekers = memory_->seekers;
    seekers.clear();
    std::size_t most = 0;
    for (std::size_t i = 0; i < queries_.size(); ++i) {
      if (queries_[i].further.next <= queries_[i].lists.size()) continue;
      seekers.push_back(i);
      most = std::max(most, queries_[i].further.total);
    }
    if (seekers.empty()) return;
    const Codec::Impl& codec = index_.codec->impl();
    const std::size_t d = index_.spec.dimension;
    memory_->vectors.resize(seekers.size() * d);
    for (std::size_t j = 0; j < seekers.size(); ++j) std::copy_n(ready_.query(seekers[j]), d, memory_->vectors.data() + j * d);
    memory_->found.resize(seekers.size() * most);
    memory_->found_counts.resize(seekers.size());
    codec.nearest_lists(map_rows(memory_->vectors.data(), seekers.size(), d), most, codec.precision(), memory_->found.data(),
                        memory_->found_counts.data(), search_.work);
    for (std::size_t j = 0; j < seekers.size(); ++j) {
      queries_[seekers[j]].knows_all = memory_->found_counts[j] < most;
      take_lists(queries_[seekers[j]], {memory_->found.data() + j * most, memory_->found_counts[j]});
    }
  }

  /// What was visited stays in front: the order of approximate distances may depend on how many are asked for.
  void take_lists(Query& query, std::span<const Candidate> nearest) {
    std::vector<Candidate>& lists = memory_->joined;  // the query's own may be those that are known
    lists.assign(query.lists.begin(), query.lists.begin() + static_cast<std::ptrdiff_t>(query.visited));
    std::vector<std::uint64_t>& visited = memory_->visited;
    visited.clear();
    for (const Candidate& list : lists) visited.push_back(list.id);
    std::sort(visited.begin(), visited.end());
    for (const Candidate& list : nearest) {
      if (!std::binary_search(visited.begin(), visited.end(), list.id)) lists.push_back(list);
    }
    query.own_lists.assign(lists.begin(), lists.end());
    query.lists = query.own_lists;
  }

  /// The nearest of what the codes have found, by exact distances.
  void rank(Candidate* found, Candidate* out, std::size_t* counts) {
    for (std::size_t i = 0; i < queries_.size(); ++i) {
      if (queries_[i].left) continue;
      const std::span<Candidate> candidates(found + i * plan_.search.kept, counts[i]);
      rank_exactly(index_.store, index_.spec, search_, i, candidates);
      counts[i] = std::min(counts[i], search_.k);
      std::copy_n(candidates.begin(), counts[i], out + i * search_.k);
    }
  }

  const SearchedIndex& index_;
  const RowSearch& search_;
  const QueryBatch& ready_;
  const FilterPlan& plan_;
  const bool ranks_;  ///< the search wants exact distances, and the store searches by others
  const Reused<RoundsMemory> memory_;
  std::span<Query> queries_;
  std::optional<std::size_t> pilot_;  ///< a query that goes before the others
  bool decided_ = false;              ///< whether one goes, once
  double dearer_ = 1;                 ///< lists than their estimate for queries that need more of them, as the pilot found
};

}  // namespace

void search_in_rounds(const SearchedIndex& index, const RowSearch& search, const QueryBatch& ready, const FilterPlan& plan,
                      Candidate* out, std::size_t* counts, std::vector<std::uint32_t>& to_scan) {
  Rounds(index, search, ready, plan).run(out, counts, to_scan);
}

}  // namespace annulus
