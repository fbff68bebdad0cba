#include "ring/ring_snapshot.h"

#include <cmath>
#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/error.h"

namespace annulus::internal {
namespace {

struct Placed {
  Token token;
  NodeIndex owner;
  friend auto operator<=>(const Placed&, const Placed&) = default;
};

std::string shown(std::string_view id) { return "node '" + display_key(id) + "'"; }

void validate_options(const RingOptions& options, unsigned token_bits) {
  const auto refuse = [](const std::string& what) { throw Error(ErrorCode::kInvalidArgument, what); };
  if (options.virtual_nodes_per_weight < 1 || options.virtual_nodes_per_weight > kMaxTokensPerNode) {
    refuse("virtual_nodes_per_weight is " + std::to_string(options.virtual_nodes_per_weight) + "; it must be 1 to " +
           std::to_string(kMaxTokensPerNode) + " (128 to 256 is usual)");
  }
  if (options.probes < 1 || options.probes > kMaxProbes) {
    refuse("probes is " + std::to_string(options.probes) + "; it must be 1 to " + std::to_string(kMaxProbes));
  }
  if (token_bits < 1 || token_bits > 64) refuse("token_bits is " + std::to_string(token_bits) + "; it must be 1 to 64");
}

void check_total(std::uint64_t tokens) {
  if (tokens <= kMaxTokens) return;
  throw Error(ErrorCode::kResourceExhausted, "the ring would have " + std::to_string(tokens) + " tokens, at most " +
                                                 std::to_string(kMaxTokens) +
                                                 " fit; use fewer virtual_nodes_per_weight or smaller weights");
}

}  // namespace

void RingSnapshot::validate_node(const Node& node) const {
  if (node.id.empty()) throw Error(ErrorCode::kInvalidArgument, "an empty node id: an id has 1 to 1024 bytes");
  if (node.id.size() > kMaxNodeIdBytes) {
    throw Error(ErrorCode::kInvalidArgument,
                "a node id of " + std::to_string(node.id.size()) + " bytes: an id has 1 to 1024 bytes; use a shorter name");
  }
  if (node.zone.size() > kMaxZoneBytes) {
    throw Error(ErrorCode::kInvalidArgument, shown(node.id) + " has a zone of " + std::to_string(node.zone.size()) +
                                                 " bytes: a zone has at most 1024; use a shorter name");
  }
  if (!(node.weight > 0.0) || !std::isfinite(node.weight)) {
    throw Error(ErrorCode::kInvalidArgument, shown(node.id) + " has weight " + std::to_string(node.weight) +
                                                 "; a weight must be > 0 and finite (remove the node to give it nothing)");
  }
  const double tokens = node.weight * options_.virtual_nodes_per_weight;
  if (tokens > kMaxTokensPerNode) {
    throw Error(ErrorCode::kInvalidArgument,
                shown(node.id) + " has weight " + std::to_string(node.weight) + ", worth " + std::to_string(tokens) +
                    " tokens at " + std::to_string(options_.virtual_nodes_per_weight) + " a unit of weight; a node has at most " +
                    std::to_string(kMaxTokensPerNode) + ": scale all weights down");
  }
}

std::size_t RingSnapshot::token_count(double weight) const noexcept {
  const double rounded = std::round(weight * options_.virtual_nodes_per_weight);
  return rounded < 1.0 ? 1 : static_cast<std::size_t>(rounded);
}

std::vector<Token> RingSnapshot::tokens_of(const Node& node) const {
  std::vector<Token> tokens(token_count(node.weight));
  tokens_of_node(node.id, options_.seed, tokens);
  if (token_bits_ < 64) {
    for (Token& token : tokens) token = token >> (64 - token_bits_) << (64 - token_bits_);
  }
  return tokens;
}

std::shared_ptr<const RingSnapshot> RingSnapshot::build(const RingOptions& options, unsigned token_bits, std::vector<Node> nodes) {
  validate_options(options, token_bits);
  std::shared_ptr<RingSnapshot> built(new RingSnapshot(options, token_bits));
  std::sort(nodes.begin(), nodes.end(), [](const Node& a, const Node& b) { return a.id < b.id; });
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    built->validate_node(nodes[i]);
    if (i > 0 && nodes[i].id == nodes[i - 1].id) {
      throw Error(ErrorCode::kAlreadyExists, shown(nodes[i].id) + " is given twice; ids are unique on a ring");
    }
    total += built->token_count(nodes[i].weight);
  }
  check_total(total);
  std::vector<Placed> placed;
  placed.reserve(total);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const Token token : built->tokens_of(nodes[i])) placed.push_back({token, static_cast<NodeIndex>(i)});
  }
  std::sort(placed.begin(), placed.end());
  built->allocate(total);
  for (std::size_t i = 0; i < placed.size(); ++i) {
    built->tokens_[i] = placed[i].token;
    built->owners_[i] = placed[i].owner;
  }
  built->nodes_ = std::move(nodes);
  built->finish();
  return built;
}

std::shared_ptr<const RingSnapshot> RingSnapshot::with_node(Node node) const {
  validate_node(node);
  const std::size_t index = position_of(node.id);
  if (index < nodes_.size() && nodes_[index].id == node.id) {
    throw Error(ErrorCode::kAlreadyExists, shown(node.id) + " is on the ring already; use set_weight to change its weight");
  }
  check_total(num_tokens_ + token_count(node.weight));
  std::shared_ptr<RingSnapshot> next(new RingSnapshot(options_, token_bits_));
  next->splice(*this, kNoNode, tokens_of(node), static_cast<NodeIndex>(index), IndexShift::kMakeRoom);
  next->nodes_.reserve(nodes_.size() + 1);
  const auto split = nodes_.begin() + static_cast<std::ptrdiff_t>(index);
  next->nodes_.assign(nodes_.begin(), split);
  next->nodes_.push_back(std::move(node));
  next->nodes_.insert(next->nodes_.end(), split, nodes_.end());
  next->finish();
  return next;
}

std::shared_ptr<const RingSnapshot> RingSnapshot::without_node(NodeIndex index) const {
  std::shared_ptr<RingSnapshot> next(new RingSnapshot(options_, token_bits_));
  next->splice(*this, index, {}, index, IndexShift::kCloseGap);
  next->nodes_ = nodes_;
  next->nodes_.erase(next->nodes_.begin() + index);
  next->finish();
  return next;
}

std::shared_ptr<const RingSnapshot> RingSnapshot::with_weight(NodeIndex index, double weight) const {
  std::vector<Node> nodes = nodes_;
  nodes[index].weight = weight;
  validate_node(nodes[index]);
  check_total(num_tokens_ - token_count(nodes_[index].weight) + token_count(weight));
  std::shared_ptr<RingSnapshot> next(new RingSnapshot(options_, token_bits_));
  next->splice(*this, index, tokens_of(nodes[index]), index, IndexShift::kNone);
  next->nodes_ = std::move(nodes);
  next->finish();
  return next;
}

void RingSnapshot::allocate(std::size_t num_tokens) {
  num_tokens_ = num_tokens;
  tokens_ = std::make_unique_for_overwrite<Token[]>(num_tokens + kWindow);
  owners_ = std::make_unique_for_overwrite<NodeIndex[]>(num_tokens + 1);
}

void RingSnapshot::splice(const RingSnapshot& old, NodeIndex dropped, std::vector<Token> added, NodeIndex index, IndexShift shift) {
  std::sort(added.begin(), added.end());
  const std::size_t fewer = dropped == kNoNode ? 0 : old.token_count(old.nodes_[dropped].weight);
  allocate(old.num_tokens_ - fewer + added.size());
  const NodeIndex first_shifted = shift == IndexShift::kMakeRoom ? index : shift == IndexShift::kCloseGap ? index + 1 : kNoNode;
  const NodeIndex by = shift == IndexShift::kMakeRoom ? 1 : ~NodeIndex{0};  // -1, as unsigned arithmetic has it
  std::size_t from = 0;
  std::size_t to = 0;
  // Every token is written and the place advances past those that stay: no branch to mispredict. The dropped ones at the
  // end land on the place after the last, which both arrays have.
  const auto copy_until = [&](std::size_t end) {
    for (; from < end; ++from) {
      const NodeIndex owner = old.owners_[from];
      tokens_[to] = old.tokens_[from];
      owners_[to] = owner + (owner >= first_shifted ? by : 0);
      to += owner != dropped ? 1 : 0;
    }
  };
  for (const Token token : added) {
    std::size_t place = std::max(from, old.lower_bound(token));
    // Of the equal tokens, those of nodes with smaller ids come first; indices are in the order of ids.
    while (place < old.num_tokens_ && old.tokens_[place] == token && old.owners_[place] < index) ++place;
    copy_until(place);
    tokens_[to] = token;
    owners_[to] = index;
    ++to;
  }
  copy_until(old.num_tokens_);
}

void RingSnapshot::index_tokens() {
  std::fill_n(tokens_.get() + num_tokens_, kWindow, ~Token{0});
  owners_[num_tokens_] = num_tokens_ == 0 ? kNoNode : owners_[0];

  // As many buckets as tokens, less what the padding costs, so that tokens, owners and table are 16 bytes a token.
  constexpr std::size_t kPadding = 2 * kWindow + 2;
  num_buckets_ = num_tokens_ > kPadding ? num_tokens_ - kPadding : 1;
  buckets_ = std::make_unique<std::uint32_t[]>(num_buckets_ + 1);
  // Where each bucket ends, by letting its last token write last; then empty buckets end where those before them do.
  for (std::size_t i = 0; i < num_tokens_; ++i) buckets_[bucket_of(tokens_[i]) + 1] = static_cast<std::uint32_t>(i + 1);
  for (std::size_t b = 1; b <= num_buckets_; ++b) buckets_[b] = std::max(buckets_[b], buckets_[b - 1]);
}

void RingSnapshot::number_zones() {
  zones_.resize(nodes_.size());
  std::uint32_t next = 0;
  std::unordered_map<std::string_view, std::uint32_t> numbers;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].zone.empty()) {
      zones_[i] = next++;
      continue;
    }
    const auto [known, is_new] = numbers.try_emplace(nodes_[i].zone, next);
    if (is_new) ++next;
    zones_[i] = known->second;
  }
  num_zones_ = next;
}

void RingSnapshot::finish() {
  index_tokens();
  number_zones();
}

std::size_t RingSnapshot::search_rest(std::size_t bucket, std::size_t begin, Token token) const noexcept {
  // The window may have reached into buckets after this one only with tokens that are greater, so its kWindow smaller
  // tokens are all of this bucket.
  const Token* first = tokens_.get() + begin + kWindow;
  const Token* last = tokens_.get() + buckets_[bucket + 1];
  return static_cast<std::size_t>(std::lower_bound(first, last, token) - tokens_.get());
}

std::size_t RingSnapshot::position_of(std::string_view id) const noexcept {
  const auto at = std::lower_bound(nodes_.begin(), nodes_.end(), id,
                                   [](const Node& node, std::string_view wanted) { return node.id < wanted; });
  return static_cast<std::size_t>(at - nodes_.begin());
}

std::size_t RingSnapshot::table_bytes() const noexcept {
  return (num_tokens_ + kWindow) * sizeof(Token) + (num_tokens_ + 1) * sizeof(NodeIndex) +
         (num_buckets_ + 1) * sizeof(std::uint32_t);
}

}  // namespace annulus::internal
