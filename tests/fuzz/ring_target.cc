// The bytes of a ring.
#include <string>

#include "core/durable_file.h"
#include "core/error.h"
#include "ring/hash_ring.h"
#include "tests/fuzz/require.h"
#include "tests/fuzz/targets.h"

namespace annulus::fuzz {

bool ring_target(std::string_view input) {
  if (input.empty()) return false;
  try {
    const ConsistentHasher ring =
        ConsistentHasher::from_bytes(seal_envelope(EnvelopeKind::kRing, static_cast<std::uint8_t>(input[0]), input.substr(1)));
    const std::string saved = ring.to_bytes();
    const ConsistentHasher again = ConsistentHasher::from_bytes(saved);
    require(again.to_bytes() == saved && again.fingerprint() == ring.fingerprint(), "a saved ring differs when loaded");
    require(ring.owners().size() == ring.tokens().size(), "tokens without owners");
    for (const NodeIndex owner : ring.owners()) require(owner < ring.num_nodes(), "a token of no node");
    for (std::size_t node = 0; node < ring.num_nodes(); ++node) {
      require(ring.index_of(ring.node(static_cast<NodeIndex>(node)).id).has_value(), "a node that its name does not find");
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace annulus::fuzz
