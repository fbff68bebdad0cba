#include "rebalance/cluster_verifier.h"

namespace annulus {

VerifyReport verify_cluster(const VectorRouter& router) {
  const SnapshotPtr snapshot = router.control().pin();
  const auto& members = snapshot->members();
  VerifyReport report;
  const LayoutView& serving = snapshot->serving();
  const ConsistentHasher& ring = serving.layout->ring;
  const auto tokens = ring.tokens();
  if (tokens.empty()) return report;

  // the arcs of each member, by the position of their last token, and the digests that all owners gave
  std::vector<std::vector<std::size_t>> positions(members.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Token before = tokens[(i + tokens.size() - 1) % tokens.size()];
    if (before == tokens[i] && tokens.size() > 1) continue;  // equal tokens: the first of them owns the arc
    for (const NodeIndex node : serving.layout->table->row(i)) positions[serving.member_of[node]].push_back(i);
  }
  struct Seen {
    bool any = false;
    bool differing = false;
    ArcDigest digest;
  };
  std::vector<Seen> seen(tokens.size());
  for (MemberIndex m = 0; m < members.size(); ++m) {
    if (members[m].health != ShardHealth::kUp) {
      report.not_up.push_back(members[m].shard->id());
      continue;
    }
    std::vector<Arc> arcs;
    for (const std::size_t i : positions[m]) arcs.push_back({tokens[(i + tokens.size() - 1) % tokens.size()], tokens[i]});
    const std::vector<ArcDigest> digests = members[m].shard->digest(arcs);
    for (std::size_t a = 0; a < arcs.size(); ++a) {
      Seen& arc = seen[positions[m][a]];
      report.copies += digests[a].live;
      if (!arc.any) report.keys += digests[a].live;
      arc.differing |= arc.any && arc.digest != digests[a];
      arc.digest = digests[a];
      arc.any = true;
    }
    const std::vector<Arc> others = snapshot->owned_by(m).complement().arcs();
    for (const ArcDigest& digest : members[m].shard->digest(others)) report.strangers += digest.records();
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Token before = tokens[(i + tokens.size() - 1) % tokens.size()];
    if (before == tokens[i] && tokens.size() > 1) continue;
    ++report.arcs;
    report.arcs_differing += seen[i].differing ? 1 : 0;
    report.unowned += seen[i].any ? 0 : 1;
  }
  return report;
}

}  // namespace annulus
