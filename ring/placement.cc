#include "ring/placement.h"

namespace annulus {

std::shared_ptr<const Layout> make_layout(const ConsistentHasher& ring, std::size_t replicas) {
  auto table = std::make_shared<const ReplicaTable>(ring, replicas);  // refuses no replicas, and several probes
  return std::make_shared<const Layout>(Layout{ring, replicas, std::move(table)});
}

}  // namespace annulus
