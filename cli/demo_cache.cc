#include "cli/demo_cache.h"

#include <chrono>
#include <memory>
#include <span>

#include "cache/in_memory_cache_node.h"

namespace annulus::cli {
namespace {

constexpr std::chrono::hours kTtl{1};
// Room for all on any one node, so that what is missing is the change's doing.
constexpr std::size_t kSpareItems = 2;
constexpr std::size_t kBytes = std::size_t{256} << 20;

}  // namespace

DemoCache::DemoCache(const WordVectors& data) : data_(data), keys_(data.words.begin(), data.words.end()) {}

void DemoCache::attach(const std::string& id) {
  const CacheCapacity capacity{.items = kSpareItems * keys_.size(), .bytes = kBytes};
  for (DistributedCache* cache : {&warm_, &twin_}) cache->attach_node(std::make_shared<InMemoryCacheNode>(id, capacity));
}

void DemoCache::detach(const std::string& id) {
  for (DistributedCache* cache : {&warm_, &twin_}) cache->detach_node(id);
}

std::string DemoCache::value(std::size_t word) const {
  const auto row = data_.vectors.row(static_cast<Eigen::Index>(word));
  return {reinterpret_cast<const char*>(row.data()), static_cast<std::size_t>(row.size()) * sizeof(float)};
}

void DemoCache::fill(DistributedCache& cache) const {
  for (std::size_t i = 0; i < keys_.size(); ++i) cache.put(keys_[i], value(i), kTtl);
}

void DemoCache::fill() {
  fill(warm_);
  fill(twin_);
}

CacheFigures DemoCache::change(const std::function<void()>& declare) {
  CacheFigures figures;
  figures.entries = keys_.size();
  const ConsistentHasher before = warm_.ring();
  declare();
  const KeyPlan moved = RebalancePlanner::plan_moved(keys_, before, warm_.ring());
  figures.changed = moved.moves.size();
  figures.twin_hits = hits(twin_, moved, figures.wrong);
  figures.report = CacheRebalancer(warm_).execute();
  figures.hits = hits(warm_, moved, figures.wrong);
  fill(twin_);
  return figures;
}

std::uint64_t DemoCache::hits(DistributedCache& cache, const KeyPlan& moved, std::uint64_t& wrong) const {
  std::uint64_t found = 0;
  for (const KeyMove& move : moved.moves) {
    const std::optional<std::string> cached = cache.get(keys_[move.key]);
    if (!cached) continue;
    ++found;
    wrong += *cached == value(move.key) ? 0 : 1;
  }
  return found;
}

}  // namespace annulus::cli
