// Uses the installed package from the ring to the router, the cache and the artifacts.
#include <annulus/artifact/artifact_distributor.h>
#include <annulus/artifact/directory_artifact_host.h>
#include <annulus/cache/distributed_cache.h>
#include <annulus/cache/in_memory_cache_node.h>
#include <annulus/core/error.h>
#include <annulus/io/fbin.h>
#include <annulus/rebalance/artifact_rebalancer.h>
#include <annulus/rebalance/cache_rebalancer.h>
#include <annulus/shard/vector_router.h>
#include <annulus/shard/vector_shard.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>

int main() try {
  const annulus::IndexSpec spec{.dimension = 3};
  annulus::VectorRouter router({.index = spec, .replicas = 2});
  for (const char* id : {"a", "b", "c"}) router.attach_node(std::make_shared<annulus::VectorShard>(id, spec));

  annulus::Matrix rows = annulus::Matrix::Identity(3, 3);
  const annulus::KeyView keys[] = {"x", "y", "z"};
  if (!router.upsert(keys, rows).ok()) return EXIT_FAILURE;
  const annulus::SearchResult answer = router.search(rows.row(1), 1);
  if (answer.coverage != 1.0 || answer[0].size() != 1 || answer[0][0].key != "y") return EXIT_FAILURE;

  annulus::DistributedCache cache;
  for (const char* id : {"a", "b"}) {
    cache.attach_node(std::make_shared<annulus::InMemoryCacheNode>(id, annulus::CacheCapacity{.items = 100, .bytes = 1 << 20}));
  }
  cache.put("key", "value");
  cache.detach_node("a");
  annulus::CacheRebalancer(cache).execute();
  if (cache.get("key") != "value") return EXIT_FAILURE;

  const std::filesystem::path folder = "consumer-hosts";
  std::filesystem::remove_all(folder);
  annulus::ArtifactDistributor artifacts({.replicas = 1});
  for (const char* id : {"a", "b"}) {
    annulus::DirectoryArtifactHost::create(folder / id, id);
    artifacts.attach_node(std::make_shared<annulus::DirectoryArtifactHost>(folder / id));
  }
  const std::byte content[] = {std::byte{1}, std::byte{2}};
  artifacts.put("model/weights", content);
  artifacts.detach_node(artifacts.placement("model/weights").front());
  annulus::ArtifactRebalancer(artifacts).execute();
  if (artifacts.get("model/weights").size() != 2) return EXIT_FAILURE;
  std::filesystem::remove_all(folder);

  annulus::write_fbin("consumer.fbin", rows);
  const bool same = annulus::read_fbin("consumer.fbin") == rows;
  std::remove("consumer.fbin");
  return same ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const annulus::Error& error) {
  std::cerr << error.what() << '\n';
  return EXIT_FAILURE;
}
