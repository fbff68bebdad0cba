// Answers of a model, kept for an hour: in this process, or in Redis servers that other processes share.
//   example_response_cache [redis://[[user]:password@]host[:port][/database]]...
#include <annulus/cache/distributed_cache.h>
#include <annulus/cache/in_memory_cache_node.h>
#include <annulus/cache/redis_cache_node.h>
#include <annulus/core/error.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <string>

namespace {

int calls = 0;

/// Stands for a model whose answers take seconds, and cost money.
std::string ask_model(const std::string& question) {
  ++calls;
  return "A thoughtful answer to '" + question + "'";
}

std::shared_ptr<annulus::CacheNode> redis_node(const std::string& id, const char* url) {
  auto node = std::make_shared<annulus::RedisCacheNode>(id, annulus::RedisCacheOptions::from_url(url));
  node->check();  // says now what is wrong; later, a server that is gone costs misses
  return node;
}

}  // namespace

int main(int argc, char** argv) try {
  annulus::DistributedCacheOptions options{.replicas = 2};  // each answer at two nodes: one may fail
  options.start = annulus::CacheStart::kWarm;  // answers of earlier runs count: they all had these servers, and never changed one
  annulus::DistributedCache cache(options);
  for (int i = 1; i < argc; ++i) cache.attach_node(redis_node("redis-" + std::to_string(i), argv[i]));
  if (argc == 1) {
    const annulus::CacheCapacity capacity{.items = 10'000, .bytes = 64 << 20};
    for (const char* id : {"a", "b", "c"}) cache.attach_node(std::make_shared<annulus::InMemoryCacheNode>(id, capacity));
  }

  for (const std::string question : {"What is a ring?", "What is a shard?", "What is a ring?"}) {
    const std::string key = "model-1:" + question;  // what the answer depends on
    const auto ask = [&] { return ask_model(question); };
    std::cout << cache.get_or_compute(key, ask, std::chrono::hours(1)) << '\n';
  }
  const annulus::DistributedCacheStats stats = cache.stats();
  std::cout << calls << " calls of the model for 3 questions: " << stats.hits << " hits, " << stats.misses << " misses\n";
} catch (const annulus::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
