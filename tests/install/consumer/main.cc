// Uses the installed package from the ring to the router.
#include <annulus/core/error.h>
#include <annulus/io/fbin.h>
#include <annulus/shard/vector_router.h>
#include <annulus/shard/vector_shard.h>

#include <cstdio>
#include <cstdlib>
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

  annulus::write_fbin("consumer.fbin", rows);
  const bool same = annulus::read_fbin("consumer.fbin") == rows;
  std::remove("consumer.fbin");
  return same ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const annulus::Error& error) {
  std::cerr << error.what() << '\n';
  return EXIT_FAILURE;
}
