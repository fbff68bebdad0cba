#include "shard/query_plan.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace annulus {
namespace {

// Rotations tried: enough for even load; more would cost time at every change of health.
constexpr std::size_t kStarts = 16;

double cost_of(IndexFamily family, double share) {
  // A graph's cost grows with the logarithm of its rows; from 1/64 to all of the keys it hardly doubles.
  return family == IndexFamily::kHnsw ? 1.0 + std::log2(1.0 + 63.0 * share) / 6.0 : share + 1e-9;
}

// Leaves out members, the first of `order` first, for as long as every set that `usable` covers stays covered.
std::vector<MemberIndex> prune(const CoverProblem& problem, const std::vector<bool>& usable, const std::vector<MemberIndex>& order) {
  std::vector<std::uint32_t> holders(problem.sets.size(), 0);
  for (const MemberIndex member : order) {
    for (const std::uint32_t set : problem.sets_of[member]) ++holders[set];
  }
  std::vector<bool> kept = usable;
  for (const MemberIndex member : order) {
    const auto& sets = problem.sets_of[member];
    if (std::any_of(sets.begin(), sets.end(), [&](std::uint32_t set) { return holders[set] == 1; })) continue;
    kept[member] = false;
    for (const std::uint32_t set : sets) --holders[set];
  }
  std::vector<MemberIndex> cover;
  for (MemberIndex member = 0; member < kept.size(); ++member) {
    if (kept[member] && !problem.sets_of[member].empty()) cover.push_back(member);
  }
  return cover;
}

}  // namespace

CoverProblem make_cover_problem(const Layout& layout, const std::vector<MemberIndex>& member_of, std::size_t members) {
  // the order of owners within a set does not matter here: join the lists that are permutations of each other
  std::map<std::vector<MemberIndex>, Uint128> widths;
  for (const ReplicaTable::DistinctSet& set : layout.table->distinct_sets()) {
    std::vector<MemberIndex> owners;
    for (const NodeIndex node : set.nodes) owners.push_back(member_of[node]);
    std::sort(owners.begin(), owners.end());
    widths[std::move(owners)] += set.width;
  }
  CoverProblem problem;
  problem.sets_of.resize(members);
  std::vector<Uint128> held(members, 0);
  for (const auto& [owners, width] : widths) {
    for (const MemberIndex member : owners) {
      problem.sets_of[member].push_back(static_cast<std::uint32_t>(problem.sets.size()));
      held[member] += width;
    }
    problem.sets.push_back({owners, width});
  }
  for (const Uint128 width : held) problem.share.push_back(fraction_of(width, kRingWidth));
  return problem;
}

QueryPlans::QueryPlans(const CoverProblem& problem, const Layout& layout, const std::vector<MemberIndex>& member_of,
                       const std::vector<bool>& usable, IndexFamily family)
    : turn_(std::make_unique<std::atomic<std::uint32_t>>(0)) {
  Uint128 covered = 0;
  for (const CoverProblem::OwnerSet& set : problem.sets) {
    if (std::any_of(set.owners.begin(), set.owners.end(), [&](MemberIndex m) { return usable[m]; })) covered += set.width;
  }
  coverage_ = fraction_of(covered, kRingWidth);
  std::vector<MemberIndex> members;
  for (MemberIndex m = 0; m < usable.size(); ++m) {
    if (usable[m] && !problem.sets_of[m].empty()) members.push_back(m);
  }
  if (members.empty()) return;

  std::vector<std::vector<MemberIndex>> orders;
  const std::size_t starts = std::min(kStarts, members.size());
  for (std::size_t start = 0; start < starts; ++start) {
    std::vector<MemberIndex> order = members;
    std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(start * members.size() / starts), order.end());
    orders.push_back(std::move(order));
  }
  // where zones equal replicas, one zone holds everything: try to leave out all the others first
  std::vector<std::uint32_t> zone_of(usable.size(), 0);
  for (NodeIndex node = 0; node < member_of.size(); ++node) zone_of[member_of[node]] = layout.ring.zone_of(node);
  const std::size_t zones = layout.ring.num_zones();
  if (zones > 1 && zones < layout.ring.num_nodes()) {
    for (std::uint32_t zone = 0; zone < std::min<std::size_t>(zones, kStarts); ++zone) {
      std::vector<MemberIndex> order = members;
      std::stable_partition(order.begin(), order.end(), [&](MemberIndex m) { return zone_of[m] != zone; });
      orders.push_back(std::move(order));
    }
  }

  std::map<std::vector<MemberIndex>, double> costs;
  for (const auto& order : orders) {
    std::vector<MemberIndex> cover = prune(problem, usable, order);
    const double cost = std::accumulate(cover.begin(), cover.end(), 0.0,
                                        [&](double sum, MemberIndex m) { return sum + cost_of(family, problem.share[m]); });
    costs.emplace(std::move(cover), cost);
  }
  double least = costs.begin()->second;
  for (const auto& [cover, cost] : costs) least = std::min(least, cost);
  // covers of nearly the same cost take turns: the shards' shares differ by chance by a few per cent
  for (const auto& [cover, cost] : costs) {
    if (cost <= least * 1.1) covers_.push_back(cover);
  }
}

const std::vector<MemberIndex>& QueryPlans::next() const noexcept {
  static const std::vector<MemberIndex> nobody;
  if (covers_.empty()) return nobody;
  return covers_[turn_->fetch_add(1, std::memory_order_relaxed) % covers_.size()];
}

}  // namespace annulus
