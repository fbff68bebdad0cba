// A slow ring that is plainly right: a list of (token, id), and rules spelled out. What the real one is compared with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ring/hash_ring.h"
#include "ring/token.h"

namespace annulus::oracle {

class Ring {
 public:
  Ring(RingOptions options, std::vector<Node> nodes, unsigned token_bits = 64) : options_(options), nodes_(std::move(nodes)) {
    for (const Node& node : nodes_) {
      const auto count = std::max(1.0, std::round(node.weight * options.virtual_nodes_per_weight));
      for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(count); ++i) {
        const Token token = token_of_virtual_node(node.id, i, options.seed);
        tokens_.emplace_back(token_bits == 64 ? token : token - token % (Token{1} << (64 - token_bits)), node.id);
      }
    }
    std::sort(tokens_.begin(), tokens_.end());
  }

  const std::vector<std::pair<Token, std::string>>& tokens() const { return tokens_; }

  /// Ids of all nodes by distance from the nearest probe, then id.
  std::vector<std::string> by_nearness(Token token) const {
    std::map<std::string, Token> nearest;
    for (std::uint32_t j = 0; j < options_.probes; ++j) {
      const Token probe = probe_of_token(token, j);
      for (const auto& [t, id] : tokens_) {
        const Token distance = t - probe;
        const auto [at, is_new] = nearest.emplace(id, distance);
        if (!is_new) at->second = std::min(at->second, distance);
      }
    }
    std::vector<std::pair<Token, std::string>> order;
    for (const auto& [id, distance] : nearest) order.emplace_back(distance, id);
    std::sort(order.begin(), order.end());
    std::vector<std::string> ids;
    for (const auto& [distance, id] : order) ids.push_back(id);
    return ids;
  }

  /// The preference list: the first of each zone, then the others.
  std::vector<std::string> preference_list(Token token) const {
    std::vector<std::string> first_of_zones;
    std::vector<std::string> others;
    std::set<std::string> zones;
    for (const std::string& id : by_nearness(token)) {
      const std::string zone = zone_of(id);
      (zone.empty() || zones.insert(zone).second ? first_of_zones : others).push_back(id);
    }
    first_of_zones.insert(first_of_zones.end(), others.begin(), others.end());
    return first_of_zones;
  }

  std::vector<std::string> replicas(Token token, std::size_t r) const {
    std::vector<std::string> list = preference_list(token);
    list.resize(std::min(r, list.size()));
    return list;
  }

 private:
  std::string zone_of(const std::string& id) const {
    return std::find_if(nodes_.begin(), nodes_.end(), [&](const Node& n) { return n.id == id; })->zone;
  }

  RingOptions options_;
  std::vector<Node> nodes_;
  std::vector<std::pair<Token, std::string>> tokens_;
};

/// The replicas of the real ring, by id.
inline std::vector<std::string> ids(const ConsistentHasher& ring, std::span<const NodeIndex> nodes) {
  std::vector<std::string> names;
  for (const NodeIndex node : nodes) names.push_back(ring.node(node).id);
  return names;
}

inline std::vector<std::string> replicas(const ConsistentHasher& ring, Token token, std::size_t r) {
  return ids(ring, ring.replica_set(token, r).nodes);
}

/// n nodes "a0", "a1", ... of weight 1, in `zones` zones; 0 zones: no zones.
inline std::vector<Node> some_nodes(std::size_t n, std::size_t zones = 0, const std::string& prefix = "a") {
  std::vector<Node> nodes;
  for (std::size_t i = 0; i < n; ++i) {
    nodes.push_back({prefix + std::to_string(i), 1.0, zones == 0 ? "" : "z" + std::to_string(i % zones)});
  }
  return nodes;
}

/// Nodes of random weights in [0.2, 3), some in zones and some not.
inline std::vector<Node> random_nodes(std::mt19937_64& random, std::size_t n, std::size_t zones) {
  std::vector<Node> nodes = some_nodes(n);
  for (Node& node : nodes) {
    node.weight = 0.2 + 2.8 * static_cast<double>(random() % 1000) / 1000.0;
    const std::size_t zone = zones == 0 ? 0 : random() % (zones + 1);
    node.zone = zone == 0 ? "" : "z" + std::to_string(zone);
  }
  return nodes;
}

/// Every token of either ring, those beside them, and the ends of the range: whatever happens, happens there.
inline std::vector<Token> critical_tokens(const ConsistentHasher& a, const ConsistentHasher& b) {
  std::set<Token> tokens{0, 1, ~Token{0}, ~Token{0} - 1, Token{1} << 63};
  for (const ConsistentHasher* ring : {&a, &b}) {
    for (const Token token : ring->tokens()) tokens.insert({token - 1, token, token + 1});
  }
  return {tokens.begin(), tokens.end()};
}

}  // namespace annulus::oracle
