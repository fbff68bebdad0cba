// Reads, and the copies between nodes that follow from them.
//
// The order in which a copy does things is what keeps an old entry from coming back: the target's generation is read, then it is
// asked whether a write is under way, then whether the source may be read, and then the source is read. docs/cache.md says why.
#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "cache/distributed_cache_impl.h"
#include "cache/node_fan_out.h"

namespace annulus {

using internal::CacheMember;
using internal::NodeBatch;

std::optional<std::string> DistributedCache::Impl::get(KeyView key) {
  internal::check_key(key);
  std::optional<std::string> value = find(key, token_of_key(key));
  count(value ? kHits : kMisses);
  return value;
}

std::optional<std::string> DistributedCache::Impl::find(KeyView key, Token token) {
  struct Lacking {
    CacheMember* member;
    std::uint64_t generation;
  };
  std::array<Lacking, 8> lacking;  // at most so many are repaired by one read
  std::size_t count_lacking = 0;
  const Pin snapshot(domain());
  membership_.note_read();
  for (const NodeIndex node : snapshot->serving.owners(token)) {
    CacheMember& member = *snapshot->members[snapshot->serving.member_of[node]];
    const bool may_repair = count_lacking > 0 && !writes_.may_include(token);
    std::uint64_t generation = 0;
    std::optional<CacheEntry> entry;
    bool answered = false;
    if (member.may_be_read()) {
      try {
        generation = member.node().generation();
        entry = member.node().get(key);
        answered = true;
      } catch (...) {  // a node out of reach is a miss
      }
    }
    if (!answered) {
      count(kNodeFailures);
      continue;
    }
    if (!entry) {
      if (count_lacking < lacking.size()) lacking[count_lacking++] = {&member, generation};
      continue;
    }
    clock_.observe(entry->version);
    if (may_repair) {
      const CacheWrite copy{.key = key, .value = entry->value, .version = entry->version, .expires = entry->expires};
      for (std::size_t i = 0; i < count_lacking; ++i) {
        try {
          if (lacking[i].member->node().write(copy, lacking[i].generation) == CacheOutcome::kStored) count(kRepairs);
        } catch (...) {
          count(kNodeFailures);
        }
      }
    }
    return std::move(entry->value);
  }
  return std::nullopt;
}

/// One batch of reads. All keys are asked for at their first owner, then those that were missed at their second, and so on.
struct DistributedCache::Impl::Lookup {
  Lookup(std::span<const KeyView> wanted, const Snapshot& now) : keys(wanted), snapshot(now), batches(now.members.size()) {
    tokens.reserve(keys.size());
    for (const KeyView key : keys) tokens.push_back(token_of_key(key));
    for (std::size_t i = 0; i < keys.size(); ++i) pending.push_back(i);
    generations.resize(now.members.size());
    found.resize(keys.size());
    width = now.serving.layout->table->num_replicas();
    lacks.assign(width > 1 ? keys.size() * width : 0, 0);
    may_repair.assign(keys.size(), 1);
  }
  internal::MemberIndex owner(std::size_t key, std::size_t rank) const {
    return snapshot.serving.member_of[snapshot.serving.owners(tokens[key])[rank]];
  }

  std::span<const KeyView> keys;
  const Snapshot& snapshot;
  std::vector<Token> tokens;
  std::vector<std::optional<std::uint64_t>> generations;  // of each member, before it was first asked
  std::size_t width = 0;
  std::vector<std::size_t> pending;  // keys not found yet
  std::vector<std::optional<CacheEntry>> found;
  std::vector<char> lacks;  // key x rank: this owner answered that it has none
  std::vector<char> may_repair;
  std::vector<NodeBatch> batches;  // one a member
};

std::vector<std::optional<std::string>> DistributedCache::Impl::get(std::span<const KeyView> keys) {
  for (const KeyView key : keys) internal::check_key(key);
  std::vector<std::optional<std::string>> values(keys.size());
  const Pin snapshot(domain());
  membership_.note_read();
  Lookup lookup(keys, *snapshot);
  for (std::size_t rank = 0; rank < lookup.width && !lookup.pending.empty(); ++rank) ask(lookup, rank);
  if (lookup.width > 1) repair(lookup);
  std::uint64_t hits = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!lookup.found[i]) continue;
    clock_.observe(lookup.found[i]->version);
    values[i] = std::move(lookup.found[i]->value);
    ++hits;
  }
  count(kHits, hits);
  count(kMisses, keys.size() - hits);
  return values;
}

void DistributedCache::Impl::ask(Lookup& lookup, std::size_t rank) {
  for (NodeBatch& batch : lookup.batches) batch = NodeBatch{};
  for (const std::size_t key : lookup.pending) {
    if (rank > 0 && writes_.may_include(lookup.tokens[key])) lookup.may_repair[key] = 0;
    const internal::MemberIndex owner = lookup.owner(key, rank);
    NodeBatch& batch = lookup.batches[owner];
    batch.member = lookup.snapshot.members[owner].get();
    batch.items.push_back(key);
    batch.keys.push_back(lookup.keys[key]);
  }
  call(lookup.batches, [this](NodeBatch& batch) { read(batch); });
  lookup.pending.clear();
  for (std::size_t member = 0; member < lookup.batches.size(); ++member) {
    NodeBatch& batch = lookup.batches[member];
    // The first stays: what was missed at this node in an earlier round may have been read elsewhere in this one.
    if (batch.reached && !lookup.generations[member]) lookup.generations[member] = batch.generation;
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
      const std::size_t key = batch.items[i];
      if (batch.reached && batch.entries[i]) {
        lookup.found[key] = std::move(batch.entries[i]);
        continue;
      }
      if (batch.reached && lookup.width > 1) lookup.lacks[key * lookup.width + rank] = 1;
      lookup.pending.push_back(key);
    }
  }
  std::sort(lookup.pending.begin(), lookup.pending.end());
}

void DistributedCache::Impl::repair(Lookup& lookup) {
  for (NodeBatch& batch : lookup.batches) batch = NodeBatch{};
  for (std::size_t key = 0; key < lookup.keys.size(); ++key) {
    if (!lookup.found[key] || !lookup.may_repair[key]) continue;
    const CacheEntry& entry = *lookup.found[key];
    for (std::size_t rank = 0; rank < lookup.width; ++rank) {
      if (!lookup.lacks[key * lookup.width + rank]) continue;
      const internal::MemberIndex owner = lookup.owner(key, rank);
      NodeBatch& batch = lookup.batches[owner];
      batch.member = lookup.snapshot.members[owner].get();
      batch.generation = *lookup.generations[owner];
      batch.writes.push_back({.key = lookup.keys[key], .value = entry.value, .version = entry.version, .expires = entry.expires});
    }
  }
  call(lookup.batches, [this](NodeBatch& batch) { copy_to(batch); });
  for (const NodeBatch& batch : lookup.batches) {
    if (!batch.reached) continue;
    count(kRepairs, static_cast<std::uint64_t>(std::count(batch.outcomes.begin(), batch.outcomes.end(), CacheOutcome::kStored)));
  }
}

// For the batches that have a member.
void DistributedCache::Impl::call(std::span<NodeBatch> batches, const std::function<void(NodeBatch&)>& run) {
  std::vector<NodeBatch*> tasks;
  bool remote = false;
  for (NodeBatch& batch : batches) {
    if (batch.member == nullptr) continue;
    tasks.push_back(&batch);
    remote |= batch.member->node().remote();
  }
  internal::call_nodes(tasks.size(), remote, [&](std::size_t i) { run(*tasks[i]); });
}

void DistributedCache::Impl::read(NodeBatch& batch) noexcept {
  try {
    if (batch.member->may_be_read()) {
      batch.generation = batch.member->node().generation();
      batch.member->node().get(batch.keys, batch.entries);
      batch.reached = true;
    }
  } catch (...) {
  }
  if (!batch.reached) count(kNodeFailures);
}

void DistributedCache::Impl::copy_to(NodeBatch& batch) noexcept {
  try {
    batch.member->node().write(batch.writes, batch.outcomes, batch.generation);
    batch.reached = true;
  } catch (...) {
    count(kNodeFailures);
  }
}

/// Whether no write of the key is under way; waits a little for one.
bool DistributedCache::Impl::wait_for_writes(Token token) {
  for (int tries = 0; writes_.may_include(token); ++tries) {
    if (tries == 1000) return false;
    std::this_thread::yield();
  }
  return true;
}

DistributedCache::CopyResult DistributedCache::Impl::copy(std::span<const KeyView> keys, std::string_view from,
                                                          std::span<const std::string> to) {
  for (const KeyView key : keys) internal::check_key(key);
  CopyResult result;
  result.missed = keys.size() * to.size();
  const Pin snapshot(domain());
  membership_.note_read();
  std::vector<NodeBatch> targets(to.size());
  for (std::size_t i = 0; i < to.size(); ++i) {
    targets[i].member = snapshot->find(to[i]);
    if (targets[i].member == nullptr) continue;
    if (targets[i].member->may_be_written()) {
      targets[i].generation = targets[i].member->node().generation();
    } else {  // what it was given now would go when it is invalidated
      targets[i].member = nullptr;
      count(kNodeFailures);
    }
  }
  NodeBatch source;
  source.member = snapshot->find(from);
  if (source.member == nullptr) return result;
  for (const KeyView key : keys) {
    if (wait_for_writes(token_of_key(key))) source.keys.push_back(key);
  }
  read(source);
  if (!source.reached) return result;
  for (std::size_t i = 0; i < source.keys.size(); ++i) {
    const std::optional<CacheEntry>& entry = source.entries[i];
    if (!entry) continue;
    clock_.observe(entry->version);
    const Token token = token_of_key(source.keys[i]);
    for (NodeBatch& target : targets) {
      if (target.member == nullptr || target.member == source.member) continue;
      const auto owners = snapshot->serving.owners(token);
      // Elsewhere, later writes would not reach it.
      const bool owns = std::any_of(owners.begin(), owners.end(), [&](NodeIndex node) {
        return snapshot->members[snapshot->serving.member_of[node]].get() == target.member;
      });
      if (!owns) continue;
      target.writes.push_back({.key = source.keys[i], .value = entry->value, .version = entry->version, .expires = entry->expires});
    }
  }
  for (NodeBatch& target : targets) {
    if (target.writes.empty()) target.member = nullptr;
  }
  call(targets, [this](NodeBatch& target) { copy_to(target); });
  for (const NodeBatch& target : targets) {
    if (!target.reached) continue;
    const bool same = target.member->node().generation() == target.generation;
    for (std::size_t row = 0; row < target.writes.size(); ++row) {
      result.bytes += target.writes[row].key.size() + target.writes[row].value.size();
      if (target.outcomes[row] == CacheOutcome::kStored) ++result.copied;
      if (target.outcomes[row] == CacheOutcome::kSuperseded && same) ++result.already_there;
    }
  }
  result.missed -= result.copied + result.already_there;
  return result;
}

}  // namespace annulus
