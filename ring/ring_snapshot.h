// Private to ring/: the immutable state behind ConsistentHasher.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/prefetch.h"
#include "ring/arc.h"
#include "ring/hash_ring.h"

namespace annulus::internal {

/// Sorted tokens, their owners, and a table that says where each of `num_buckets` equal parts of the ring begins.
class RingSnapshot {
 public:
  /// Everything anew. Validates options and nodes as the constructor of ConsistentHasher says.
  static std::shared_ptr<const RingSnapshot> build(const RingOptions& options, unsigned token_bits, std::vector<Node> nodes);

  std::shared_ptr<const RingSnapshot> with_node(Node node) const;
  std::shared_ptr<const RingSnapshot> without_node(NodeIndex index) const;
  std::shared_ptr<const RingSnapshot> with_weight(NodeIndex index, double weight) const;

  /// The bucket of a token: its place in the ring, scaled to the number of buckets.
  std::size_t bucket_of(Token token) const noexcept { return static_cast<std::size_t>((Uint128{token} * num_buckets_) >> 64); }

  /// First position of the bucket, where the search for its tokens starts.
  std::size_t bucket_begin(std::size_t bucket) const noexcept { return buckets_[bucket]; }

  /// Position of the first token >= `token`, which lies in `bucket`, which begins at `begin`.
  /// A bucket holds one token on average. Counting the smaller of the next kWindow tokens needs no branch that could be
  /// mispredicted; only if all are smaller is the rest of the bucket searched.
  std::size_t lower_bound_in(std::size_t bucket, std::size_t begin, Token token) const noexcept {
    const Token* t = tokens_.get() + begin;
    const std::size_t smaller =
        std::size_t{t[0] < token} + std::size_t{t[1] < token} + std::size_t{t[2] < token} + std::size_t{t[3] < token};
    if (smaller == kWindow) [[unlikely]]
      return search_rest(bucket, begin, token);
    return begin + smaller;
  }

  std::size_t lower_bound(Token token) const noexcept {
    const std::size_t bucket = bucket_of(token);
    return lower_bound_in(bucket, buckets_[bucket], token);
  }

  /// The owner at a position; position num_tokens() is the first again (kNoNode on an empty ring).
  NodeIndex owner_at(std::size_t position) const noexcept { return owners_[position]; }
  Token token_at(std::size_t position) const noexcept { return tokens_[position]; }

  void prefetch_bucket(std::size_t bucket) const noexcept { prefetch(buckets_.get() + bucket); }
  void prefetch_tokens(std::size_t position) const noexcept { prefetch(tokens_.get() + position); }
  void prefetch_owner(std::size_t position) const noexcept { prefetch(owners_.get() + position); }

  std::span<const Token> tokens() const noexcept { return {tokens_.get(), num_tokens_}; }
  std::span<const NodeIndex> owners() const noexcept { return {owners_.get(), num_tokens_}; }
  std::size_t num_tokens() const noexcept { return num_tokens_; }
  const std::vector<Node>& nodes() const noexcept { return nodes_; }
  std::uint32_t zone_of(NodeIndex node) const noexcept { return zones_[node]; }
  std::size_t num_zones() const noexcept { return num_zones_; }
  const RingOptions& options() const noexcept { return options_; }
  unsigned token_bits() const noexcept { return token_bits_; }

  /// Where the node of this id is, or would be, among nodes().
  std::size_t position_of(std::string_view id) const noexcept;

  /// Bytes of the tokens, owners and buckets.
  std::size_t table_bytes() const noexcept;

 private:
  static constexpr std::size_t kWindow = 4;

  RingSnapshot(const RingOptions& options, unsigned token_bits) : options_(options), token_bits_(token_bits) {}

  /// What becomes of the indices of the nodes after the one that is added or dropped.
  enum class IndexShift { kNone, kMakeRoom, kCloseGap };

  std::size_t search_rest(std::size_t bucket, std::size_t begin, Token token) const noexcept;
  void validate_node(const Node& node) const;
  std::size_t token_count(double weight) const noexcept;
  std::vector<Token> tokens_of(const Node& node) const;
  void allocate(std::size_t num_tokens);
  /// Takes the tokens of `old` without those of `dropped` (kNoNode: none), and `added` for node `index`. One pass.
  void splice(const RingSnapshot& old, NodeIndex dropped, std::vector<Token> added, NodeIndex index, IndexShift shift);
  void index_tokens();
  void number_zones();
  void finish();

  // What a lookup reads comes first, on one cache line.
  std::unique_ptr<Token[]> tokens_;           // num_tokens_, then kWindow of the greatest, so that a window never ends early
  std::unique_ptr<NodeIndex[]> owners_;       // num_tokens_, then the first again, so that a lookup need not wrap
  std::unique_ptr<std::uint32_t[]> buckets_;  // num_buckets_ + 1
  std::uint64_t num_buckets_ = 0;
  std::size_t num_tokens_ = 0;

  RingOptions options_;
  unsigned token_bits_;
  std::vector<Node> nodes_;           // sorted by id
  std::vector<std::uint32_t> zones_;  // dense zone number of each node
  std::size_t num_zones_ = 0;
};

}  // namespace annulus::internal
