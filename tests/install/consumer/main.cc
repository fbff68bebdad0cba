// Uses the installed package from the ring to the files.
#include <annulus/io/fbin.h>
#include <annulus/ring/hash_ring.h>

#include <cstdio>
#include <cstdlib>

int main() {
  annulus::ConsistentHasher ring;
  ring.add_node({"a"});
  if (ring.primary("user:1") != 0) return EXIT_FAILURE;

  annulus::write_fbin("consumer.fbin", annulus::Matrix::Ones(2, 3));
  const bool same = annulus::read_fbin("consumer.fbin") == annulus::Matrix::Ones(2, 3);
  std::remove("consumer.fbin");
  return same ? EXIT_SUCCESS : EXIT_FAILURE;
}
