// xxHash is inlined for the batches over keys; see token.cc.
#define XXH_INLINE_ALL
#include "ring/hash_ring.h"

#include <xxhash.h>

#include <array>
#include <string>

#include "core/error.h"
#include "ring/preference_walk.h"
#include "ring/ring_snapshot.h"

namespace annulus {
namespace {

using internal::RingSnapshot;

/// How many lookups of a batch are under way at a time: enough to hide the latency of memory, few enough for L1.
constexpr std::size_t kBlock = 32;

NodeIndex nearest_of_probes(const RingSnapshot& ring, Token token) noexcept {
  internal::Nearness best{~Token{0}, kNoNode};
  for (std::uint32_t j = 0; j < ring.options().probes && ring.num_tokens() > 0; ++j) {
    const Token probe = probe_of_token(token, j);
    const std::size_t position = ring.lower_bound(probe);
    const Token found = ring.token_at(position < ring.num_tokens() ? position : 0);
    best = std::min(best, internal::Nearness{found - probe, ring.owner_at(position)});
  }
  return best.owner;
}

/// Looks up `count` <= kBlock tokens of a ring of one probe; `positions` then holds where they are.
void find_positions(const RingSnapshot& ring, const Token* tokens, std::size_t count, std::size_t* positions) noexcept {
  std::array<std::size_t, kBlock> buckets;
  for (std::size_t i = 0; i < count; ++i) {
    buckets[i] = ring.bucket_of(tokens[i]);
    ring.prefetch_bucket(buckets[i]);
  }
  for (std::size_t i = 0; i < count; ++i) {
    positions[i] = ring.bucket_begin(buckets[i]);
    ring.prefetch_tokens(positions[i]);
    ring.prefetch_owner(positions[i]);
  }
  for (std::size_t i = 0; i < count; ++i) positions[i] = ring.lower_bound_in(buckets[i], positions[i], tokens[i]);
}

void find_owners(const RingSnapshot& ring, const Token* tokens, std::size_t count, NodeIndex* owners) noexcept {
  if (ring.options().probes > 1) {
    for (std::size_t i = 0; i < count; ++i) owners[i] = nearest_of_probes(ring, tokens[i]);
    return;
  }
  std::array<std::size_t, kBlock> positions;
  find_positions(ring, tokens, count, positions.data());
  for (std::size_t i = 0; i < count; ++i) owners[i] = ring.owner_at(positions[i]);
}

void find_replicas(const RingSnapshot& ring, const Token* tokens, std::size_t count, std::size_t r,
                   std::span<NodeIndex> out) noexcept {
  std::array<std::size_t, kBlock> positions;
  if (ring.options().probes == 1) find_positions(ring, tokens, count, positions.data());
  for (std::size_t i = 0; i < count; ++i) {
    const std::span<NodeIndex> row = out.subspan(i * r, r);
    const std::size_t written = ring.options().probes == 1
                                    ? internal::collect(ring, internal::ClockwiseWalk(ring, positions[i]), row)
                                    : internal::collect(ring, internal::NearestWalk(ring, tokens[i]), row);
    std::fill(row.begin() + static_cast<std::ptrdiff_t>(written), row.end(), kNoNode);
  }
}

/// Hashes the block of keys that starts at `begin`; returns how many it has.
std::size_t hash_block(std::span<const KeyView> keys, std::size_t begin, std::array<Token, kBlock>& tokens) noexcept {
  const std::size_t count = std::min(kBlock, keys.size() - begin);
  for (std::size_t i = 0; i < count; ++i) tokens[i] = XXH3_64bits(keys[begin + i].data(), keys[begin + i].size());
  return count;
}

void check_owners(std::size_t given, std::size_t lookups) {
  if (given == lookups) return;
  throw Error(ErrorCode::kInvalidArgument, "room for " + std::to_string(given) + " owners, " + std::to_string(lookups) +
                                               " are looked up; pass spans of equal size");
}

void check_rows(std::size_t given, std::size_t lookups, std::size_t r) {
  if (r > 0 && given % r == 0 && given / r == lookups) return;
  if (r == 0 && given == 0) return;
  throw Error(ErrorCode::kInvalidArgument, "room for " + std::to_string(given) + " nodes, " + std::to_string(lookups) +
                                               " lookups of " + std::to_string(r) + " replicas are asked for; pass n * r");
}

}  // namespace

ConsistentHasher::ConsistentHasher(RingOptions options) : snapshot_(RingSnapshot::build(options, 64, {})) {}

ConsistentHasher::ConsistentHasher(RingOptions options, std::span<const Node> nodes)
    : snapshot_(RingSnapshot::build(options, 64, {nodes.begin(), nodes.end()})) {}

ConsistentHasher internal::narrow_ring(unsigned token_bits, RingOptions options, std::span<const Node> nodes) {
  return ConsistentHasher(RingSnapshot::build(options, token_bits, {nodes.begin(), nodes.end()}));
}

void ConsistentHasher::add_node(Node node) { snapshot_ = snapshot_->with_node(std::move(node)); }

void ConsistentHasher::remove_node(std::string_view id) { snapshot_ = snapshot_->without_node(required_index(id)); }

void ConsistentHasher::set_weight(std::string_view id, double weight) {
  snapshot_ = snapshot_->with_weight(required_index(id), weight);
}

NodeIndex ConsistentHasher::required_index(std::string_view id) const {
  if (const std::optional<NodeIndex> index = index_of(id)) return *index;
  throw Error(ErrorCode::kNotFound,
              "no node '" + display_key(id) + "' is on the ring of " + std::to_string(num_nodes()) + " nodes; nodes() lists them");
}

std::size_t ConsistentHasher::num_nodes() const noexcept { return snapshot_->nodes().size(); }
std::size_t ConsistentHasher::num_tokens() const noexcept { return snapshot_->num_tokens(); }
std::size_t ConsistentHasher::num_zones() const noexcept { return snapshot_->num_zones(); }
std::span<const Node> ConsistentHasher::nodes() const noexcept { return snapshot_->nodes(); }
std::uint32_t ConsistentHasher::zone_of(NodeIndex index) const noexcept { return snapshot_->zone_of(index); }
const RingOptions& ConsistentHasher::options() const noexcept { return snapshot_->options(); }
std::span<const Token> ConsistentHasher::tokens() const noexcept { return snapshot_->tokens(); }
std::span<const NodeIndex> ConsistentHasher::owners() const noexcept { return snapshot_->owners(); }
unsigned ConsistentHasher::token_bits() const noexcept { return snapshot_->token_bits(); }
std::size_t ConsistentHasher::lower_bound(Token token) const noexcept { return snapshot_->lower_bound(token); }

const Node& ConsistentHasher::node(NodeIndex index) const {
  if (index < num_nodes()) return snapshot_->nodes()[index];
  throw Error(ErrorCode::kInvalidArgument, "node index " + std::to_string(index) + " on a ring of " + std::to_string(num_nodes()) +
                                               " nodes; indices of other rings do not carry over");
}

std::optional<NodeIndex> ConsistentHasher::index_of(std::string_view id) const noexcept {
  const std::size_t position = snapshot_->position_of(id);
  if (position == num_nodes() || snapshot_->nodes()[position].id != id) return std::nullopt;
  return static_cast<NodeIndex>(position);
}

NodeIndex ConsistentHasher::primary_of_token(Token token) const noexcept {
  const RingSnapshot& ring = *snapshot_;
  if (ring.options().probes > 1) [[unlikely]]
    return nearest_of_probes(ring, token);
  const std::size_t bucket = ring.bucket_of(token);
  const std::size_t begin = ring.bucket_begin(bucket);
  ring.prefetch_owner(begin);  // while the tokens are on their way: the answer is there or just after
  return ring.owner_at(ring.lower_bound_in(bucket, begin, token));
}

std::size_t ConsistentHasher::replicas(Token token, std::span<NodeIndex> out) const noexcept {
  const RingSnapshot& ring = *snapshot_;
  if (ring.options().probes > 1) return internal::collect(ring, internal::NearestWalk(ring, token), out);
  return internal::collect(ring, internal::ClockwiseWalk(ring, ring.lower_bound(token)), out);
}

ReplicaSet ConsistentHasher::replica_set(Token token, std::size_t r) const {
  ReplicaSet set;
  set.nodes.resize(std::min(r, num_nodes()));
  replicas(token, set.nodes);
  set.node_shortfall = r - set.nodes.size();
  set.zone_shortfall = set.nodes.size() - std::min(set.nodes.size(), num_zones());
  return set;
}

void ConsistentHasher::primaries(std::span<const KeyView> keys, std::span<NodeIndex> owners) const {
  check_owners(owners.size(), keys.size());
  std::array<Token, kBlock> tokens;
  for (std::size_t begin = 0; begin < keys.size(); begin += kBlock) {
    const std::size_t count = hash_block(keys, begin, tokens);
    find_owners(*snapshot_, tokens.data(), count, owners.data() + begin);
  }
}

void ConsistentHasher::primaries_of_tokens(std::span<const Token> tokens, std::span<NodeIndex> owners) const {
  check_owners(owners.size(), tokens.size());
  for (std::size_t begin = 0; begin < tokens.size(); begin += kBlock) {
    find_owners(*snapshot_, tokens.data() + begin, std::min(kBlock, tokens.size() - begin), owners.data() + begin);
  }
}

std::size_t ConsistentHasher::replicas_of_keys(std::span<const KeyView> keys, std::size_t r, std::span<NodeIndex> out) const {
  check_rows(out.size(), keys.size(), r);
  std::array<Token, kBlock> tokens;
  for (std::size_t begin = 0; begin < keys.size(); begin += kBlock) {
    const std::size_t count = hash_block(keys, begin, tokens);
    find_replicas(*snapshot_, tokens.data(), count, r, out.subspan(begin * r, count * r));
  }
  return std::min(r, num_nodes());
}

std::size_t ConsistentHasher::replicas_of_tokens(std::span<const Token> tokens, std::size_t r, std::span<NodeIndex> out) const {
  check_rows(out.size(), tokens.size(), r);
  for (std::size_t begin = 0; begin < tokens.size(); begin += kBlock) {
    const std::size_t count = std::min(kBlock, tokens.size() - begin);
    find_replicas(*snapshot_, tokens.data() + begin, count, r, out.subspan(begin * r, count * r));
  }
  return std::min(r, num_nodes());
}

double ConsistentHasher::bytes_per_token() const noexcept {
  if (num_tokens() == 0) return 0.0;
  return static_cast<double>(snapshot_->table_bytes()) / static_cast<double>(num_tokens());
}

bool same_placement_rules(const ConsistentHasher& a, const ConsistentHasher& b) noexcept {
  return a.options() == b.options() && a.token_bits() == b.token_bits();
}

}  // namespace annulus
