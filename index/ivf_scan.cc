#include "index/ivf_scan.h"

#include <algorithm>
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

/// Rows that a kernel is given at a time: the bound falls only in between.
constexpr std::size_t kRowsAtOnce = 16 * kBlockRows;

/// Fewer queries than this have few lists in common.
constexpr std::size_t kFewQueries = 4;

/// Queries that scan a list together, between two requests for a part of the next one.
constexpr std::size_t kQueriesAtOnce = 16;

/// Lists between two looks at what other shards have found.
constexpr std::size_t kListsBetween = 128;

/// How many lists ahead headers and blocks are asked for: short lists are over before memory has answered.
constexpr std::size_t kHeadersAhead = 12;
constexpr std::size_t kBlocksAhead = 4;

/// Meanwhile `ahead` is asked for, and what is left of it at the end.
void scan_one_list(const Int8BlockLists& lists, std::size_t list, const BlockQuery& query, CandidatePool& nearest,
                   std::span<const std::uint8_t> ahead = {}) {
  BlockHit hits[kRowsAtOnce];
  const std::size_t size = lists.size(list);
  const std::size_t bytes = kernels::block_bytes(lists.dimension());
  const std::uint8_t* blocks = lists.blocks(list);
  for (std::size_t begin = 0; begin < size; begin += kRowsAtOnce) {
    const std::size_t count = std::min(kRowsAtOnce, size - begin);
    const std::size_t found = kernels::scan_blocks(query, blocks, count, lists.dimension(), nearest.bound(), hits, ahead);
    if (found != 0) nearest.take(lists, blocks, {hits, found});
    blocks += kRowsAtOnce / kBlockRows * bytes;
    ahead = ahead.subspan(std::min(ahead.size(), (count + kBlockRows - 1) / kBlockRows * bytes));
  }
  for (std::size_t at = 0; at < ahead.size(); at += 64) prefetch_far(ahead.data() + at);
}

void scan_for_one(const RowSearch& search, const Int8BlockLists& lists, std::size_t query, CandidatePool& nearest) {
  const std::span<const Candidate> visited = search.batch.lists(query);
  const BlockQuery& encoded = (*search.batch.encoded())[query];
  for (std::size_t j = 0; j < std::min(kHeadersAhead, visited.size()); ++j) lists.prefetch_header(visited[j].id);
  for (std::size_t j = 0; j < std::min(kBlocksAhead, visited.size()); ++j) lists.prefetch_blocks(visited[j].id);
  for (std::size_t j = 0; j < visited.size(); ++j) {
    if (j + kHeadersAhead < visited.size()) lists.prefetch_header(visited[j + kHeadersAhead].id);
    std::span<const std::uint8_t> ahead;
    if (j + kBlocksAhead < visited.size()) {
      const std::size_t later = visited[j + kBlocksAhead].id;
      ahead = lists.short_blocks(later);
      if (ahead.empty()) lists.prefetch_blocks(later);
    }
    scan_one_list(lists, visited[j].id, encoded, nearest, ahead);
    search.work.distances += lists.size(visited[j].id);
  }
}

/// What several queries scan lists with; memory that is reused.
struct Together {
  std::vector<float> bounds;  ///< by query
  std::vector<std::size_t> found;
  std::vector<BlockHit> hits;

  Together() : found(kQueriesAtOnce), hits(kQueriesAtOnce * kRowsAtOnce) {}
};

/// `next` is the list that comes after: its blocks are asked for bit by bit, as more at once would have to be waited for.
void scan_together(const RowSearch& search, const Int8BlockLists& lists, std::size_t list, std::size_t next, Together& together,
                   std::vector<CandidatePool>& nearest) {
  const std::span<const std::uint32_t> all = search.batch.visitors(list);
  const std::size_t size = lists.size(list);
  const std::uint8_t* blocks = lists.blocks(list);
  const std::size_t parts = (size + kRowsAtOnce - 1) / kRowsAtOnce * ((all.size() + kQueriesAtOnce - 1) / kQueriesAtOnce);
  std::size_t part = 0;
  if (parts == 0 && next < lists.lists()) lists.prefetch_blocks(next);
  for (std::size_t begin = 0; begin < size; begin += kRowsAtOnce) {
    const std::size_t count = std::min(kRowsAtOnce, size - begin);
    for (std::size_t first = 0; first < all.size(); first += kQueriesAtOnce) {
      const auto visitors = all.subspan(first, std::min(kQueriesAtOnce, all.size() - first));
      if (next < lists.lists()) lists.prefetch_blocks(next, part++, parts);
      kernels::scan_blocks(search.batch.encoded()->data(), together.bounds.data(), visitors, blocks, count, lists.dimension(),
                           together.hits.data(), together.found.data());
      for (std::size_t i = 0; i < visitors.size(); ++i) {
        if (together.found[i] == 0) continue;
        CandidatePool& pool = nearest[visitors[i]];
        pool.take(lists, blocks, {together.hits.data() + i * count, together.found[i]});
        together.bounds[visitors[i]] = pool.bound();
      }
    }
    blocks += kRowsAtOnce / kBlockRows * kernels::block_bytes(lists.dimension());
  }
}

/// Each query's nearest list first, alone; then list by list.
void scan_for_all(const RowSearch& search, const Int8BlockLists& lists, std::vector<CandidatePool>& nearest) {
  thread_local std::unique_ptr<Together> idle;
  std::unique_ptr<Together> mine = idle ? std::move(idle) : std::make_unique<Together>();  // a filter may search in turn
  Together& together = *mine;
  for (std::size_t i = 0; i < nearest.size(); ++i) {
    const std::span<const Candidate> visited = search.batch.lists(i);
    if (i + 1 < nearest.size() && !search.batch.lists(i + 1).empty()) lists.prefetch_blocks(search.batch.lists(i + 1)[0].id);
    if (visited.empty()) continue;
    scan_one_list(lists, visited[0].id, (*search.batch.encoded())[i], nearest[i]);
    search.work.distances += lists.size(visited[0].id);
  }
  together.bounds.resize(nearest.size());
  for (std::size_t list = 0; list < lists.lists(); ++list) {
    if (list % kListsBetween == 0) {  // what other shards have found meanwhile
      for (std::size_t i = 0; i < nearest.size(); ++i) together.bounds[i] = nearest[i].bound();
    }
    scan_together(search, lists, list, list + 1, together, nearest);
    search.work.distances += lists.size(list) * search.batch.visitors(list).size();
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
  for (std::size_t i = 0; i < n; ++i) nearest.emplace_back(search, i, keys.data() + i * room);
  if (n < kFewQueries) {
    for (std::size_t i = 0; i < n; ++i) scan_for_one(search, blocks, i, nearest[i]);
  } else {
    scan_for_all(search, blocks, nearest);
  }
  for (std::size_t i = 0; i < n; ++i) counts[i] = nearest[i].finish(out + i * search.k);
  idle = std::move(nearest);
}

}  // namespace annulus
