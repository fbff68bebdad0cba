#include "rebalance/cache_warm_up.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "rebalance/pair_counter.h"

namespace annulus {
namespace {

constexpr std::size_t kScanPage = 1024;
// Bytes that a step aims at, so that large values come in small pages.
constexpr std::uint64_t kStepBytes = std::uint64_t{1} << 20;
constexpr std::size_t kFirstPage = 16;

NodeFlow& flow_of(MoveReport& report, const std::string& id) {
  auto at = std::lower_bound(report.nodes.begin(), report.nodes.end(), id,
                             [](const NodeFlow& node, const std::string& name) { return node.id < name; });
  if (at == report.nodes.end() || at->id != id) at = report.nodes.insert(at, NodeFlow{.id = id});
  return *at;
}

}  // namespace

CacheWarmUp::CacheWarmUp(DistributedCache& cache, const RebalanceOptions& options, MoveControl& control, RebalancePlan plan,
                         CacheMoveReport& report)
    : cache_(cache), options_(options), control_(control), plan_(std::move(plan)), report_(report) {
  std::map<PlanNode, std::vector<Arc>> arcs;
  for (const ArcMove& move : plan_.moves) {
    if (move.targets.empty()) continue;
    for (const PlanNode source : move.sources) arcs[source].push_back(move.arc);
  }
  for (const auto& [source, given] : arcs) gives_.emplace(source, ArcSet(given));
  for (const std::string& id : plan_.nodes) (void)flow_of(report_, id);
  for (const std::string& warning : plan_.warnings) add_warning(report_, warning);
}

void CacheWarmUp::list_all() {
  for (PlanNode node = 0; node < plan_.nodes.size(); ++node) {
    if (plan_.before.index_of(plan_.nodes[node])) list_node(node);
  }
  count();
}

// Every former owner is asked, also one that gives nothing: the live keys are counted at their former primaries.
void CacheWarmUp::list_node(PlanNode node) {
  const std::string& id = plan_.nodes[node];
  const std::shared_ptr<CacheNode> held = cache_.node(id);
  if (held == nullptr) return;
  const auto gives = gives_.find(node);
  const auto index = plan_.before.index_of(id);
  std::vector<std::string> page;
  CacheCursor cursor;
  try {
    if (!cache_.usable(id)) throw Error(ErrorCode::kUnavailable, "it is out of reach");
    while (!cursor.done) {
      page.clear();
      held->scan(cursor, kScanPage, page);
      for (std::string& key : page) {
        const Token token = token_of_key(key);
        if (plan_.before.primary_of_token(token) == *index) ++keys_;
        if (gives != gives_.end() && gives->second.contains(token)) catalogue_[node].add(std::move(key));
      }
      control_.step(0, 0);
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kAborted) throw;
    add_warning(report_, "node '" + id + "' could not be listed, and what it alone holds is not warmed up: " + error.what());
  }
}

void CacheWarmUp::list(std::span<const KeyView> keys) {
  for (const KeyView key : keys) {
    const Token token = token_of_key(key);
    for (const auto& [source, arcs] : gives_) {
      if (arcs.contains(token)) catalogue_[source].add(std::string(key));
    }
  }
  keys_ += keys.size();
  count();
}

void CacheWarmUp::count() {
  PairCounter pairs(plan_);
  std::vector<KeyCatalogue::Entry> moving;
  for (auto& [source, keys] : catalogue_) {
    keys.seal();
    std::vector<KeyCatalogue::Entry> merged;
    std::set_union(moving.begin(), moving.end(), keys.entries().begin(), keys.entries().end(), std::back_inserter(merged));
    moving = std::move(merged);
  }
  for (const KeyCatalogue::Entry& entry : moving) pairs.add(entry.token);
  report_.lower_bound += pairs.to_copy();
  to_drop_ = pairs.to_drop();
}

void CacheWarmUp::copy() {
  MoveMemory memory(plan_);
  copy_moves(plan_, memory, options_.chunk_arcs,
             [this](const auto& sources, const auto& targets, MoveChunk chunk) { copy_chunk(sources, targets, chunk); });
}

// Each key from the first source that holds it; from the next one if some of a page could not be had.
void CacheWarmUp::copy_chunk(const std::vector<PlanNode>& sources, const std::vector<PlanNode>& targets, MoveChunk chunk) {
  std::vector<Arc> arcs;
  for (const std::size_t i : chunk) arcs.push_back(plan_.moves[i].arc);
  std::vector<std::string> to;
  for (const PlanNode target : targets) to.push_back(plan_.nodes[target]);

  std::unordered_set<std::string_view> done;
  std::unordered_set<std::string_view> open;
  for (const PlanNode source : sources) {
    const std::string& from = plan_.nodes[source];
    std::vector<KeyView> keys;
    catalogue_[source].each(arcs, [&](const KeyCatalogue::Entry& entry) {
      if (!done.contains(entry.key)) keys.push_back(entry.key);
    });
    for (std::size_t begin = 0; begin < keys.size();) {
      const auto page = std::span<const KeyView>(keys).subspan(begin, std::min(page_size(), keys.size() - begin));
      const DistributedCache::CopyResult result = cache_.copy(page, from, to);
      report_.moved += result.copied;
      report_.already_there += result.already_there;
      report_.verified += result.copied + result.already_there;
      report_.bytes += result.bytes;
      flow_of(report_, from).copied_out += result.copied;
      // a target that gained nothing because it is out of reach shows in `missed`
      for (const std::string& id : to) flow_of(report_, id).copied_in += result.copied / to.size();
      flow_of(report_, to.front()).copied_in += result.copied % to.size();
      for (const KeyView key : page) (result.missed == 0 ? done : open).insert(key);
      control_.step(result.copied + result.already_there, result.bytes);
      begin += page.size();
    }
  }
  for (const std::string_view key : done) open.erase(key);
  report_.missed += open.size();
}

std::size_t CacheWarmUp::page_size() const {
  const std::uint64_t pairs = report_.moved;
  if (pairs == 0) return std::min(kFirstPage, options_.page_records);
  const std::uint64_t each = std::max<std::uint64_t>(1, report_.bytes / pairs);
  return std::clamp<std::size_t>(static_cast<std::size_t>(kStepBytes / each), 1, options_.page_records);
}

}  // namespace annulus
