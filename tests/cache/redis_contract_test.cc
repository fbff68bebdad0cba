#include <atomic>

#include "tests/cache/cache_node_contract.h"
#include "tests/cache/redis_test.h"

namespace annulus::testing {
namespace {

/// One server for all of them, each with a name of its own; the odd names are part of the test.
std::unique_ptr<CacheNode> make_node(std::shared_ptr<ManualTime> time) {
  static RedisServer server;
  static std::atomic<int> count{0};
  RedisCacheOptions options = options_for(server);
  options.prefix = "a*:b[c]?\\d%^";
  options.now = [time] { return time->now; };
  return std::make_unique<RedisCacheNode>("id:e:" + std::to_string(count++), options);
}

INSTANTIATE_TEST_SUITE_P(Redis, CacheNodeContract, ::testing::Values(CacheNodeKind{"RedisCacheNode", make_node}), name_of_kind);

}  // namespace
}  // namespace annulus::testing
