#include "ring/replica_table.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string>

#include "core/error.h"
#include "core/prefetch.h"
#include "ring/ring_snapshot.h"

namespace annulus {
namespace {

/// The nodes that come next on the ring, the first of each class, up to `capacity` of them, as the ring is read
/// counter-clockwise: the owner of each token met goes to the front. A class is a zone, or each node for itself.
class NextNodes {
 public:
  NextNodes(std::size_t capacity, std::span<const std::uint32_t> class_of) : capacity_(capacity), class_of_(class_of) {
    nodes_.reserve(capacity);
  }

  bool is_full() const noexcept { return nodes_.size() == capacity_; }

  /// `node` comes after all that were added. For the start, where the ring is read clockwise until the list is full.
  void add_last(NodeIndex node) {
    if (!is_full() && find(node) == nodes_.end()) nodes_.push_back(node);
  }

  /// `node` comes first. If its class was not in the list, the last falls off; it can only come back by being met.
  void meet(NodeIndex node) noexcept {
    auto at = find(node);
    if (at == nodes_.end()) --at;
    for (; at != nodes_.begin(); --at) *at = *(at - 1);
    *at = node;
  }

  const std::vector<NodeIndex>& nodes() const noexcept { return nodes_; }

 private:
  std::vector<NodeIndex>::iterator find(NodeIndex node) noexcept {
    auto at = nodes_.begin();
    while (at != nodes_.end() && class_of_[*at] != class_of_[node]) ++at;
    return at;
  }

  std::size_t capacity_;
  std::span<const std::uint32_t> class_of_;
  std::vector<NodeIndex> nodes_;
};

}  // namespace

ReplicaTable::ReplicaTable(const ConsistentHasher& ring, std::size_t r) : ring_(ring), requested_(r) {
  if (r == 0) throw Error(ErrorCode::kInvalidArgument, "0 replicas: a key has at least 1");
  if (ring.options().probes > 1) {
    throw Error(ErrorCode::kUnimplemented, "a table of replicas for a ring with " + std::to_string(ring.options().probes) +
                                               " probes: its replica sets are not those of arcs; use a ring with 1 probe, or "
                                               "ConsistentHasher::replicas");
  }
  width_ = std::min(r, ring.num_nodes());
  const std::size_t n = ring.num_tokens();
  rows_.resize((n + 1) * width_);
  if (n == 0) return;

  const std::size_t of_new_zones = std::min(width_, ring.num_zones());
  const std::span<const NodeIndex> owners = ring.owners();
  std::vector<std::uint32_t> zone_of(ring.num_nodes());
  for (NodeIndex i = 0; i < zone_of.size(); ++i) zone_of[i] = ring.zone_of(i);
  std::vector<std::uint32_t> itself(ring.num_nodes());
  std::iota(itself.begin(), itself.end(), 0u);
  const bool has_others = of_new_zones < width_;  // nodes of zones used already
  NextNodes zones(of_new_zones, zone_of);
  NextNodes nodes(has_others ? width_ : 0, itself);
  for (std::size_t i = 0; !zones.is_full() || !nodes.is_full(); ++i) {
    zones.add_last(owners[i]);
    nodes.add_last(owners[i]);
  }
  for (std::size_t i = n; i-- > 0;) {
    zones.meet(owners[i]);
    NodeIndex* row = rows_.data() + i * width_;
    NodeIndex* end = std::copy(zones.nodes().begin(), zones.nodes().end(), row);
    if (!has_others) continue;
    nodes.meet(owners[i]);
    for (const NodeIndex node : nodes.nodes()) {
      if (end == row + width_) break;
      if (std::find(row, end, node) == end) *end++ = node;
    }
  }
  std::copy_n(rows_.begin(), width_, rows_.end() - static_cast<std::ptrdiff_t>(width_));
}

std::span<const NodeIndex> ReplicaTable::replicas(Token token) const noexcept {
  const internal::RingSnapshot& ring = *ring_.snapshot_;
  const std::size_t bucket = ring.bucket_of(token);
  const std::size_t begin = ring.bucket_begin(bucket);
  prefetch(row(begin).data());  // while the tokens are on their way: the answer is there or just after
  return row(ring.lower_bound_in(bucket, begin, token));
}

std::size_t ReplicaTable::zone_shortfall() const noexcept { return width_ - std::min(width_, ring_.num_zones()); }

ArcSet ReplicaTable::arcs_of(NodeIndex node) const {
  return arcs_where([node](std::span<const NodeIndex> row) { return std::find(row.begin(), row.end(), node) != row.end(); });
}

ArcSet ReplicaTable::primary_arcs_of(NodeIndex node) const {
  return arcs_where([node](std::span<const NodeIndex> row) { return row.front() == node; });
}

template <class Visit>
void ReplicaTable::for_each_arc(Visit visit) const {
  const std::span<const Token> tokens = ring_.tokens();
  if (tokens.empty()) return;
  Token lo = tokens.back();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool repeats = i > 0 && tokens[i] == tokens[i - 1];  // the first of equal tokens owns the arc
    if (!repeats) visit(Arc{lo, tokens[i]}, row(i));
    lo = tokens[i];
  }
}

template <class Holds>
ArcSet ReplicaTable::arcs_where(Holds holds) const {
  std::vector<Arc> arcs;
  for_each_arc([&](Arc arc, std::span<const NodeIndex> row) {
    if (!holds(row)) return;
    if (!arcs.empty() && arcs.back().hi == arc.lo) {
      arcs.back().hi = arc.hi;
    } else {
      arcs.push_back(arc);
    }
  });
  return ArcSet(arcs);
}

std::vector<ReplicaTable::DistinctSet> ReplicaTable::distinct_sets() const {
  std::map<std::vector<NodeIndex>, Uint128> widths;
  for_each_arc([&](Arc arc, std::span<const NodeIndex> row) { widths[{row.begin(), row.end()}] += arc.width(); });
  std::vector<DistinctSet> sets;
  sets.reserve(widths.size());
  for (auto& [nodes, width] : widths) sets.push_back({nodes, width});
  return sets;
}

}  // namespace annulus
