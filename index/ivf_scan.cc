#include "index/ivf_scan.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "core/prefetch.h"
#include "index/candidate_pool.h"
#include "index/encoded_queries.h"
#include "index/int8_block_kernels.h"
#include "index/search_scratch.h"

namespace annulus {
namespace {

using kernels::BlockHit;
using kernels::BlockQuery;
using kernels::kBlockRows;

/// Blocks, and their rows, that a kernel is given at a time: the bound falls only in between.
constexpr std::size_t kBlocksAtOnce = 16;
constexpr std::size_t kRowsAtOnce = kBlocksAtOnce * kBlockRows;

/// Fewer queries than this have few lists in common.
constexpr std::size_t kFewQueries = 4;

/// Queries that scan a list together, between two requests for a part of what comes next.
constexpr std::size_t kQueriesAtOnce = 16;

/// Steps of a batch between two looks at what other shards have found.
constexpr std::size_t kStepsBetween = 64;

/// How far ahead of a scan blocks are asked for, and ahead of these the tables and headers that say where they are. At first it is
/// less: what is asked for before there is anything to do meanwhile has to be waited for.
constexpr std::size_t kFirstAhead = 3;
constexpr std::size_t kMoreAhead = 3;  // each time
constexpr std::size_t kBlocksAhead = 12;
constexpr std::size_t kTablesAhead = 4;
constexpr std::size_t kHeadersAhead = 8;

/// Some blocks of a list behind one another.
struct SomeBlocks {
  const std::uint8_t* where[kBlocksAtOnce] = {};
  std::size_t count = 0;
  std::size_t rows = 0;
  std::uint16_t last = 0;  ///< lanes of the last one that are the list's

  SomeBlocks() = default;
  /// Those from number `first` on; fewer at the list's end.
  SomeBlocks(const Int8BlockLists& lists, std::size_t list, std::size_t first)
      : count(std::min(kBlocksAtOnce, lists.parts(list) - first)),
        rows(std::min(kRowsAtOnce, lists.size(list) - first * kBlockRows)) {
    for (std::size_t i = 0; i < count; ++i) {
      const Int8BlockLists::Part part = lists.part(list, first + i);
      where[i] = part.block;
      last = part.lanes;
    }
  }

  kernels::BlockRun run() const noexcept { return {blocks(), rows, last}; }
  kernels::Blocks blocks() const noexcept { return {where, count}; }
};

/// The blocks of all lists that a query visits, one list after the other: as many at once as a kernel takes, whichever lists they
/// are of, so that a short list costs no call of its own. Blocks that come later are known some way ahead.
class BlockStream {
 public:
  BlockStream(const Int8BlockLists& lists, std::span<const Candidate> visited) : lists_(lists), visited_(visited) {
    for (std::size_t j = 0; j < std::min(kHeadersAhead, visited.size()); ++j) lists.tables().prefetch_header(visited[j].id);
    for (std::size_t j = 0; j < std::min(kTablesAhead, visited.size()); ++j) lists.tables().prefetch_table(visited[j].id);
    fill(kFirstAhead);
    ask(0, known_);
  }

  /// Goes on to the next blocks. False: there are none.
  bool next() noexcept {
    const auto shift = [this](auto& of_blocks) {
      std::shift_left(of_blocks.begin(), of_blocks.begin() + static_cast<std::ptrdiff_t>(known_),
                      static_cast<std::ptrdiff_t>(count_));
    };
    shift(where_);
    shift(lanes_);
    known_ -= count_;
    fill(where_.size());
    if (count_ != 0 && ahead_ < kBlocksAhead) {
      ask(std::min(ahead_, known_), std::min(ahead_ + kMoreAhead, known_));
      ahead_ += kMoreAhead;
    }
    count_ = std::min(kBlocksAtOnce, known_);
    if (count_ == 0) return false;
    // behind the last block that one is asked for again, which costs next to nothing
    for (std::size_t i = known_; i < ahead_ + count_; ++i) where_[i] = where_[known_ - 1];
    return true;
  }

  kernels::Blocks blocks() const noexcept { return {where_.data(), count_}; }
  std::span<const std::uint16_t> lanes() const noexcept { return {lanes_.data(), count_}; }

  /// As many blocks of later, which nobody has asked for yet.
  kernels::Blocks ahead() const noexcept { return {where_.data() + ahead_, count_}; }

 private:
  /// Until so many blocks are known, or all.
  void fill(std::size_t most) noexcept {
    while (known_ < most) {
      if (at_ == end_) {
        if (list_ == visited_.size()) return;
        enter(static_cast<std::size_t>(visited_[list_].id));
        continue;
      }
      const Int8BlockLists::Part part = lists_.part(static_cast<std::size_t>(visited_[list_ - 1].id), at_++);
      where_[known_] = part.block;
      lanes_[known_++] = part.lanes;
    }
  }

  /// Asks for known blocks [begin, end).
  void ask(std::size_t begin, std::size_t end) const noexcept {
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t at = 0; at < lists_.layout().bytes(); at += 64) prefetch_far(where_[i] + at);
    }
  }

  void enter(std::size_t list) noexcept {
    at_ = 0;
    end_ = lists_.parts(list);
    if (list_ + kTablesAhead < visited_.size()) lists_.tables().prefetch_table(visited_[list_ + kTablesAhead].id);
    if (list_ + kHeadersAhead < visited_.size()) lists_.tables().prefetch_header(visited_[list_ + kHeadersAhead].id);
    ++list_;
  }

  const Int8BlockLists& lists_;
  std::span<const Candidate> visited_;
  std::size_t list_ = 0;   ///< that is entered next
  std::size_t at_ = 0;     ///< block of the list that was entered last
  std::size_t end_ = 0;    ///< how many it has
  std::size_t ahead_ = kFirstAhead;  ///< of a step's blocks are those that it asks for
  std::size_t known_ = 0;  ///< blocks in `where_`, of which the first `count_` are those of this step
  std::size_t count_ = 0;
  static constexpr std::size_t kMostKnown = kBlocksAhead + kBlocksAtOnce;
  static_assert((kBlocksAhead - kFirstAhead) % kMoreAhead == 0);
  std::array<const std::uint8_t*, kMostKnown> where_;
  std::array<std::uint16_t, kMostKnown> lanes_;
};

void scan_for_one(const RowSearch& search, const Int8BlockLists& lists, std::size_t query, CandidatePool& nearest) {
  const std::span<const Candidate> visited = search.batch.lists(query);
  const BlockQuery& encoded = (*search.batch.encoded())[query];
  BlockStream stream(lists, visited);
  while (stream.next()) {
    BlockHit hits[kRowsAtOnce];
    const std::size_t found =
        kernels::scan_blocks(encoded, stream.blocks(), stream.lanes(), lists.layout(), nearest.bound(), hits, stream.ahead());
    if (found != 0) nearest.take(lists, stream.blocks(), {hits, found});
  }
  for (const Candidate& list : visited) search.work.distances += lists.size(list.id);
}

/// Asks for some blocks bit by bit, as more at once would have to be waited for.
class LinesAhead {
 public:
  LinesAhead(const Int8BlockLists& lists, kernels::Blocks blocks, std::size_t parts)
      : blocks_(blocks), lines_(lists.layout().lines()), part_((blocks.size() * lines_ + parts - 1) / parts) {}

  void ask_for_a_part() noexcept {
    for (std::size_t i = 0; i < part_ && block_ < blocks_.size(); ++i) {
      prefetch_far(blocks_[block_] + 64 * line_);
      if (++line_ < lines_) continue;
      line_ = 0;
      ++block_;
    }
  }

 private:
  kernels::Blocks blocks_;
  std::size_t lines_;
  std::size_t part_;
  std::size_t block_ = 0;
  std::size_t line_ = 0;
};

/// What several queries scan lists with; memory that is reused.
struct Together {
  std::vector<float> bounds;  ///< by query
  std::vector<std::size_t> found;
  std::vector<BlockHit> hits;

  Together() : found(kQueriesAtOnce), hits(kQueriesAtOnce * kRowsAtOnce) {}
};

/// `visitors` scan some blocks; meanwhile those that come after are asked for.
void scan_together(const RowSearch& search, const Int8BlockLists& lists, std::span<const std::uint32_t> all, const SomeBlocks& some,
                   const SomeBlocks& after, Together& together, std::vector<CandidatePool>& nearest) {
  LinesAhead ahead(lists, after.blocks(), (all.size() + kQueriesAtOnce - 1) / kQueriesAtOnce);
  for (std::size_t first = 0; first < all.size(); first += kQueriesAtOnce) {
    const auto visitors = all.subspan(first, std::min(kQueriesAtOnce, all.size() - first));
    ahead.ask_for_a_part();
    kernels::scan_blocks(search.batch.encoded()->data(), together.bounds.data(), visitors, some.run(), lists.layout(),
                         together.hits.data(), together.found.data());
    for (std::size_t i = 0; i < visitors.size(); ++i) {
      if (together.found[i] == 0) continue;
      CandidatePool& pool = nearest[visitors[i]];
      pool.take(lists, some.blocks(), {together.hits.data() + i * some.rows, together.found[i]});
      together.bounds[visitors[i]] = pool.bound();
    }
  }
  search.work.distances += some.rows * all.size();
}

/// The way of a batch through the lists: some blocks at a time, with the queries that visit them. First each query's nearest list,
/// if that comes first; then list by list.
class Way {
 public:
  struct Step {
    std::span<const std::uint32_t> visitors;
    SomeBlocks some;  ///< none: the end
  };

  Way(const Int8BlockLists& lists, const QueryBatch& batch) : lists_(lists), batch_(batch) {}

  Step next() {
    while (first_ >= lists_.parts(list_) || visitors_.empty()) {
      if (!next_list()) return {};
    }
    const Step step{visitors_, SomeBlocks(lists_, list_, first_)};
    first_ += kBlocksAtOnce;
    return step;
  }

 private:
  bool next_list() {
    first_ = 0;
    const std::span<const std::uint32_t> nearest = batch_.by_nearest_list().subspan(searched_);
    if (!nearest.empty()) {
      list_ = nearest_of(nearest[0]);
      std::size_t n = 1;
      while (n < nearest.size() && nearest_of(nearest[n]) == list_) ++n;
      visitors_ = nearest.first(n);
      searched_ += n;
      if (n < nearest.size()) lists_.tables().prefetch_table(nearest_of(nearest[n]));
      return true;
    }
    if (next_ == lists_.lists()) return false;
    list_ = next_++;
    visitors_ = batch_.visitors(list_);
    if (next_ < lists_.lists()) lists_.tables().prefetch_table(next_);
    return true;
  }

  std::size_t nearest_of(std::uint32_t query) const noexcept { return batch_.lists(query)[0].id; }

  const Int8BlockLists& lists_;
  const QueryBatch& batch_;
  std::size_t list_ = 0;
  std::span<const std::uint32_t> visitors_;
  std::size_t first_ = 0;     ///< block of the next step
  std::size_t searched_ = 0;  ///< of by_nearest_list()
  std::size_t next_ = 0;      ///< list, after these
};

void scan_for_all(const RowSearch& search, const Int8BlockLists& lists, std::vector<CandidatePool>& nearest) {
  thread_local std::unique_ptr<Together> idle;
  std::unique_ptr<Together> mine = idle ? std::move(idle) : std::make_unique<Together>();  // a filter may search in turn
  Together& together = *mine;
  together.bounds.resize(nearest.size());
  Way way(lists, search.batch);
  Way::Step step = way.next();
  for (std::size_t steps = 0; step.some.count != 0; ++steps) {
    if (steps % kStepsBetween == 0) {  // what other shards have found meanwhile
      for (std::size_t i = 0; i < nearest.size(); ++i) together.bounds[i] = nearest[i].bound();
    }
    const Way::Step after = way.next();
    scan_together(search, lists, step.visitors, step.some, after.some, together, nearest);
    step = after;
  }
  idle = std::move(mine);
}

}  // namespace

void scan_lists(const RowSearch& search, const IvfLists& lists, Candidate* out, std::size_t* counts) {
  const Int8BlockLists& blocks = *lists.blocks();
  const std::size_t n = search.batch.size();
  const std::size_t room = CandidatePool::room(search.k);
  ScratchLease scratch;
  std::vector<std::uint64_t>& keys = scratch->keys;
  if (keys.size() < n * room) keys.resize(n * room);
  thread_local std::vector<CandidatePool> idle;
  std::vector<CandidatePool> nearest = std::move(idle);  // a filter may search in turn
  nearest.clear();
  for (std::size_t i = 0; i < n; ++i) {
    nearest.emplace_back(search, i, keys.data() + i * room);
    if (search.continues && !search.batch.lists(i).empty()) nearest.back().begin_with({out + i * search.k, counts[i]});
  }
  if (n < kFewQueries) {
    for (std::size_t i = 0; i < n; ++i) scan_for_one(search, blocks, i, nearest[i]);
  } else {
    scan_for_all(search, blocks, nearest);
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (search.continues && search.batch.lists(i).empty()) continue;  // it keeps what it has
    counts[i] = nearest[i].finish(out + i * search.k);
  }
  idle = std::move(nearest);
}

}  // namespace annulus
