#include "ring/ring_diff.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <span>
#include <string>

#include "core/error.h"
#include "ring/replica_table.h"

namespace annulus {
namespace {

using Row = std::span<const NodeIndex>;

/// For each node of `from`, its index in `to`; kNoNode if it is not there.
std::vector<NodeIndex> translate(const ConsistentHasher& from, const ConsistentHasher& to) {
  std::vector<NodeIndex> indices;
  indices.reserve(from.num_nodes());
  for (const Node& node : from.nodes()) indices.push_back(to.index_of(node.id).value_or(kNoNode));
  return indices;
}

bool contains(Row row, NodeIndex node) noexcept { return std::find(row.begin(), row.end(), node) != row.end(); }

void check_comparable(const ConsistentHasher& before, std::size_t r_before, const ConsistentHasher& after, std::size_t r_after) {
  if (r_before == 0 || r_after == 0) throw Error(ErrorCode::kInvalidArgument, "0 replicas: a key has at least 1");
  if (!same_placement_rules(before, after)) {
    const auto shown = [](const ConsistentHasher& ring) {
      return "seed " + std::to_string(ring.options().seed) + ", " + std::to_string(ring.options().virtual_nodes_per_weight) +
             " virtual nodes per weight, " + std::to_string(ring.options().probes) + " probes, " +
             std::to_string(ring.token_bits()) + " token bits";
    };
    throw Error(ErrorCode::kFailedPrecondition, "two rings that place keys by different rules: before has " + shown(before) +
                                                    "; after has " + shown(after) + ". Make both with the same RingOptions");
  }
  if (before.options().probes > 1) {
    throw Error(ErrorCode::kUnimplemented, "the difference of rings with " + std::to_string(before.options().probes) +
                                               " probes: their nodes do not own arcs; plan by keys, or use 1 probe");
  }
}

/// Calls visit(arc, position in before, position in after) for each elementary arc: no token of either ring lies inside
/// it. Clockwise from the smallest token, so that the arc which may pass through 0 comes last.
template <class Visit>
void for_each_elementary_arc(const ConsistentHasher& before, const ConsistentHasher& after, Visit visit) {
  const std::span<const Token> b = before.tokens();
  const std::span<const Token> a = after.tokens();
  if (b.empty() && a.empty()) return;
  const auto nearest = [&](std::size_t i, std::size_t j) { return j == a.size() || (i < b.size() && b[i] < a[j]) ? b[i] : a[j]; };
  const Token first = nearest(0, 0);
  Token lo = first;
  std::size_t i = 0;
  std::size_t j = 0;
  for (;;) {
    while (i < b.size() && b[i] == lo) ++i;
    while (j < a.size() && a[j] == lo) ++j;
    if (i == b.size() && j == a.size()) break;
    const Token hi = nearest(i, j);
    visit(Arc{lo, hi}, i, j);
    lo = hi;
  }
  visit(Arc{lo, first}, i, j);  // positions past the last token read as the first
}

ArcChange make_change(const Arc& arc, Row old_row, Row new_row, const std::vector<NodeIndex>& to_after) {
  ArcChange change;
  change.arc = arc;
  change.old_set.assign(old_row.begin(), old_row.end());
  change.new_set.assign(new_row.begin(), new_row.end());
  std::vector<bool> kept(new_row.size(), false);
  for (std::size_t rank = 0; rank < old_row.size(); ++rank) {
    const auto at = std::find(new_row.begin(), new_row.end(), to_after[old_row[rank]]);
    if (at == new_row.end()) {
      change.lost.push_back(old_row[rank]);
      continue;
    }
    const auto new_rank = static_cast<std::size_t>(at - new_row.begin());
    kept[new_rank] = true;
    change.rank_changed |= new_rank != rank;
  }
  for (std::size_t rank = 0; rank < new_row.size(); ++rank) {
    if (!kept[rank]) change.gained.push_back(new_row[rank]);
  }
  return change;
}

/// Each node's part of the keys (0 to 1) if r replicas of each are spread by weight, no node holding a key twice: what is
/// above 1 is capped and goes to the others by weight.
std::vector<double> even_loads(const ConsistentHasher& ring, std::size_t r) {
  const std::size_t n = ring.num_nodes();
  std::vector<double> loads(n, 1.0);
  if (n <= r) return loads;
  std::vector<std::size_t> by_weight(n);
  std::iota(by_weight.begin(), by_weight.end(), std::size_t{0});
  std::stable_sort(by_weight.begin(), by_weight.end(),
                   [&](std::size_t x, std::size_t y) { return ring.nodes()[x].weight > ring.nodes()[y].weight; });
  std::vector<double> weight_from(n + 1, 0.0);  // of the nodes at this place in the order and after it
  for (std::size_t i = n; i-- > 0;) weight_from[i] = weight_from[i + 1] + ring.nodes()[by_weight[i]].weight;
  auto left = static_cast<double>(r);
  std::size_t first = 0;
  for (; ring.nodes()[by_weight[first]].weight * left >= weight_from[first]; ++first) left -= 1.0;
  for (std::size_t i = first; i < n; ++i) loads[by_weight[i]] = ring.nodes()[by_weight[i]].weight * left / weight_from[first];
  return loads;
}

double ideal_fraction(const RingDiff& d, const std::vector<NodeIndex>& to_before) {
  const std::vector<double> old_loads = even_loads(d.before, d.replicas_before);
  const std::vector<double> new_loads = even_loads(d.after, d.replicas_after);
  double moved = 0.0;
  for (std::size_t i = 0; i < new_loads.size(); ++i) {
    const double had = to_before[i] == kNoNode ? 0.0 : old_loads[to_before[i]];
    moved += std::max(0.0, new_loads[i] - had);
  }
  return moved / static_cast<double>(d.replicas_after);
}

}  // namespace

RingDiff diff(const ConsistentHasher& before, const ConsistentHasher& after, std::size_t r) { return diff(before, r, after, r); }

RingDiff diff(const ConsistentHasher& before, std::size_t r_before, const ConsistentHasher& after, std::size_t r_after) {
  check_comparable(before, r_before, after, r_after);
  RingDiff result{before, after, r_before, r_after, {}};
  std::vector<ArcChange>& changes = result.changes;
  const ReplicaTable old_table(before, r_before);
  const ReplicaTable new_table(after, r_after);
  const std::vector<NodeIndex> to_after = translate(before, after);

  for_each_elementary_arc(before, after, [&](const Arc& arc, std::size_t i, std::size_t j) {
    const Row old_row = old_table.row(i);
    const Row new_row = new_table.row(j);
    const bool same = std::equal(old_row.begin(), old_row.end(), new_row.begin(), new_row.end(),
                                 [&](NodeIndex o, NodeIndex n) { return to_after[o] == n; });
    if (same) return;
    if (!changes.empty() && changes.back().arc.hi == arc.lo && std::ranges::equal(changes.back().old_set, old_row) &&
        std::ranges::equal(changes.back().new_set, new_row)) {
      changes.back().arc.hi = arc.hi;
      return;
    }
    changes.push_back(make_change(arc, old_row, new_row, to_after));
  });
  if (changes.size() > 1 && changes.back().arc.hi == changes.front().arc.lo && changes.back().old_set == changes.front().old_set &&
      changes.back().new_set == changes.front().new_set) {
    changes.back().arc.hi = changes.front().arc.hi;
    changes.erase(changes.begin());
  }
  return result;
}

Uint128 RingDiff::moved_width() const noexcept {
  Uint128 width = 0;
  for (const ArcChange& change : changes) width += change.arc.width() * change.gained.size();
  return width;
}

Uint128 RingDiff::lower_bound_width() const {
  const std::vector<NodeIndex> to_before = translate(after, before);
  std::vector<Token> ends(before.tokens().begin(), before.tokens().end());
  ends.insert(ends.end(), after.tokens().begin(), after.tokens().end());
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  std::vector<NodeIndex> old_set(std::min(replicas_before, before.num_nodes()));
  std::vector<NodeIndex> new_set(std::min(replicas_after, after.num_nodes()));
  Uint128 width = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    before.replicas(ends[i], old_set);
    after.replicas(ends[i], new_set);
    const auto is_new = [&](NodeIndex node) { return to_before[node] == kNoNode || !contains(old_set, to_before[node]); };
    const Arc arc{ends[i == 0 ? ends.size() - 1 : i - 1], ends[i]};
    width += arc.width() * static_cast<std::size_t>(std::count_if(new_set.begin(), new_set.end(), is_new));
  }
  return width;
}

Uint128 RingDiff::excess_width() const {
  const auto is_untouched = [](const ConsistentHasher& here, NodeIndex node, const ConsistentHasher& there) {
    const std::optional<NodeIndex> other = there.index_of(here.node(node).id);
    return other.has_value() && there.node(*other) == here.node(node);
  };
  const auto untouched = [&](const ConsistentHasher& here, const ConsistentHasher& there) {
    std::vector<char> flags(here.num_nodes());
    for (NodeIndex i = 0; i < flags.size(); ++i) flags[i] = is_untouched(here, i, there) ? 1 : 0;
    return flags;
  };
  const std::vector<char> old_untouched = untouched(before, after);
  const std::vector<char> new_untouched = untouched(after, before);
  Uint128 width = 0;
  for (const ArcChange& change : changes) {
    const auto gained = std::ranges::count_if(change.gained, [&](NodeIndex n) { return new_untouched[n] != 0; });
    const auto lost = std::ranges::count_if(change.lost, [&](NodeIndex n) { return old_untouched[n] != 0; });
    width += change.arc.width() * static_cast<std::size_t>(std::min(gained, lost));
  }
  return width;
}

DiffStats RingDiff::stats() const {
  const Uint128 pairs = kRingWidth * replicas_after;
  DiffStats stats;
  stats.moved_fraction = fraction_of(moved_width(), pairs);
  stats.lower_bound_fraction = fraction_of(lower_bound_width(), pairs);
  stats.excess_fraction = fraction_of(excess_width(), pairs);
  stats.ideal_fraction = ideal_fraction(*this, translate(after, before));

  std::vector<Uint128> gained(after.num_nodes());
  std::vector<Uint128> lost(before.num_nodes());
  for (const ArcChange& change : changes) {
    for (const NodeIndex node : change.gained) gained[node] += change.arc.width();
    for (const NodeIndex node : change.lost) lost[node] += change.arc.width();
  }
  // Both node lists are sorted by id.
  for (NodeIndex i = 0, j = 0; i < lost.size() || j < gained.size();) {
    const int order = i == lost.size() ? 1 : j == gained.size() ? -1 : before.nodes()[i].id.compare(after.nodes()[j].id);
    NodeChange node;
    node.id = order <= 0 ? before.nodes()[i].id : after.nodes()[j].id;
    if (order <= 0) node.lost = fraction_of(lost[i++], pairs);
    if (order >= 0) node.gained = fraction_of(gained[j++], pairs);
    stats.nodes.push_back(std::move(node));
  }
  return stats;
}

}  // namespace annulus
