// What the golden file of rings holds, computed from the code as it is.
#pragma once

#include <nlohmann/json.hpp>

namespace annulus {

/// Tokens of keys; then rings with their tokens, owners, fingerprints, bytes and the replica lists of the keys.
/// 64-bit numbers are decimal strings, because JSON readers differ on large numbers; bytes are hexadecimal.
nlohmann::ordered_json ring_golden();

}  // namespace annulus
