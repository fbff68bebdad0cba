// A DistributedCache over nodes that can be made to fail, and a time that tests move.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cache/distributed_cache.h"
#include "tests/cache/cache_node_contract.h"
#include "tests/cache/faulty_cache_node.h"

namespace annulus::testing {

class TestCache {
 public:
  explicit TestCache(std::size_t nodes, std::size_t replicas = 1, std::shared_ptr<FaultPlan> plan = nullptr,
                     CacheStart start = CacheStart::kAnew)
      : plan_(std::move(plan)), cache({.replicas = replicas, .start = start, .now = [time = time] { return time->now; }}) {
    for (std::size_t i = 0; i < nodes; ++i) attach("n" + std::to_string(i));
  }

  FaultyCacheNode& attach(const std::string& id, double weight = 1.0) {
    cache.attach_node(make(id), weight);
    return node(id);
  }
  std::shared_ptr<FaultyCacheNode> make(const std::string& id) {
    const CacheCapacity capacity{.items = 10'000, .bytes = std::size_t{4} << 20};
    auto inner = std::make_shared<InMemoryCacheNode>(id, capacity, [time = time] { return time->now; });
    nodes_[id] = std::make_shared<FaultyCacheNode>(std::move(inner), plan_);
    return nodes_[id];
  }
  FaultyCacheNode& node(const std::string& id) { return *nodes_.at(id); }
  std::shared_ptr<FaultyCacheNode> shared_node(const std::string& id) { return nodes_.at(id); }
  const std::map<std::string, std::shared_ptr<FaultyCacheNode>>& nodes() const { return nodes_; }
  void heal() {
    for (auto& [id, node] : nodes_) node->set_down(false);
  }

  /// The owner of this rank.
  FaultyCacheNode& owner(KeyView key, std::size_t rank = 0) { return node(cache.placement(key).at(rank)); }
  /// Value at a node itself, or "-".
  static std::string held(FaultyCacheNode& node, KeyView key) {
    const auto entry = node.inner().get(key);
    return entry ? entry->value : "-";
  }
  std::string get(KeyView key) { return cache.get(key).value_or("-"); }
  /// The first of "k0", "k1", ... of which `wanted` says so.
  template <typename Wanted>
  static std::string key_where(Wanted&& wanted) {
    for (int i = 0; i < 100'000; ++i) {
      const std::string key = "k" + std::to_string(i);
      if (wanted(key)) return key;
    }
    throw std::logic_error("no such key");
  }

  std::shared_ptr<ManualTime> time = std::make_shared<ManualTime>();

 private:
  const std::shared_ptr<FaultPlan> plan_;
  std::map<std::string, std::shared_ptr<FaultyCacheNode>> nodes_;

 public:
  DistributedCache cache;
};

}  // namespace annulus::testing
