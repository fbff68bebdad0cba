#include "rebalance/vector_payload.h"

#include <algorithm>

#include "core/error.h"
#include "rebalance/pair_counter.h"
#include "shard/synchroniser.h"

namespace annulus {
namespace {

// Records a page of the count: versions alone, so that a page is cheap.
constexpr std::size_t kCountPage = 4096;

}  // namespace

// ---- counting

void VectorPayload::count() {
  control_.begin_stage("counting", 0);
  const SnapshotPtr snapshot = cluster_.pin();
  PairCounter pairs(plan_);
  ArcSet counted;
  RecordPage page;
  for (MemberIndex m = 0; m < snapshot->members().size(); ++m) {
    if (snapshot->members()[m].health != ShardHealth::kUp) continue;
    const Shard& shard = *snapshot->members()[m].shard;
    const ArcSet held = snapshot->serving().arcs_of(m);
    const std::vector<Arc> arcs = held.intersected(counted.complement()).arcs();
    counted = counted.united(held);
    ScanPosition at;
    try {
      for (bool more = !arcs.empty(); more;) {
        page.clear();
        more = shard.scan(arcs, at, kCountPage, ScanContents::kVersions, page);
        for (std::size_t i = 0; i < page.size(); ++i) {
          if (!page[i].deleted) pairs.add(token_of_key(page[i].key));
        }
      }
    } catch (const Error& error) {
      add_warning(report_, "shard '" + shard.id() + "' could not be counted: " + error.what());
    }
  }
  report_.keys = pairs.keys();
  report_.lower_bound = pairs.to_copy();
  memory_.to_drop = pairs.to_drop();
}

// ---- stage kCopying

void VectorPayload::copy(const std::vector<PlanNode>& sources, const std::vector<PlanNode>& targets, MoveChunk chunk) {
  std::vector<std::shared_ptr<Shard>> receivers;
  for (const PlanNode target : targets) receivers.push_back(require_up(plan_.nodes[target]));
  const std::vector<Arc> arcs = arcs_of(chunk);
  std::string reason = "none of its holders " + quoted_list(names(sources)) + " is up; bring one up";
  for (const PlanNode node : least_used_first(sources)) {
    const std::shared_ptr<Shard> source = if_up(plan_.nodes[node]);
    if (source == nullptr) continue;
    try {
      // page by page, so that what a failure or an abort cuts short is in the report too
      const bool lossless = source->lossless();
      copy_arcs(*source, receivers, arcs, page_records_, [&](const CopyCounts& page) {
        account(page, lossless, node, targets);
        control_.step(page.copied + page.already_there, page.bytes);
      });
      // it may have fallen behind while it was read: then others hold newer records
      if (if_up(plan_.nodes[node]) == nullptr) continue;
      const CopyCounts verified = verify_dominance(*source, receivers, arcs, page_records_, [&](const CopyCounts& page) {
        account(page, lossless, node, targets);
        control_.step(0, page.bytes);
      });
      if (verified.missing == 0) return;
      reason = std::to_string(verified.missing) + " records are still missing after copying them";
    } catch (const CopyError& error) {
      reason = error.what();
      if (error.shard() != source->id()) break;  // a receiver: another source does not help
    }
  }
  throw Blocked{"an arc cannot be copied to " + quoted_list(names(targets)) + ": " + reason + "; then execute again, or abort"};
}

void VectorPayload::account(const CopyCounts& counts, bool lossless, PlanNode source, const std::vector<PlanNode>& targets) {
  report_.moved += counts.copied;
  report_.moved_tombstones += counts.copied_tombstones;
  report_.already_there += counts.already_there;
  report_.recopied += counts.recopied;
  report_.verified += counts.verified;
  report_.bytes += counts.bytes;
  if (!lossless) report_.lossy_copies += counts.copied - counts.as_codes;
  report_.nodes[source].copied_out += counts.copied;
  // with several targets the parts are equal but for live writes: the first gets the rest
  for (const PlanNode target : targets) report_.nodes[target].copied_in += counts.copied / targets.size();
  report_.nodes[targets.front()].copied_in += counts.copied % targets.size();
}

void VectorPayload::publish() {
  std::vector<std::string> gaining;
  for (const ArcMove& move : plan_.moves) {
    for (const PlanNode target : move.targets) gaining.push_back(plan_.nodes[target]);
  }
  std::sort(gaining.begin(), gaining.end());
  gaining.erase(std::unique(gaining.begin(), gaining.end()), gaining.end());
  do {
    for (const std::string& id : gaining) require_up(id);
    control_.step(0, 0);  // the last moment for an abort
  } while (!cluster_.publish_target(gaining));
}

// ---- stage kRetiring

std::uint64_t VectorPayload::drop(PlanNode node, const std::vector<PlanNode>& owners, MoveChunk chunk) {
  const std::string& id = plan_.nodes[node];
  // One that is down is cleaned when it comes back: it is synchronised before it serves.
  if (cluster_.health(id) == ShardHealth::kDown) {
    require_witness(id, owners);
    uncleaned_.push_back(id);
    add_warning(report_, "shard '" + id + "' is down and keeps rows that it does not own any more, until it is brought up");
    return 0;
  }
  const std::shared_ptr<Shard> old = member(id);
  std::vector<std::shared_ptr<Shard>> keepers;
  for (const PlanNode owner : owners) {
    const ShardHealth health = cluster_.health(plan_.nodes[owner]);
    // Taken back: a row may be here alone, because its owner missed the write and is behind. It gets it now.
    const bool takes = health == ShardHealth::kBehind && cluster_.stage() == ResizeStage::kAborting;
    if (health == ShardHealth::kUp || takes) keepers.push_back(member(plan_.nodes[owner]));
  }
  const std::vector<Arc> arcs = arcs_of(chunk);
  try {
    check_before_drop(*old, keepers, arcs);
    const std::uint64_t dropped = old->drop(arcs);
    report_.dropped += dropped;
    report_.nodes[node].dropped += dropped;
    return dropped;
  } catch (const std::exception& error) {
    require_witness(id, owners);
    add_warning(report_, "shard '" + id + "' could not be cleaned: " + error.what());
    uncleaned_.push_back(id);
    return 0;
  }
}

// Those that could not be cleaned are behind when the stage ends; those of them that answer are cleaned at once.
void VectorPayload::finish() {
  std::sort(uncleaned_.begin(), uncleaned_.end());
  uncleaned_.erase(std::unique(uncleaned_.begin(), uncleaned_.end()), uncleaned_.end());
  cluster_.finish(uncleaned_);
  const SnapshotPtr now = cluster_.pin();
  std::erase_if(uncleaned_, [&](const std::string& id) { return !now->find(id); });
  for (const std::string& id : uncleaned_) (void)if_up(id);
}

// Taken back, a node leaves with what it alone may have been given while those who serve were away. One of them that is up has
// it: a shard comes up only after it has asked this one.
void VectorPayload::require_witness(const std::string& id, const std::vector<PlanNode>& owners) const {
  if (cluster_.stage() != ResizeStage::kAborting) return;
  for (const PlanNode owner : owners) {
    if (cluster_.health(plan_.nodes[owner]) == ShardHealth::kUp) return;
  }
  throw Blocked{"'" + id + "' cannot be reached and may hold the only copies of some writes, because none of their owners " +
                quoted_list(names(owners)) + " is up; bring one of them up, and execute again"};
}

// Returns if what `old` holds of `arcs` is at every keeper that answers, which is at least one; or if it holds nothing.
void VectorPayload::check_before_drop(const Shard& old, std::vector<std::shared_ptr<Shard>> keepers, std::span<const Arc> arcs) {
  const std::vector<ArcDigest> held = old.digest(arcs);
  if (std::all_of(held.begin(), held.end(), [](const ArcDigest& digest) { return digest.records() == 0; })) return;
  std::string reason = "none of them is up";
  while (!keepers.empty()) {
    try {
      const CopyCounts checked = verify_dominance(old, keepers, arcs, page_records_);
      report_.checked_before_drop += checked.verified;
      report_.recopied += checked.recopied;
      report_.moved += checked.copied;
      if (checked.missing == 0) return;
      report_.lost += checked.missing;
      reason = "they lack " + std::to_string(checked.missing) + " records";
      break;
    } catch (const CopyError& error) {
      if (error.shard() == old.id()) throw;
      reason = error.what();
      std::erase_if(keepers, [&](const std::shared_ptr<Shard>& keeper) { return keeper->id() == error.shard(); });
    }
  }
  throw Blocked{"'" + old.id() + "' keeps its rows, because their owners cannot vouch for them (" + reason +
                "); bring them up and execute again"};
}

// ---- shards and names

std::vector<Arc> VectorPayload::arcs_of(MoveChunk chunk) const {
  std::vector<Arc> arcs;
  for (const std::size_t i : chunk) arcs.push_back(plan_.moves[i].arc);
  return arcs;
}

std::vector<PlanNode> VectorPayload::least_used_first(std::vector<PlanNode> nodes) const {
  std::stable_sort(nodes.begin(), nodes.end(),
                   [&](PlanNode a, PlanNode b) { return report_.nodes[a].copied_out < report_.nodes[b].copied_out; });
  return nodes;
}

std::vector<std::string> VectorPayload::names(const std::vector<PlanNode>& nodes) const {
  std::vector<std::string> ids;
  for (const PlanNode node : nodes) ids.push_back(plan_.nodes[node]);
  return ids;
}

std::shared_ptr<Shard> VectorPayload::if_up(const std::string& id) {
  if (cluster_.health(id) == ShardHealth::kBehind) report_.synchronised.push_back(synchronise(cluster_, id));
  const SnapshotPtr now = cluster_.pin();
  const auto member = now->find(id);
  if (!member || now->members()[*member].health != ShardHealth::kUp) return nullptr;
  return now->members()[*member].shard;
}

std::shared_ptr<Shard> VectorPayload::require_up(const std::string& id) {
  std::shared_ptr<Shard> shard = if_up(id);
  if (shard != nullptr) return shard;
  const bool told = !report_.synchronised.empty() && report_.synchronised.back().shard == id;
  throw Blocked{"shard '" + id + "' is to receive data and is " + std::string(to_string(cluster_.health(id))) +
                (told ? " (" + report_.synchronised.back().waits_for + ")" : "") + "; bring it up and execute again, or abort"};
}

std::shared_ptr<Shard> VectorPayload::member(const std::string& id) const {
  const SnapshotPtr now = cluster_.pin();
  return now->members()[*now->find(id)].shard;
}

}  // namespace annulus
