#include "rebalance/artifact_payload.h"

#include <algorithm>
#include <set>

#include "core/error.h"
#include "rebalance/pair_counter.h"

namespace annulus {

const ArtifactPayload::Holdings& ArtifactPayload::holdings(PlanNode node) {
  const auto [at, is_new] = holdings_.try_emplace(node);
  Holdings& held = at->second;
  if (!is_new) return held;
  const std::string& id = plan_.nodes[node];
  try {
    for (const std::shared_ptr<ArtifactHost>& host : artifacts_.hosts()) {
      if (host->id() != id) continue;
      for (ArtifactInfo& info : host->list()) {  // sorted by version within a name: the last one stays
        std::string name = info.name;
        held.newest.insert_or_assign(std::move(name), std::move(info));
      }
    }
    for (const auto& [name, info] : held.newest) held.names.add(name);
    held.names.seal();
    held.in_reach = true;
  } catch (const Error& error) {
    held.problem = error.what();
  }
  return held;
}

void ArtifactPayload::count() {
  control_.begin_stage("counting", 0);
  std::map<std::string, ArtifactInfo, std::less<>> newest;  // of all hosts
  for (PlanNode node = 0; node < plan_.nodes.size(); ++node) {
    if (!plan_.before.index_of(plan_.nodes[node])) continue;
    const Holdings& held = holdings(node);
    if (!held.in_reach) add_warning(report_, "host '" + plan_.nodes[node] + "' could not be counted: " + held.problem);
    for (const auto& [name, info] : held.newest) {
      const auto at = newest.try_emplace(name, info).first;
      if (at->second.version < info.version) at->second = info;
    }
  }
  PairCounter pairs(plan_);
  for (const auto& [name, info] : newest) {
    if (info.kind != ArtifactKind::kErased) pairs.add(token_of_key(name));
  }
  report_.keys = pairs.keys();
  report_.lower_bound = pairs.to_copy();
  memory_.to_drop = pairs.to_drop();
}

// ---- stage kCopying

void ArtifactPayload::copy(const std::vector<PlanNode>& sources, const std::vector<PlanNode>& targets, MoveChunk chunk) {
  const std::vector<Arc> arcs = arcs_of(chunk);
  std::set<std::string> names;
  std::vector<PlanNode> in_reach;
  for (const PlanNode source : sources) {
    const Holdings& held = holdings(source);
    if (!held.in_reach) continue;
    in_reach.push_back(source);
    held.names.each(arcs, [&](const KeyCatalogue::Entry& entry) { names.insert(entry.key); });
  }
  if (in_reach.empty()) {
    throw Blocked{"none of the hosts that hold an arc is in reach: " + holdings(sources.front()).problem +
                  "; bring one of them up and execute again, or abort"};
  }
  for (const std::string& name : names) {
    for (const PlanNode target : targets) copy_artifact(name, in_reach, target);
  }
}

// From whoever holds the newest version; from the next if that one fails.
void ArtifactPayload::copy_artifact(const std::string& name, const std::vector<PlanNode>& sources, PlanNode target) {
  std::vector<std::pair<Version, PlanNode>> holders;
  for (const PlanNode source : sources) {
    const auto& newest = holdings(source).newest;
    const auto at = newest.find(name);
    if (at != newest.end()) holders.emplace_back(at->second.version, source);
  }
  std::stable_sort(holders.begin(), holders.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  const bool is_blob = holdings(holders.front().second).newest.find(name)->second.kind != ArtifactKind::kErased;
  std::string reason;
  for (const auto& [version, source] : holders) {
    if (version < holders.front().first) break;  // an older version is no replacement
    try {
      const bool sent = artifacts_.copy(name, plan_.nodes[source], plan_.nodes[target], [this](std::uint64_t bytes) {
        report_.bytes += bytes;
        control_.step(0, bytes);
      });
      if (is_blob) {
        ++report_.verified;
        ++(sent ? report_.moved : report_.already_there);
        report_.nodes[source].copied_out += sent ? 1 : 0;
        report_.nodes[target].copied_in += sent ? 1 : 0;
        control_.step(1, 0);
      }
      return;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kAborted) throw;
      // Erased and forgotten since it was listed; a resize under way collects nothing else.
      if (error.code() != ErrorCode::kNotFound) reason = error.what();
    }
  }
  if (reason.empty()) return;
  throw Blocked{"'" + name + "' cannot be copied to '" + plan_.nodes[target] + "': " + reason + "; then execute again, or abort"};
}

void ArtifactPayload::publish() {
  control_.step(0, 0);  // the last moment for an abort
  try {
    artifacts_.publish_target();
  } catch (const Error& error) {
    throw Blocked{std::string("the new ring cannot serve yet: ") + error.what() + "; then execute again, or abort"};
  }
  holdings_.clear();
}

void ArtifactPayload::begin_abort() {
  artifacts_.begin_abort();
  holdings_.clear();
}

// ---- stages kRetiring and kAborting

std::uint64_t ArtifactPayload::drop(PlanNode node, const std::vector<PlanNode>& owners, MoveChunk chunk) {
  const std::string& id = plan_.nodes[node];
  const Holdings& held = holdings(node);
  std::vector<std::string> keepers;
  for (const PlanNode owner : owners) keepers.push_back(plan_.nodes[owner]);
  std::uint64_t dropped = 0;
  if (!held.in_reach) warn_of_remains(id, held.problem);
  held.names.each(arcs_of(chunk), [&](const KeyCatalogue::Entry& entry) {
    if (!drop_artifact(entry.key, id, keepers)) return;
    if (held.newest.find(entry.key)->second.kind != ArtifactKind::kErased) ++dropped;
  });
  report_.dropped += dropped;
  report_.nodes[node].dropped += dropped;
  return dropped;
}

// False if the host itself cannot do it. It does not serve the artifact any more, so that can wait; owners that do not hold it
// cannot.
bool ArtifactPayload::drop_artifact(const std::string& name, const std::string& host, const std::vector<std::string>& keepers) {
  std::string reason = "they do not all hold it whole";
  // Taken back, one serving owner that holds it is enough: the others are as they were before the resize.
  std::vector<std::vector<std::string>> vouchers{keepers};
  if (stage() == ResizeStage::kAborting) {
    vouchers.clear();
    for (const std::string& keeper : keepers) vouchers.push_back({keeper});
  }
  for (const std::vector<std::string>& voucher : vouchers) {
    try {
      if (artifacts_.drop(name, host, voucher)) return true;
    } catch (const Error& error) {
      reason = error.what();
      if (reason.starts_with(host + ": ")) {
        warn_of_remains(host, reason);
        return false;
      }
    }
  }
  throw Blocked{"'" + host + "' keeps '" + name + "', because its owners " + quoted_list(keepers) + " cannot vouch for it (" +
                reason + "); bring them up, repair, and execute again"};
}

void ArtifactPayload::warn_of_remains(const std::string& host, const std::string& problem) {
  add_warning(report_, "host '" + host + "' may keep artifacts that it does not own any more, until it is repaired: " + problem);
}

std::vector<Arc> ArtifactPayload::arcs_of(MoveChunk chunk) const {
  std::vector<Arc> arcs;
  for (const std::size_t i : chunk) arcs.push_back(plan_.moves[i].arc);
  return arcs;
}

}  // namespace annulus
