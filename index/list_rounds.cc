#include "index/list_rounds.h"

#include <algorithm>
#include <span>

#include "core/reused.h"
#include "index/codec_impl.h"
#include "index/query_batch.h"
#include "index/top_k.h"

namespace annulus {
namespace {

/// How far a query has come.
struct Query {
  std::span<const Candidate> lists;  ///< that are known, nearest first
  std::vector<Candidate> own_lists;  ///< where they are more than were planned
  std::size_t visited = 0;
  std::size_t wanted = 0;  ///< visited, after the next round
  FurtherLists further = {};
  bool left = false;  ///< to the scan

  /// Begins anew; the memory of `own_lists` stays.
  void begin(std::span<const Candidate> known, std::size_t first) noexcept {
    lists = known;
    visited = 0;
    wanted = first;
    further = {};
    left = false;
  }
};

/// What a search in rounds needs; the thread's next one uses it again.
struct RoundsMemory {
  std::vector<Query> queries;  // only grows, to keep what is in them
  std::vector<FilterTally> tallies;
  std::vector<SharedBound> code_bounds;
  QueryBatch::Memory round;                      // the batch of one round
  std::vector<std::span<const Candidate>> lists;  // of that batch
  std::vector<Candidate> more;                   // what a round found ...
  std::vector<std::size_t> more_counts;
  std::vector<Candidate> merged;                 // ... and with what was known
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
      : index_(index), search_(search), ready_(ready), plan_(plan) {
    if (memory_->queries.size() < ready.size()) memory_->queries.resize(ready.size());
    queries_ = std::span(memory_->queries).first(ready.size());
    memory_->tallies.assign(ready.size(), FilterTally{.most = plan.tallied});
    memory_->code_bounds.clear();
    if (search.phase == SearchPhase::kAnswers) memory_->code_bounds.resize(ready.size());
  }

  void run(Candidate* out, std::size_t* counts, std::vector<std::uint32_t>& to_scan) {
    for (std::size_t i = 0; i < queries_.size(); ++i) {
      queries_[i].begin(ready_.lists(i), std::min(plan_.first_lists, ready_.lists(i).size()));
    }
    if (plan_.first_lists >= plan_.nprobe) {
      search(ready_, out, counts);
    } else {
      search(next_round(), out, counts);
    }
    // A store whose candidates are exact adds to what it is given, and asks about no row that would fall out again.
    const bool continues = index_.store.candidates_are_exact();
    std::vector<Candidate>& more = memory_->more;
    std::vector<std::size_t>& more_counts = memory_->more_counts;
    while (choose(to_scan)) {
      if (continues) {
        search(next_round(), out, counts, true);
        continue;
      }
      more.resize(queries_.size() * search_.k);
      more_counts.resize(queries_.size());
      search(next_round(), more.data(), more_counts.data());
      for (std::size_t i = 0; i < queries_.size(); ++i) {
        merge(out + i * search_.k, counts[i], {more.data() + i * search_.k, more_counts[i]});
      }
    }
  }

 private:
  void search(const QueryBatch& batch, Candidate* out, std::size_t* counts, bool continues = false) {
    const bool answers = search_.phase == SearchPhase::kAnswers;
    // from round to round, where the search has none of its own
    const std::span<SharedBound> bounds = answers ? std::span<SharedBound>(memory_->code_bounds) : search_.bounds;
    index_.store.search({.batch = batch,
                         .k = search_.k,
                         .phase = search_.phase,
                         .filter = search_.filter,
                         .order = search_.order,
                         .bounds = bounds,
                         .rows = search_.rows,
                         .work = search_.work,
                         .tallies = memory_->tallies,
                         .continues = continues},
                        out, counts);
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
    for (std::size_t i = 0; i < queries_.size(); ++i) {
      Query& query = queries_[i];
      query.further = query.left ? FurtherLists{} : further_lists(plan_, memory_->tallies[i], query.visited);
    }
    if (plan_.may_scan) leave_to_scan(to_scan);
    find_lists();
    bool goes_on = false;
    for (Query& query : queries_) {
      query.wanted = std::max(query.visited, std::min(query.further.next, query.lists.size()));
      goes_on = goes_on || query.wanted > query.visited;
    }
    return goes_on;
  }

  /// Finding the accepted rows is paid for once: the queries that gain by a scan must gain as much together.
  void leave_to_scan(std::vector<std::uint32_t>& to_scan) {
    double gain = to_scan.empty() ? -plan_.gather_ns : 0;
    for (const Query& query : queries_) gain += std::max(0.0, query.further.cost_ns - plan_.compare_ns);
    if (gain <= 0) return;
    for (std::size_t i = 0; i < queries_.size(); ++i) {
      Query& query = queries_[i];
      if (query.further.cost_ns <= plan_.compare_ns) continue;
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

  void merge(Candidate* out, std::size_t& count, std::span<const Candidate> more) {
    if (more.empty()) return;
    std::vector<Candidate>& merged = memory_->merged;
    merged.resize(count + more.size());
    std::merge(out, out + count, more.begin(), more.end(), merged.begin(), NearerThan{search_.order});
    count = std::min(merged.size(), search_.k);
    std::copy_n(merged.begin(), count, out);
  }

  const SearchedIndex& index_;
  const RowSearch& search_;
  const QueryBatch& ready_;
  const FilterPlan& plan_;
  const Reused<RoundsMemory> memory_;
  std::span<Query> queries_;
};

}  // namespace

void search_in_rounds(const SearchedIndex& index, const RowSearch& search, const QueryBatch& ready, const FilterPlan& plan,
                      Candidate* out, std::size_t* counts, std::vector<std::uint32_t>& to_scan) {
  Rounds(index, search, ready, plan).run(out, counts, to_scan);
}

}  // namespace annulus
