// Places a key with the ring alone.
#include <annulus/core/error.h>
#include <annulus/ring/hash_ring.h>

#include <cstdlib>

int main() {
  annulus::ConsistentHasher ring;
  ring.add_node({"a"});
  ring.add_node({"b"});
  const annulus::ReplicaSet owners = ring.replica_set("user:1", 2);
  if (owners.nodes.size() != 2 || owners.nodes[0] != ring.primary("user:1")) return EXIT_FAILURE;
  try {
    ring.remove_node("c");
  } catch (const annulus::Error& error) {  // exceptions cross the library's border as the type that its users catch
    return error.code() == annulus::ErrorCode::kNotFound ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  return EXIT_FAILURE;
}
