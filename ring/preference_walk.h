// Private to ring/: the order in which nodes come after a token, and the replica rule over it.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ring/ring_snapshot.h"

namespace annulus::internal {

/// A virtual node as a probe sees it: nearer is less; of equally near ones, the node with the smaller id.
struct Nearness {
  Token distance;
  NodeIndex owner;
  friend auto operator<=>(const Nearness&, const Nearness&) = default;
};

/// The owners of the virtual nodes clockwise from a position. Nodes repeat; it never ends on a ring with tokens.
class ClockwiseWalk {
 public:
  ClockwiseWalk(const RingSnapshot& ring, std::size_t position) noexcept : ring_(&ring), position_(position) {}

  NodeIndex next() noexcept {
    const NodeIndex owner = ring_->owner_at(position_);  // the position after the last reads as the first
    position_ = position_ < ring_->num_tokens() ? position_ + 1 : 1;
    return owner;
  }

 private:
  const RingSnapshot* ring_;
  std::size_t position_;
};

/// The owners of the virtual nodes by distance from the nearest of several probes: clockwise walks, merged.
/// Nodes repeat. By the time that one probe has gone round the ring every node has come, and it must not be asked for more:
/// distances would start again.
class NearestWalk {
 public:
  NearestWalk(const RingSnapshot& ring, Token token) noexcept : ring_(&ring), num_probes_(ring.options().probes) {
    for (std::uint32_t j = 0; j < num_probes_; ++j) {
      probes_[j].token = probe_of_token(token, j);
      probes_[j].position = ring.lower_bound(probes_[j].token);
      look(probes_[j]);
    }
  }

  NodeIndex next() noexcept {
    Probe& nearest = *std::min_element(probes_.begin(), probes_.begin() + num_probes_,
                                       [](const Probe& a, const Probe& b) { return a.ahead < b.ahead; });
    const NodeIndex owner = nearest.ahead.owner;
    ++nearest.position;
    look(nearest);
    return owner;
  }

 private:
  struct Probe {
    Token token;
    std::size_t position;
    Nearness ahead;
  };

  void look(Probe& probe) const noexcept {
    if (ring_->num_tokens() == 0) return;
    if (probe.position >= ring_->num_tokens()) probe.position = 0;
    probe.ahead = {ring_->token_at(probe.position) - probe.token, ring_->owner_at(probe.position)};
  }

  const RingSnapshot* ring_;
  std::uint32_t num_probes_;
  std::array<Probe, kMaxProbes> probes_;
};

/// The replica rule: the first node of each zone in the order of the walk, then the other nodes in that order; as many as
/// `out` has room for. Returns how many there were.
template <class Walk>
std::size_t collect(const RingSnapshot& ring, const Walk& start, std::span<NodeIndex> out) noexcept {
  const std::size_t wanted = std::min(out.size(), ring.nodes().size());
  const std::size_t of_new_zones = std::min(wanted, ring.num_zones());
  std::size_t found = 0;
  for (Walk walk = start; found < of_new_zones;) {
    const NodeIndex node = walk.next();
    const std::uint32_t zone = ring.zone_of(node);
    bool is_new = true;
    for (std::size_t i = 0; i < found; ++i) is_new &= ring.zone_of(out[i]) != zone;
    if (is_new) out[found++] = node;
  }
  for (Walk walk = start; found < wanted;) {
    const NodeIndex node = walk.next();
    if (std::find(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(found), node) ==
        out.begin() + static_cast<std::ptrdiff_t>(found)) {
      out[found++] = node;
    }
  }
  return found;
}

}  // namespace annulus::internal
