// Writes: to every owner, as erases to owners of other layouts; a member that misses one is behind.
#include <algorithm>
#include <limits>
#include <utility>

#include "cache/distributed_cache_impl.h"
#include "cache/node_fan_out.h"
#include "core/error.h"

namespace annulus {

using internal::CacheMember;
using internal::NodeBatch;
using internal::WriteTarget;
using internal::WriteTargets;

namespace {

/// Erases what is older than `write`, and lets `write` itself in, which may come as a copy when the node has become an owner.
CacheWrite erase_before(const CacheWrite& write, CacheTime expires) {
  const Version before{write.version.clock - 1, std::numeric_limits<std::uint32_t>::max()};
  return {.key = write.key, .value = {}, .version = before, .expires = expires, .kind = CacheWriteKind::kErase};
}

/// Whether a node refused a write for its generation, or may have.
bool started_anew(const CacheNode& node, CacheOutcome outcome, std::uint64_t generation) {
  return outcome == CacheOutcome::kSuperseded && node.generation() != generation;
}

}  // namespace

void WriteTargets::add(CacheMember& member, bool owner) {
  for (const WriteTarget& target : all()) {
    if (target.member == &member) return;
  }
  const WriteTarget target{.member = &member, .generation = 0, .owner = owner, .reached = false};
  if (size_ < near_.size()) {
    near_[size_] = target;
  } else {
    if (far_.empty()) far_.assign(near_.begin(), near_.end());
    far_.push_back(target);
  }
  ++size_;
}

void DistributedCache::Impl::prepare(const Snapshot& snapshot, Token token, WriteTargets& targets) {
  for (const NodeIndex node : snapshot.serving.owners(token))
    targets.add(*snapshot.members[snapshot.serving.member_of[node]], true);
  if (!snapshot.former.empty() || !snapshot.upcoming.empty()) {
    snapshot.each_other_owner(token, [&](internal::MemberIndex member) { targets.add(*snapshot.members[member], false); });
  }
  for (WriteTarget& target : targets.all()) {
    target.reached = target.member->may_be_written();
    target.generation = target.member->node().generation();
  }
}

// A put carries the generation that its target had before its version was drawn. If the target has started anew since, it may
// have forgotten a newer write, and it may hold an older one that came after: so the key is erased there instead.
// An erase needs no generation: however late it comes, it leaves nothing older behind.
std::size_t DistributedCache::Impl::apply(const CacheWrite& write, WriteTargets& targets) {
  std::size_t taken = 0;
  for (WriteTarget& target : targets.all()) {
    if (!target.reached) continue;
    CacheNode& node = target.member->node();
    try {
      if (!target.owner || write.kind == CacheWriteKind::kErase) {
        const CacheWrite erase =
            write.kind == CacheWriteKind::kErase ? write : erase_before(write, time_after(options_.tombstone_life));
        taken += node.write(erase) == CacheOutcome::kStored && target.owner ? 1 : 0;
        continue;
      }
      const CacheOutcome outcome = node.write(write, target.generation);
      if (outcome == CacheOutcome::kStored) ++taken;
      if (started_anew(node, outcome, target.generation)) node.write(erase_before(write, time_after(options_.tombstone_life)));
    } catch (...) {
      target.reached = false;
    }
  }
  for (const WriteTarget& target : targets.all()) {
    if (target.reached) continue;
    target.member->miss();
    count(kNodeFailures);
  }
  return taken;
}

std::size_t DistributedCache::Impl::write_now(KeyView key, Token token, std::string_view value, CacheTime expires,
                                              CacheWriteKind kind) {
  std::size_t taken = 0;
  {
    const internal::WritesUnderWay::Guard under_way(writes_, token);
    const Pin snapshot(domain());
    membership_.note_write();
    WriteTargets targets;
    prepare(*snapshot, token, targets);
    taken = apply({.key = key, .value = value, .version = clock_.next(), .expires = expires, .kind = kind}, targets);
  }
  flights_.detach(key, token);
  return taken;
}

std::size_t DistributedCache::Impl::put(KeyView key, std::string_view value, std::optional<CacheTtl> ttl) {
  internal::check_key(key);
  internal::check_value(key, value);
  internal::check_ttl(key, ttl);
  return write_now(key, token_of_key(key), value, expiry(ttl), CacheWriteKind::kPut);
}

void DistributedCache::Impl::erase(KeyView key) {
  internal::check_key(key);
  write_now(key, token_of_key(key), {}, time_after(options_.tombstone_life), CacheWriteKind::kErase);
}

std::size_t DistributedCache::Impl::put(std::span<const CacheItem> items) {
  for (const CacheItem& item : items) {
    internal::check_key(item.key);
    internal::check_value(item.key, item.value);
    internal::check_ttl(item.key, item.ttl);
  }
  std::vector<CacheWrite> writes;
  writes.reserve(items.size());
  for (const CacheItem& item : items)
    writes.push_back({.key = item.key, .value = item.value, .version = {}, .expires = expiry(item.ttl)});
  return write_batch(writes);
}

void DistributedCache::Impl::erase(std::span<const KeyView> keys) {
  for (const KeyView key : keys) internal::check_key(key);
  const CacheTime expires = time_after(options_.tombstone_life);
  std::vector<CacheWrite> writes;
  writes.reserve(keys.size());
  for (const KeyView key : keys)
    writes.push_back({.key = key, .value = {}, .version = {}, .expires = expires, .kind = CacheWriteKind::kErase});
  write_batch(writes);
}

// The same as write_now, for many. `requests` have no versions yet.
std::size_t DistributedCache::Impl::write_batch(std::span<const CacheWrite> requests) {
  if (requests.empty()) return 0;
  std::vector<CacheWrite> writes(requests.begin(), requests.end());
  std::vector<Token> tokens;
  tokens.reserve(writes.size());
  for (const CacheWrite& write : writes) tokens.push_back(token_of_key(write.key));
  std::vector<char> taken(writes.size(), 0);
  {
    const internal::WritesUnderWay::BatchGuard under_way(writes_, tokens);
    const Pin snapshot(domain());
    membership_.note_write();
    const auto& members = snapshot->members;
    std::vector<NodeBatch> batches(members.size());
    for (std::size_t i = 0; i < members.size(); ++i) {
      batches[i].reached = members[i]->may_be_written();
      batches[i].generation = members[i]->node().generation();
    }
    const Version first = clock_.next(writes.size());
    const CacheTime tombstones_expire = time_after(options_.tombstone_life);
    const auto send = [&](internal::MemberIndex member, std::size_t item, const CacheWrite& write) {
      NodeBatch& batch = batches[member];
      batch.member = members[member].get();
      if (!batch.items.empty() && batch.items.back() == item) return;  // an owner in several layouts
      batch.items.push_back(item);
      batch.writes.push_back(write);
    };
    for (std::size_t i = 0; i < writes.size(); ++i) {
      writes[i].version = {first.clock + i, first.writer};
      for (const NodeIndex node : snapshot->serving.owners(tokens[i])) send(snapshot->serving.member_of[node], i, writes[i]);
      snapshot->each_other_owner(
          tokens[i], [&](internal::MemberIndex member) { send(member, i, erase_before(writes[i], tombstones_expire)); });
    }
    call(batches, [this](NodeBatch& batch) { write_to(batch); });
    for (const NodeBatch& batch : batches) {
      if (batch.member == nullptr) continue;
      if (!batch.reached) {
        batch.member->miss();
        count(kNodeFailures);
        continue;
      }
      for (std::size_t i = 0; i < batch.items.size(); ++i) {
        const bool stored = batch.outcomes[i] == CacheOutcome::kStored && batch.writes[i].kind == CacheWriteKind::kPut;
        if (stored) taken[batch.items[i]] = 1;
      }
    }
  }
  for (std::size_t i = 0; i < writes.size(); ++i) flights_.detach(writes[i].key, tokens[i]);
  return static_cast<std::size_t>(std::count(taken.begin(), taken.end(), 1));
}

void DistributedCache::Impl::write_to(NodeBatch& batch) noexcept {
  if (!batch.reached) return;
  try {
    CacheNode& node = batch.member->node();
    node.write(batch.writes, batch.outcomes, batch.generation);
    std::vector<CacheWrite> refused;
    for (std::size_t i = 0; i < batch.writes.size(); ++i) {
      if (!started_anew(node, batch.outcomes[i], batch.generation)) continue;
      refused.push_back(erase_before(batch.writes[i], time_after(options_.tombstone_life)));
    }
    std::vector<CacheOutcome> outcomes;
    if (!refused.empty()) node.write(refused, outcomes);
  } catch (...) {
    batch.reached = false;
  }
}

std::string DistributedCache::Impl::get_or_compute(KeyView key, const std::function<std::string()>& compute,
                                                   std::optional<CacheTtl> ttl) {
  internal::check_key(key);
  internal::check_ttl(key, ttl);
  if (!compute)
    throw Error(ErrorCode::kInvalidArgument, "get_or_compute of key '" + display_key(key) + "' without a function that computes");
  const Token token = token_of_key(key);
  if (std::optional<std::string> value = find(key, token)) {
    count(kHits);
    return *std::move(value);
  }
  count(kMisses);
  auto [value, joined] = flights_.run(key, token, [&] { return compute_and_keep(key, token, compute, ttl); });
  if (joined) count(kJoined);
  return std::move(value);
}

// The version is drawn before the computation, so that a put or an erase which begins during it is newer.
std::string DistributedCache::Impl::compute_and_keep(KeyView key, Token token, const std::function<std::string()>& compute,
                                                     std::optional<CacheTtl> ttl) {
  if (std::optional<std::string> value = find(key, token)) return *std::move(value);  // another flight has just landed
  WriteTargets targets;
  Version version;
  std::uint64_t number = 0;
  {
    const Pin snapshot(domain());
    number = snapshot->number;
    prepare(*snapshot, token, targets);
    version = clock_.next();
  }
  count(kComputations);
  const CacheTime began = now();
  std::string value = compute();
  internal::check_value(key, value);
  if (now() - began >= options_.tombstone_life) return value;  // an erase that came meanwhile may be forgotten already
  const internal::WritesUnderWay::Guard under_way(writes_, token);
  const Pin snapshot(domain());
  // Under another layout there may be owners whose generation was not read in time: not kept, a miss is cheap.
  if (snapshot->number != number) return value;
  membership_.note_write();
  for (WriteTarget& target : targets.all()) target.reached = target.member->may_be_written();
  apply({.key = key, .value = value, .version = version, .expires = expiry(ttl)}, targets);
  return value;
}

}  // namespace annulus
