// The consistent-hash ring: which nodes own a key. Start at ConsistentHasher.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/key.h"
#include "ring/token.h"

namespace annulus {

/// A node's claim on the ring.
struct Node {
  std::string id;         ///< unique on the ring, 1 to 1024 bytes; the node's identity, so never an address
  double weight = 1.0;    ///< > 0 and finite; share of the keys relative to the other nodes
  std::string zone = {};  ///< failure domain, at most 1024 bytes; empty: the node is a zone of its own

  friend bool operator==(const Node&, const Node&) = default;
};

/// What all nodes of a ring share. Rings of different options place keys differently and are never compared.
struct RingOptions {
  /// Tokens of a node of weight 1, 1 to kMaxTokensPerNode. A node has max(1, round(weight * this)).
  std::uint32_t virtual_nodes_per_weight = 256;
  /// Positions tried for each key, 1 to kMaxProbes [3]. More even, and slower; above 1 ownership is no set of arcs.
  std::uint32_t probes = 1;
  /// Seeds the tokens of nodes (not of keys).
  std::uint64_t seed = 0;

  friend bool operator==(const RingOptions&, const RingOptions&) = default;
};

inline constexpr std::size_t kMaxNodeIdBytes = 1024;
inline constexpr std::size_t kMaxZoneBytes = 1024;
inline constexpr std::uint32_t kMaxTokensPerNode = std::uint32_t{1} << 20;
inline constexpr std::uint64_t kMaxTokens = 0xFFFFFFFFu;
inline constexpr std::uint32_t kMaxProbes = 64;

/// A node's position among the ring's nodes sorted by id: the same in whatever order the nodes came.
/// It names a node on one snapshot only; across snapshots, names are ids.
using NodeIndex = std::uint32_t;

/// The owner of every key on a ring without nodes.
inline constexpr NodeIndex kNoNode = 0xFFFFFFFFu;

/// The nodes that hold a key.
struct ReplicaSet {
  std::vector<NodeIndex> nodes;    ///< distinct, the primary first
  std::size_t node_shortfall = 0;  ///< replicas asked for beyond the number of nodes
  std::size_t zone_shortfall = 0;  ///< of `nodes`, those that share a zone with one before them
};

class ConsistentHasher;
class ReplicaTable;

namespace internal {

class RingSnapshot;

/// For tests. A ring that keeps only the top `token_bits` (1 to 64) bits of its nodes' tokens, to force equal tokens.
/// Keys are hashed as ever. The width is part of the fingerprint and of the saved bytes. Not for production.
/// Throws as the constructors of ConsistentHasher.
ConsistentHasher narrow_ring(unsigned token_bits, RingOptions options, std::span<const Node> nodes);

}  // namespace internal

/// Consistent hashing with virtual nodes [1], read clockwise for replicas [2], with optional multiple probes [3].
///
/// A key belongs to the first virtual node at or after its token, clockwise: token t owns the arc (p, t], p being the
/// token before it. Equal tokens are legal and ordered by node id. Replicas are the next distinct nodes clockwise, of
/// distinct zones while zones last, then of zones used already; so the first r replicas do not depend on how many are
/// asked for. With several probes the order is by distance from the nearest probe instead (ties: smaller node id).
///
/// A value over an immutable snapshot: copies are O(1), and a copy never sees later changes. A change that throws leaves
/// the ring as it was. What a ring is depends on its options and its nodes alone, not on the order of changes.
/// Memory: at most 16 bytes per virtual node, plus about 100 bytes, plus the nodes' names.
/// Thread safety: const calls on one object from any threads; a change needs the object to itself (not its copies).
/// Lookups on a ring without nodes answer kNoNode, or no replicas.
///
/// [1] Karger et al., STOC 1997.  [2] DeCandia et al., "Dynamo", SOSP 2007.  [3] Appleton and O'Reilly,
/// "Multi-probe consistent hashing", 2015.
class ConsistentHasher {
 public:
  /// A ring without nodes. Throws Error(kInvalidArgument) if an option is out of its range.
  explicit ConsistentHasher(RingOptions options = {});

  /// A ring of `nodes`, in any order. O(T log T) for T tokens. Throws as the constructor above and as add_node.
  ConsistentHasher(RingOptions options, std::span<const Node> nodes);

  // Copying is O(1). There is no move, so that no ring is ever left without a snapshot.
  ConsistentHasher(const ConsistentHasher&) noexcept = default;
  ConsistentHasher& operator=(const ConsistentHasher&) noexcept = default;
  ~ConsistentHasher() = default;

  /// Adds `node`, by merging its tokens. O(tokens), without hashing or sorting the others' again.
  /// Throws Error(kAlreadyExists) if the id is taken; Error(kInvalidArgument) if the id is empty or too long, the zone too
  /// long, the weight not > 0 and finite or worth more than kMaxTokensPerNode tokens; Error(kResourceExhausted) if the
  /// ring would have more than kMaxTokens tokens.
  void add_node(Node node);

  /// Removes a node. O(tokens). Throws Error(kNotFound) if there is none of this id.
  void remove_node(std::string_view id);

  /// Gives a node another weight; its zone stays. O(tokens). Throws Error(kNotFound), and for the weight as add_node.
  void set_weight(std::string_view id, double weight);

  /// This ring as it is now. O(1) whatever its size.
  ConsistentHasher clone() const noexcept { return *this; }

  std::size_t num_nodes() const noexcept;
  std::size_t num_tokens() const noexcept;

  /// Number of distinct zones; a node without a zone is one of its own.
  std::size_t num_zones() const noexcept;

  /// All nodes, sorted by id. Valid until this object is changed, assigned or destroyed, or as long as a copy lives.
  std::span<const Node> nodes() const noexcept;

  /// Throws Error(kInvalidArgument) if `index` is not < num_nodes().
  const Node& node(NodeIndex index) const;

  /// O(log nodes).
  std::optional<NodeIndex> index_of(std::string_view id) const noexcept;

  /// A dense number for the node's zone: equal for two nodes of one zone. `index` < num_nodes().
  std::uint32_t zone_of(NodeIndex index) const noexcept;

  const RingOptions& options() const noexcept;

  /// The node that owns a key, or kNoNode on an empty ring. O(1) expected, O(log tokens) at worst; times the probes.
  NodeIndex primary(KeyView key) const noexcept { return primary_of_token(token_of_key(key)); }
  NodeIndex primary_of_token(Token token) const noexcept;

  /// Writes the first `out.size()` nodes of the preference list of `token`, the primary first.
  /// Returns how many were written: min(out.size(), number of nodes). Expected O(r^2) steps on short r (distinctness is
  /// checked in `out` itself), and a walk that lasts until enough zones were met. ReplicaTable makes it one lookup.
  std::size_t replicas(Token token, std::span<NodeIndex> out) const noexcept;

  /// The first r of the preference list, with what is missing.
  ReplicaSet replica_set(Token token, std::size_t r) const;
  ReplicaSet replica_set(KeyView key, std::size_t r) const { return replica_set(token_of_key(key), r); }

  /// Batches: owners[i] is the primary of keys[i] or tokens[i]. Memory latency is hidden by two stages of prefetching.
  /// Throws Error(kInvalidArgument) if the sizes differ.
  void primaries(std::span<const KeyView> keys, std::span<NodeIndex> owners) const;
  void primaries_of_tokens(std::span<const Token> tokens, std::span<NodeIndex> owners) const;

  /// Batches: row i of `out` (n x r, row-major) is the replica set of keys[i] or tokens[i], padded with kNoNode.
  /// Returns how many of each row are nodes: min(r, number of nodes). Throws Error(kInvalidArgument) if out's size is
  /// not n * r.
  std::size_t replicas_of_keys(std::span<const KeyView> keys, std::size_t r, std::span<NodeIndex> out) const;
  std::size_t replicas_of_tokens(std::span<const Token> tokens, std::size_t r, std::span<NodeIndex> out) const;

  /// Position in tokens() of the first token >= `token`; num_tokens() if there is none (then the owner is owners()[0]).
  std::size_t lower_bound(Token token) const noexcept;

  /// All tokens, sorted; and the node of each. Equal tokens are ordered by node id. Valid as nodes().
  std::span<const Token> tokens() const noexcept;
  std::span<const NodeIndex> owners() const noexcept;

  /// Equal for equal rings: xxh3_64 of the placement version, options and nodes (docs/formats/ring.md). O(nodes).
  std::uint64_t fingerprint() const;

  /// The ring as a file's bytes: an envelope of kind kRing; docs/formats/ring.md. Equal rings give equal bytes.
  std::string to_bytes() const;

  /// The ring that to_bytes wrote. `name` names the source in messages. Throws Error(kDataLoss) for damaged bytes,
  /// Error(kInvalidArgument) for bytes of another kind, Error(kUnimplemented) for a newer format or another placement
  /// version.
  static ConsistentHasher from_bytes(std::string_view bytes, std::string_view name = "the ring");

  /// Bytes of the tokens, their owners and the lookup table, per token; 0 on an empty ring.
  double bytes_per_token() const noexcept;

  /// Bits of a token that are in use: 64, but for rings made by internal::narrow_ring.
  unsigned token_bits() const noexcept;

 private:
  explicit ConsistentHasher(std::shared_ptr<const internal::RingSnapshot> snapshot) noexcept : snapshot_(std::move(snapshot)) {}
  friend class ReplicaTable;  // finds its rows as the ring finds owners
  friend ConsistentHasher internal::narrow_ring(unsigned token_bits, RingOptions options, std::span<const Node> nodes);

  /// Throws Error(kNotFound).
  NodeIndex required_index(std::string_view id) const;

  std::shared_ptr<const internal::RingSnapshot> snapshot_;  // never null
};

/// True if a and b place keys by the same rules: options and token width. (One program has one placement version.)
bool same_placement_rules(const ConsistentHasher& a, const ConsistentHasher& b) noexcept;

}  // namespace annulus
