// Who holds a key, and what moves when a node joins.
#include <annulus/ring/ring_diff.h>

#include <iostream>

int main() {
  annulus::ConsistentHasher ring;
  for (const char* id : {"shard-a", "shard-b", "shard-c"}) ring.add_node({.id = id});
  for (annulus::NodeIndex owner : ring.replica_set("user:42", 2).nodes) std::cout << ring.node(owner).id << '\n';

  const annulus::ConsistentHasher before = ring.clone();
  ring.add_node({.id = "shard-d"});
  const annulus::DiffStats moves = annulus::diff(before, ring, 2).stats();
  std::cout << moves.moved_fraction << " of all copies move, at least " << moves.lower_bound_fraction << " must\n";
}
