#include "shard/synchroniser.h"

#include <vector>

#include "core/error.h"
#include "shard/fan_out.h"

namespace annulus {
namespace {

constexpr std::size_t kPageRecords = 256;
// Rounds before it gives up: each means that a write was missed, or a stage began, during the one before.
constexpr int kMostRounds = 16;

// The arcs of `tokens` cut at the tokens of the serving ring, so that each has one digest of moderate size.
std::vector<Arc> elementary_arcs(const ArcSet& tokens, const ConsistentHasher& ring) {
  std::vector<Arc> cut;
  for (const Arc& arc : tokens.arcs()) {
    Token lo = arc.lo;
    const auto all = ring.tokens();
    const std::size_t begin = arc.lo == static_cast<Token>(-1) ? 0 : ring.lower_bound(arc.lo + 1);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Token token = all[(begin + i) % all.size()];
      if (token == lo) continue;  // equal tokens
      if (token == arc.hi || !arc.contains(token)) break;
      cut.push_back({lo, token});
      lo = token;
    }
    cut.push_back({lo, arc.hi});
  }
  return cut;
}

class Synchronisation {
 public:
  Synchronisation(const ClusterSnapshot& snapshot, MemberIndex behind, UnreachablePolicy policy, SyncReport& report)
      : snapshot_(snapshot), behind_(behind), policy_(policy), report_(report) {}

  /// Returns whether the shard now has every acknowledged write of its arcs.
  bool run() {
    ArcSet needed = snapshot_.owned_by(behind_);
    // What it is to drop: until it has, its rows must not be older than anybody's. What it has dropped must stay away.
    ArcSet leaving = snapshot_.retiring().arcs_of(behind_).intersected(needed.complement());
    for (MemberIndex peer = 0; peer < snapshot_.members().size(); ++peer) {
      if (peer == behind_ || snapshot_.members()[peer].health != ShardHealth::kUp) continue;
      const ArcSet served = snapshot_.serving().arcs_of(peer);
      merge_from(peer, needed.intersected(served), WriteMode::kInsertOrUpdate);
      merge_from(peer, leaving.intersected(served), WriteMode::kOnlyIfHeld);
      needed = needed.intersected(served.complement());
      leaving = leaving.intersected(served.complement());
    }
    // No owner that is up: what was acknowledged is spread over all those that own it now or will, or were about to.
    for (MemberIndex peer = 0; peer < snapshot_.members().size(); ++peer) {
      const Member& other = snapshot_.members()[peer];
      const ArcSet held = snapshot_.owned_by(peer).united(snapshot_.retiring().arcs_of(peer));
      if (peer == behind_ || needed.united(leaving).intersected(held).empty()) continue;
      if (other.health != ShardHealth::kDown) {
        merge_from(peer, needed.intersected(held), WriteMode::kInsertOrUpdate);
        merge_from(peer, leaving.intersected(held), WriteMode::kOnlyIfHeld);
      } else if (policy_ == UnreachablePolicy::kWait) {
        report_.waits_for = "shard '" + other.shard->id() + "' is down and may hold newer records of what '" + report_.shard +
                            "' owns; bring it back, or synchronise with UnreachablePolicy::kForget";
        return false;
      }
    }
    return true;
  }

 private:
  void merge_from(MemberIndex peer, const ArcSet& tokens, WriteMode mode) {
    if (tokens.empty()) return;
    const Shard& source = *snapshot_.members()[peer].shard;
    const std::shared_ptr<Shard>& target = snapshot_.members()[behind_].shard;
    const std::vector<Arc> arcs = elementary_arcs(tokens, snapshot_.serving().layout->ring);
    const std::vector<ArcDigest> theirs = source.digest(arcs);
    const std::vector<ArcDigest> ours = target->digest(arcs);
    std::vector<Arc> differing;
    for (std::size_t i = 0; i < arcs.size(); ++i) {
      if (theirs[i] != ours[i]) differing.push_back(arcs[i]);
    }
    report_.arcs_checked += arcs.size();
    report_.arcs_differing += differing.size();
    if (differing.empty()) return;
    report_.copy += copy_arcs(source, std::span(&target, 1), differing, kPageRecords, {}, mode);
    if (snapshot_.members()[peer].health == ShardHealth::kUp) give_back(source, differing);
  }

  // What it alone holds, or holds newer, are writes that nobody acknowledged, or that were given up while it was away. The
  // newest wins at every owner: replicas that differ would answer now this, now that.
  void give_back(const Shard& source, const std::vector<Arc>& merged) {
    const Shard& target = *snapshot_.members()[behind_].shard;
    const std::vector<ArcDigest> theirs = source.digest(merged);
    const std::vector<ArcDigest> ours = target.digest(merged);
    std::vector<Arc> newer;
    for (std::size_t i = 0; i < merged.size(); ++i) {
      if (theirs[i] != ours[i]) newer.push_back(merged[i]);
    }
    if (newer.empty()) return;
    for (MemberIndex owner = 0; owner < snapshot_.members().size(); ++owner) {
      const Member& other = snapshot_.members()[owner];
      const std::vector<Arc> arcs = ArcSet(newer).intersected(snapshot_.owned_by(owner)).arcs();
      if (owner == behind_ || other.health == ShardHealth::kDown || arcs.empty()) continue;
      report_.given_back += copy_arcs(target, std::span(&other.shard, 1), arcs, kPageRecords).copied;
    }
  }

  const ClusterSnapshot& snapshot_;
  MemberIndex behind_;
  UnreachablePolicy policy_;
  SyncReport& report_;
};

// One round. Returns the snapshot that it was true for, or null if it cannot be completed now.
SnapshotPtr run_round(ClusterControl& control, std::string_view id, UnreachablePolicy policy, SyncReport& report) {
  const SnapshotPtr seen = control.pin();
  const auto index = seen->find(id);
  if (!index) {
    report.waits_for = "shard '" + report.shard + "' is declared and owns nothing yet; run the resize first";
    return nullptr;
  }
  if (!Synchronisation(*seen, *index, policy, report).run()) return nullptr;
  // A stage that begins now could give it arcs: no stage may begin between the look at what it owns and the drop of the rest.
  bool current = true;
  control.with_layouts_frozen([&](const ClusterSnapshot& now) {
    current = now.same_layouts(*seen);
    if (!current) return;
    // what it is to drop stays for whoever takes the cluster through the stages: he looks first who else has it
    const std::vector<Arc> strangers = seen->owned_by(*index).united(seen->retiring().arcs_of(*index)).complement().arcs();
    if (!strangers.empty()) report.dropped += seen->members()[*index].shard->drop(strangers);
  });
  return seen;
}

}  // namespace

SyncReport synchronise(ClusterControl& control, std::string_view id, UnreachablePolicy policy) {
  SyncReport report;
  report.shard = id;
  for (; report.rounds < kMostRounds; ++report.rounds) {
    const ShardHealth health = control.health(id);
    if (health == ShardHealth::kUp) {
      report.up = true;
      report.waits_for.clear();
      return report;
    }
    if (health == ShardHealth::kDown) {
      report.waits_for = "shard '" + report.shard + "' is down; call bring_up when it can be reached";
      return report;
    }
    try {
      const SnapshotPtr seen = run_round(control, id, policy, report);
      if (seen == nullptr) return report;
      control.tell_primary_arcs(id);
      control.mark_up(id, *seen);
    } catch (const std::exception&) {
      report.waits_for = describe_failure(report.shard, std::current_exception()).message;
      return report;
    }
  }
  report.waits_for = "shard '" + report.shard + "' keeps missing writes; see the errors of the write reports";
  return report;
}

}  // namespace annulus
