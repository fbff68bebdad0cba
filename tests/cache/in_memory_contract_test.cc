#include "cache/in_memory_cache_node.h"
#include "tests/cache/cache_node_contract.h"

namespace annulus::testing {
namespace {

std::unique_ptr<CacheNode> make_node(CacheCapacity capacity, const std::shared_ptr<ManualTime>& time) {
  return std::make_unique<InMemoryCacheNode>("memory", capacity, [time] { return time->now; });
}

INSTANTIATE_TEST_SUITE_P(
    InMemory, CacheNodeContract,
    ::testing::Values(
        CacheNodeKind{"OneLock",
                      [](const auto& time) { return make_node({.items = 100'000, .bytes = std::size_t{7} << 20}, time); }},
        CacheNodeKind{"ManyLocks",
                      [](const auto& time) { return make_node({.items = 100'000, .bytes = std::size_t{1} << 30}, time); }}),
    name_of_kind);

}  // namespace
}  // namespace annulus::testing
