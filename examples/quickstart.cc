// A thousand records on three shards, two copies of each; a fourth shard joins.
#include <annulus/rebalance/vector_rebalancer.h>
#include <annulus/shard/vector_shard.h>

#include <iostream>

int main() {
  const annulus::IndexSpec index{.dimension = 32, .metric = annulus::Metric::kCosine, .factory = "Flat"};  // or HNSW16, ...
  annulus::VectorRouter router({.index = index, .replicas = 2});
  for (const char* id : {"a", "b", "c"}) router.attach_node(std::make_shared<annulus::VectorShard>(id, index));

  const annulus::Matrix vectors = annulus::Matrix::Random(1000, 32);
  for (int i = 0; i < vectors.rows(); ++i) router.upsert("user:" + std::to_string(i), vectors.row(i));

  router.attach_node(std::make_shared<annulus::VectorShard>("d", index));
  const annulus::ResizeReport resize = annulus::VectorRebalancer(router).execute();  // reads and writes may go on meanwhile
  std::cout << resize.moved << " of 2000 copies moved, " << resize.lower_bound << " had to, " << resize.lost << " lost\n";

  const annulus::SearchResult nearest = router.search(vectors.row(42), 2);
  for (const annulus::Neighbor& near : nearest[0]) std::cout << near.key << '\n';
}
