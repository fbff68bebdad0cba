#include "artifact/artifact_transfer.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "artifact/artifact_manifest.h"
#include "artifact/content_hash.h"
#include "artifact/side_by_side.h"
#include "core/key.h"

namespace annulus::internal {
namespace {

std::string versioned(const ArtifactInfo& info) { return "'" + display_key(info.name) + "', version " + to_digits(info.version); }

std::unique_ptr<std::byte[]> chunk_buffer(std::uint64_t bytes) {
  return std::make_unique_for_overwrite<std::byte[]>(chunk_size(bytes, 0));
}

HostPtr find_host(const ArtifactSnapshot& snapshot, std::string_view id) {
  const auto found = snapshot.hosts.find(id);
  if (found == snapshot.hosts.end()) throw Error(ErrorCode::kNotFound, std::string(id) + ": no host of this name is in the store");
  return found->second;
}

std::vector<ArtifactInfo> versions_at(ArtifactHost& host, std::string_view name) {
  return on_host(host, [&] { return host.versions(name); });
}

bool is_newest_at(ArtifactHost& host, const ArtifactInfo& info) {
  const auto versions = versions_at(host, info.name);
  return !versions.empty() && versions.front().version == info.version;
}

/// Writes the content of `info` to `writer` and seals it.
void write_replica(const ArtifactInfo& info, ArtifactHost& from, ArtifactHost& to, ArtifactWriter& writer, const ChunkStep& step) {
  ArtifactManifest manifest{.info = info, .chunks = {}};
  if (info.kind == ArtifactKind::kBlob) {
    const auto reader = on_host(from, [&] { return from.open(info.name, info.version); });
    manifest = reader->manifest();
    if (manifest.info != info)
      throw Error(ErrorCode::kDataLoss, from.id() + ": its replica of " + versioned(info) + " is of another content");
    const auto buffer = chunk_buffer(info.bytes);
    for (std::size_t i = 0; i < manifest.chunks.size(); ++i) {
      const auto chunk = on_host(from, [&] { return reader->read_chunk(i, {buffer.get(), chunk_size(info.bytes, 0)}); });
      on_host(to, [&] { writer.append(chunk); });
      if (step) step(chunk.size());
    }
  }
  on_host(to, [&] { writer.seal(manifest); });
}

}  // namespace

std::uint64_t read_whole(ArtifactHost& host, const ArtifactInfo& info, const ChunkStep& step) {
  return on_host(host, [&]() -> std::uint64_t {
    if (info.kind != ArtifactKind::kBlob) {
      for (const ArtifactInfo& held : host.versions(info.name)) {
        if (held.version == info.version && held.kind == ArtifactKind::kDamaged)
          throw Error(ErrorCode::kDataLoss, "the erase of " + versioned(info) + " is damaged");
        if (held == info) return 0;
      }
      throw Error(ErrorCode::kNotFound, "there is no " + versioned(info));
    }
    const auto reader = host.open(info.name, info.version);
    const ArtifactManifest& manifest = reader->manifest();
    const auto buffer = chunk_buffer(manifest.info.bytes);
    Sha256Hasher hasher;
    for (std::size_t i = 0; i < manifest.chunks.size(); ++i) {
      const auto chunk = reader->read_chunk(i, {buffer.get(), chunk_size(manifest.info.bytes, 0)});
      hasher.update(chunk);
      if (step) step(chunk.size());
    }
    if (manifest.info != info || hasher.finish() != info.sha256) {
      throw Error(ErrorCode::kDataLoss, "the content of " + versioned(info) + " is not that of its hash " + to_hex(info.sha256));
    }
    return info.bytes;
  });
}

Transfer transfer(ArtifactStore& store, const ArtifactInfo& info, ArtifactHost& from, ArtifactHost& to, CommitLock lock,
                  const ChunkStep& step) {
  try {
    const auto writer = on_host(to, [&] { return to.stage(info.name, info.version); });
    write_replica(info, from, to, *writer, step);
    {
      std::shared_lock commits(store.membership.commits(), std::defer_lock);
      if (lock == CommitLock::kTake) commits.lock();
      // While it was copied it may have been superseded, and an erase collected: it must not come back.
      if (!is_newest_at(from, info)) return Transfer::kSuperseded;
      on_host(to, [&] { writer->commit(); });
    }
    read_whole(to, info);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) return Transfer::kSuperseded;  // gone from where it was
    throw;
  }
  store.ledger.brought(info.name, to.id(), info.version);
  return Transfer::kDone;
}

bool copy(ArtifactStore& store, std::string_view name, std::string_view from_id, std::string_view to_id, const ChunkStep& step) {
  const ArtifactSnapshotPtr snapshot = store.membership.pin();
  const HostPtr from = find_host(*snapshot, from_id);
  const HostPtr to = find_host(*snapshot, to_id);
  for (;;) {
    const auto held = versions_at(*from, name);
    if (held.empty()) throw Error(ErrorCode::kNotFound, from->id() + ": it has no version of '" + display_key(name) + "' to copy");
    const ArtifactInfo& newest = held.front();
    if (newest.kind == ArtifactKind::kDamaged)
      throw Error(ErrorCode::kDataLoss, from->id() + ": its manifest of " + versioned(newest) + " is damaged");
    const auto there = versions_at(*to, name);
    if (!there.empty() && there.front().version >= newest.version && there.front().kind != ArtifactKind::kDamaged) {
      try {
        read_whole(*to, there.front());
        store.ledger.brought(name, to->id(), there.front().version);
        return false;
      } catch (const Error& error) {
        if (error.code() == ErrorCode::kNotFound) continue;  // superseded just now
        if (error.code() != ErrorCode::kDataLoss || there.front().version != newest.version) throw;
      }
    }
    if (transfer(store, newest, *from, *to, CommitLock::kTake, step) == Transfer::kDone) return true;
  }
}

namespace {

/// Throws unless `keeper` holds a version at least as new as `info`, whole. Looks again when that is superseded meanwhile.
void require_as_new(ArtifactHost& keeper, const ArtifactInfo& info) {
  for (int tries = 0;; ++tries) {
    const auto versions = versions_at(keeper, info.name);
    if (versions.empty() || versions.front().version < info.version)
      throw Error(ErrorCode::kNotFound, keeper.id() + ": it has no version of '" + display_key(info.name) + "' that is as new");
    if (versions.front().kind == ArtifactKind::kDamaged)
      throw Error(ErrorCode::kDataLoss, keeper.id() + ": its manifest of " + versioned(versions.front()) + " is damaged");
    try {
      read_whole(keeper, versions.front());
      return;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound || tries == 100) throw;
    }
  }
}

}  // namespace

bool drop(ArtifactStore& store, std::string_view name, std::string_view host_id, std::span<const std::string> keepers) {
  const ArtifactSnapshotPtr snapshot = store.membership.pin();
  const HostPtr host = find_host(*snapshot, host_id);
  for (const HostPtr& owner : snapshot->owners(name)) {
    if (owner != host) continue;
    throw Error(ErrorCode::kFailedPrecondition, host->id() + ": it owns '" + display_key(name) + "' and must not drop it");
  }
  const auto held = versions_at(*host, name);
  if (held.empty()) return true;
  if (keepers.empty()) return false;
  HostList keeping;
  for (const std::string& keeper : keepers) keeping.push_back(find_host(*snapshot, keeper));
  const auto refused = side_by_side(keeping.size(), [&](std::size_t i) { require_as_new(*keeping[i], held.front()); });
  bool vouched = true;
  for (const std::exception_ptr& failure : refused) {
    if (failure == nullptr) continue;
    const HostFailure why = describe(failure);
    if (why.code != ErrorCode::kNotFound && why.code != ErrorCode::kDataLoss) std::rethrow_exception(failure);
    vouched = false;
  }
  if (!vouched) return false;
  // The oldest first: the newest must not go while an older one is left to be taken for it.
  for (auto version = held.rbegin(); version != held.rend(); ++version)
    on_host(*host, [&] { host->remove(name, version->version); });
  return true;
}

bool target_holds_what_is_known(ArtifactStore& store, const ArtifactSnapshot& now) {
  for (const ArtifactMiss& miss : store.ledger.all()) {
    const Version known = store.ledger.known(miss.name).value_or(Version{});
    for (const HostAnswer& answer : ask(now.target(miss.name), miss.name)) {
      if (answer.newest() == nullptr || answer.newest()->version < known || answer.newest()->kind == ArtifactKind::kDamaged)
        return false;
    }
  }
  return true;
}

void bring_what_is_known(ArtifactStore& store) {
  for (const ArtifactMiss& miss : store.ledger.all()) {
    const ArtifactSnapshotPtr snapshot = store.membership.pin();
    const auto answers = ask(snapshot->others({}), miss.name);
    const auto newest = newest_of(answers);
    const bool in_reach =
        newest && newest->kind != ArtifactKind::kDamaged && newest->version >= store.ledger.known(miss.name).value_or(Version{});
    for (const HostPtr& owner : snapshot->target(miss.name)) {
      std::string why = reasons(answers);
      bool holds = false;
      for (const HostAnswer& answer : answers) {
        if (holds || !in_reach || answer.newest() == nullptr || *answer.newest() != *newest) continue;
        try {
          if (answer.host != owner) copy(store, miss.name, answer.host->id(), owner->id(), {});
          holds = true;
        } catch (const Error& error) {
          why += (why.empty() ? "" : "; ") + std::string(error.what());
        }
      }
      if (holds) continue;
      throw Error(ErrorCode::kUnavailable, "the newest version of '" + display_key(miss.name) + "' cannot be brought to host '" +
                                               owner->id() + "': " + (why.empty() ? "no other host holds it" : why));
    }
  }
}

void collect_superseded(ArtifactStore& store, std::string_view name) noexcept {
  try {
    const std::optional<Version> known = store.ledger.known(name);
    const auto answers = ask(store.membership.pin()->owners(name), name);
    const auto newest = newest_of(answers);
    if (!newest || newest->kind == ArtifactKind::kDamaged || known) return;
    for (const HostAnswer& answer : answers) {
      if (!answer.reached() || answer.newest() == nullptr || *answer.newest() != *newest) return;
    }
    side_by_side(answers.size(), [&](std::size_t i) {
      for (auto info = answers[i].versions.rbegin(); info + 1 != answers[i].versions.rend(); ++info)
        answers[i].host->remove(name, info->version);
    });
  } catch (const std::exception&) {  // the put is done; what it left does no harm
  }
}

}  // namespace annulus::internal
