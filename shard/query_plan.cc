#include "shard/query_plan.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace annulus {
namespace {

// Rotations tried: enough for even load; more would cost time at every change of health.
constexpr std::size_t kStarts = 16;

// Covers of nearly the same cost are as good: the shards' shares differ by chance by a few per cent.
constexpr double kNearlyTheSame = 1.1;

using Uses = std::vector<MemberUse>;

double cost_of(const CoverProblem& problem, const CoverUnit& unit, IndexFamily family) {
  const double share = (unit.groups == RowGroups::kAll ? problem.share : problem.primary_share)[unit.member];
  // A graph's cost grows with the logarithm of its rows; from 1/64 to all of the keys it hardly doubles.
  return family == IndexFamily::kHnsw ? 1.0 + std::log2(1.0 + 63.0 * share) / 6.0 : share + 1e-9;
}

/// All that can be asked, from which units are taken away for as long as nothing is lost.
class Pruning {
 public:
  Pruning(const CoverProblem& problem, const Uses& uses) : problem_(problem), uses_(uses), asked_(uses.size()), holders_(problem.sets.size(), 0) {
    for (MemberIndex member = 0; member < uses.size(); ++member) {
      asked_[member] = uses[member] != MemberUse::kNone;
      if (!asked_[member]) continue;
      for (const std::uint32_t set : problem.sets_of[member]) ++holders_[set];
    }
    whole_ = asked_;
  }

  /// Takes away secondary rows, where groups are known, those of the first of `order` first.
  void leave_out_secondaries(const std::vector<MemberIndex>& order) {
    for (const MemberIndex member : order) {
      if (uses_[member] != MemberUse::kGroups) continue;
      const auto is_secondary = [&](std::uint32_t set) { return problem_.sets[set].owners.front() != member; };
      const auto& sets = problem_.sets_of[member];
      if (std::any_of(sets.begin(), sets.end(), [&](std::uint32_t set) { return is_secondary(set) && holders_[set] == 1; })) continue;
      for (const std::uint32_t set : sets) holders_[set] -= is_secondary(set) ? 1 : 0;
      whole_[member] = false;
    }
  }

  /// Takes away members with all that is still asked of them.
  void leave_out_members(const std::vector<MemberIndex>& order) {
    for (const MemberIndex member : order) {
      const auto& sets = (whole_[member] ? problem_.sets_of : problem_.primary_sets_of)[member];
      if (std::any_of(sets.begin(), sets.end(), [&](std::uint32_t set) { return holders_[set] == 1; })) continue;
      for (const std::uint32_t set : sets) --holders_[set];
      asked_[member] = false;
    }
  }

  Cover cover() const {
    Cover cover;
    for (MemberIndex member = 0; member < asked_.size(); ++member) {
      if (asked_[member] && !problem_.sets_of[member].empty()) {
        const auto& share = whole_[member] ? problem_.share : problem_.primary_share;
        cover.push_back({member, whole_[member] ? RowGroups::kAll : RowGroups::kPrimary, share[member]});
      }
    }
    return cover;
  }

 private:
  const CoverProblem& problem_;
  const Uses& uses_;
  std::vector<bool> asked_;
  std::vector<bool> whole_;
  std::vector<std::uint32_t> holders_;  // by set: of how many units that are asked it is a part
};

// The members that can be asked, in the orders in which they are tried to be left out.
std::vector<std::vector<MemberIndex>> orders_of(const std::vector<MemberIndex>& members, const Layout& layout,
                                                const std::vector<MemberIndex>& member_of, std::size_t all_members) {
  std::vector<std::vector<MemberIndex>> orders;
  const std::size_t starts = std::min(kStarts, members.size());
  for (std::size_t start = 0; start < starts; ++start) {
    std::vector<MemberIndex> order = members;
    std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(start * members.size() / starts), order.end());
    orders.push_back(std::move(order));
  }
  // where zones equal replicas, one zone holds everything: try to leave out all the others first
  std::vector<std::uint32_t> zone_of(all_members, 0);
  for (NodeIndex node = 0; node < member_of.size(); ++node) zone_of[member_of[node]] = layout.ring.zone_of(node);
  const std::size_t zones = layout.ring.num_zones();
  if (zones > 1 && zones < layout.ring.num_nodes()) {
    for (std::uint32_t zone = 0; zone < std::min<std::size_t>(zones, kStarts); ++zone) {
      std::vector<MemberIndex> order = members;
      std::stable_partition(order.begin(), order.end(), [&](MemberIndex m) { return zone_of[m] != zone; });
      orders.push_back(std::move(order));
    }
  }
  return orders;
}

}  // namespace

CoverProblem make_cover_problem(const Layout& layout, const std::vector<MemberIndex>& member_of, std::size_t members) {
  // the order of the owners behind the primary does not matter here: join the lists that differ in it alone
  std::map<std::vector<MemberIndex>, Uint128> widths;
  for (const ReplicaTable::DistinctSet& set : layout.table->distinct_sets()) {
    if (set.nodes.empty()) continue;
    std::vector<MemberIndex> owners;
    for (const NodeIndex node : set.nodes) owners.push_back(member_of[node]);
    std::sort(owners.begin() + 1, owners.end());
    widths[std::move(owners)] += set.width;
  }
  CoverProblem problem;
  problem.sets_of.resize(members);
  problem.primary_sets_of.resize(members);
  std::vector<Uint128> held(members, 0), primary(members, 0);
  for (const auto& [owners, width] : widths) {
    const auto set = static_cast<std::uint32_t>(problem.sets.size());
    for (const MemberIndex member : owners) {
      problem.sets_of[member].push_back(set);
      held[member] += width;
    }
    problem.primary_sets_of[owners.front()].push_back(set);
    primary[owners.front()] += width;
    problem.sets.push_back({owners, width});
  }
  for (const Uint128 width : held) problem.share.push_back(fraction_of(width, kRingWidth));
  for (const Uint128 width : primary) problem.primary_share.push_back(fraction_of(width, kRingWidth));
  return problem;
}

QueryPlans::QueryPlans(const CoverProblem& problem, const Layout& layout, const std::vector<MemberIndex>& member_of,
                       const std::vector<MemberUse>& uses, IndexFamily family)
    : turn_(std::make_unique<std::atomic<std::uint32_t>>(0)) {
  Uint128 covered = 0;
  for (const CoverProblem::OwnerSet& set : problem.sets) {
    if (std::any_of(set.owners.begin(), set.owners.end(), [&](MemberIndex m) { return uses[m] != MemberUse::kNone; })) covered += set.width;
  }
  coverage_ = fraction_of(covered, kRingWidth);
  std::vector<MemberIndex> members;
  for (MemberIndex m = 0; m < uses.size(); ++m) {
    if (uses[m] != MemberUse::kNone && !problem.sets_of[m].empty()) members.push_back(m);
  }
  if (members.empty()) return;

  std::map<Cover, double> whole, grouped;
  for (const auto& order : orders_of(members, layout, member_of, uses.size())) {
    for (const bool by_groups : {false, true}) {
      Pruning pruning(problem, uses);
      if (by_groups) pruning.leave_out_secondaries(order);
      pruning.leave_out_members(order);
      Cover cover = pruning.cover();
      const double cost = std::accumulate(cover.begin(), cover.end(), 0.0, [&](double sum, const CoverUnit& unit) {
        return sum + cost_of(problem, unit, family);
      });
      (by_groups ? grouped : whole).emplace(std::move(cover), cost);
    }
  }
  const auto least = [](const std::map<Cover, double>& costs) {
    return std::min_element(costs.begin(), costs.end(), [](const auto& a, const auto& b) { return a.second < b.second; })->second;
  };
  const double limit = kNearlyTheSame * std::min(least(whole), least(grouped));
  for (const auto& [cover, cost] : least(whole) <= limit ? whole : grouped) {
    if (cost <= limit) covers_.push_back(cover);
  }
}

const Cover& QueryPlans::next() const noexcept {
  static const Cover nobody;
  if (covers_.empty()) return nobody;
  return covers_[turn_->fetch_add(1, std::memory_order_relaxed) % covers_.size()];
}

}  // namespace annulus
