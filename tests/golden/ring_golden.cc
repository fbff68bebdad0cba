#include "tests/golden/ring_golden.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/key.h"
#include "ring/hash_ring.h"

namespace annulus {
namespace {

using Json = nlohmann::ordered_json;

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

/// Keys of every length class of xxh3: 1-3, 4-8, 9-16, 17-128, 129-240, and longer; and an id.
std::vector<std::string> golden_keys() {
  std::vector<std::string> keys{"a", "ab", "word", "user:42", "a longer key, of 30 characters", std::string("\0\xff\x80", 3)};
  keys.emplace_back(KeyView(IdKey(1234567890123456789u)));
  for (const std::size_t length : {16, 17, 128, 129, 240, 241, 1024}) {
    std::string key;
    for (std::size_t i = 0; i < length; ++i) key += static_cast<char>('a' + i % 26);
    keys.push_back(key);
  }
  return keys;
}

Json ring_json(const std::string& name, const ConsistentHasher& ring) {
  Json json{{"name", name},
            {"virtual_nodes_per_weight", ring.options().virtual_nodes_per_weight},
            {"probes", ring.options().probes},
            {"seed", std::to_string(ring.options().seed)},
            {"token_bits", ring.token_bits()}};
  for (const Node& node : ring.nodes()) json["nodes"].push_back({{"id", node.id}, {"weight", node.weight}, {"zone", node.zone}});
  for (const Token token : ring.tokens()) json["tokens"].push_back(std::to_string(token));
  json["owners"] = std::vector<NodeIndex>(ring.owners().begin(), ring.owners().end());
  for (const std::string& key : golden_keys()) json["replicas"].push_back(ring.replica_set(KeyView(key), 4).nodes);
  json["fingerprint"] = std::to_string(ring.fingerprint());
  json["bytes"] = hex(ring.to_bytes());
  return json;
}

}  // namespace

nlohmann::ordered_json ring_golden() {
  Json json{{"placement_version", kPlacementVersion}};
  for (const std::string& key : golden_keys()) {
    json["keys"].push_back({{"bytes", hex(key)}, {"token", std::to_string(token_of_key(key))}});
  }
  const std::vector<Node> plain{{"alpha"}, {"beta"}, {"gamma"}, {"delta"}, {"epsilon"}};
  const std::vector<Node> zoned{{"n0", 1.0, "east"}, {"n1", 2.5, "east"},        {"n2", 0.01, "west"},
                                {"n3", 1.0, ""},     {"n\xc3\xa9", 0.5, "west"}, {std::string(200, 'x'), 1.0, "east"}};
  json["rings"].push_back(ring_json("plain", ConsistentHasher({.virtual_nodes_per_weight = 16}, plain)));
  json["rings"].push_back(ring_json("weights, zones and a seed",
                                    ConsistentHasher({.virtual_nodes_per_weight = 8, .seed = 0xFEDCBA9876543210u}, zoned)));
  json["rings"].push_back(
      ring_json("three probes", ConsistentHasher({.virtual_nodes_per_weight = 8, .probes = 3, .seed = 1}, zoned)));
  json["rings"].push_back(ring_json("equal tokens", internal::narrow_ring(4, {.virtual_nodes_per_weight = 8}, plain)));
  return json;
}

}  // namespace annulus
