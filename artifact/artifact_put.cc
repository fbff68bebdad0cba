#include "artifact/artifact_put.h"

#include <algorithm>
#include <mutex>
#include <shared_mutex>

#include "artifact/artifact_transfer.h"
#include "artifact/content_hash.h"
#include "artifact/side_by_side.h"
#include "core/key.h"

namespace annulus::internal {
namespace {

/// A new version on its way to all owners. It goes on as long as one serving owner is left: what only a gaining owner took,
/// no reader would find after an abort.
class NewVersion {
 public:
  NewVersion(ArtifactStore& store, std::string_view name, ArtifactKind kind);

  /// Fills every replica from the source.
  void stream(const ArtifactSource& source, const std::function<void(std::uint64_t)>& handed_on);
  ArtifactPutReport commit();

 private:
  struct Replica {
    HostPtr host;
    std::unique_ptr<ArtifactWriter> writer = {};
    std::string lost = {};  ///< why it takes no part any more; empty: it does
    bool committed = false;
  };

  /// Runs `call` at every replica that takes part, side by side.
  void at_each(const std::function<void(Replica&)>& call);
  /// Strikes out a replica whose host failed. Throws what fails the whole put, a full disk above all.
  void strike(Replica& replica, const std::exception_ptr& failure);
  void require_a_serving_owner() const;
  std::string what_was_lost() const;

  Replica* replica_at(const HostPtr& host) noexcept;
  /// Commits at those of `hosts` that are staged. Returns one that did, null if none.
  HostPtr commit_at(const HostList& hosts);
  void retract();

  ArtifactStore& store_;
  const ArtifactSnapshotPtr begun_;  // whose owners are staged
  ArtifactManifest manifest_;
  std::vector<Replica> replicas_;
};

NewVersion::NewVersion(ArtifactStore& store, std::string_view name, ArtifactKind kind)
    : store_(store), begun_(store.membership.pin()) {
  manifest_.info = {.name = std::string(name), .version = {}, .kind = kind};
  for (HostPtr& host : begun_->owners(name)) replicas_.push_back({.host = std::move(host)});
  // Newer than all that the owners know, whatever the clocks of other processes said.
  at_each([&](Replica& replica) {
    const auto versions = replica.host->versions(name);
    if (!versions.empty()) store_.clock.observe(versions.front().version);
  });
  require_a_serving_owner();
  if (const auto known = store_.ledger.known(name)) store_.clock.observe(*known);
  manifest_.info.version = store_.clock.next();
  at_each([&](Replica& replica) { replica.writer = replica.host->stage(name, manifest_.info.version); });
  require_a_serving_owner();
}

void NewVersion::at_each(const std::function<void(Replica&)>& call) {
  const auto failures = side_by_side(replicas_.size(), [&](std::size_t i) {
    if (replicas_[i].lost.empty()) call(replicas_[i]);
  });
  for (std::size_t i = 0; i < replicas_.size(); ++i) {
    if (failures[i] != nullptr) strike(replicas_[i], failures[i]);
  }
}

void NewVersion::strike(Replica& replica, const std::exception_ptr& failure) {
  const HostFailure what = describe(failure);
  if (what.code != ErrorCode::kUnavailable) throw Error(what.code, replica.host->id() + ": " + what.message);
  if (replica.lost.empty()) replica.lost = what.message;
}

std::string NewVersion::what_was_lost() const {
  std::string all;
  for (const Replica& replica : replicas_) {
    if (!replica.lost.empty()) all += (all.empty() ? "" : "; ") + replica.host->id() + ": " + replica.lost;
  }
  return all.empty() ? "no host is attached" : all;
}

void NewVersion::require_a_serving_owner() const {
  const HostList serving = begun_->serving(manifest_.info.name);
  for (const Replica& replica : replicas_) {
    if (replica.lost.empty() && std::ranges::find(serving, replica.host) != serving.end()) return;
  }
  throw Error(ErrorCode::kUnavailable, "no owner of '" + display_key(manifest_.info.name) + "' takes it: " + what_was_lost());
}

void NewVersion::stream(const ArtifactSource& source, const std::function<void(std::uint64_t)>& handed_on) {
  ArtifactInfo& info = manifest_.info;
  Sha256Hasher hasher;
  std::vector<ChunkPipe::Consumer> consumers;
  for (Replica& replica : replicas_) {
    if (replica.lost.empty()) {
      consumers.emplace_back([&writer = *replica.writer](std::span<const std::byte> chunk) { writer.append(chunk); });
    } else {
      consumers.emplace_back([](std::span<const std::byte>) {});
    }
  }
  consumers.emplace_back([&](std::span<const std::byte> chunk) {
    hasher.update(chunk);
    manifest_.chunks.push_back(hash_chunk(chunk));
  });
  ChunkPipe pipe(std::move(consumers));
  const auto check = [&] {
    for (std::size_t i = 0; i < replicas_.size(); ++i) {
      if (const auto failure = pipe.failure(i)) strike(replicas_[i], failure);
    }
    if (const auto failure = pipe.failure(replicas_.size())) std::rethrow_exception(failure);
    require_a_serving_owner();
  };
  for (;;) {
    const std::span<std::byte> buffer = pipe.buffer();
    const std::size_t got = source(buffer);
    if (got > buffer.size()) {
      throw Error(ErrorCode::kInvalidArgument, "the source of '" + display_key(info.name) + "' says that it filled " +
                                                   std::to_string(got) + " bytes of " + std::to_string(buffer.size()));
    }
    if (got > 0) pipe.push(got);
    info.bytes += got;
    check();
    if (handed_on) handed_on(info.bytes);
    if (got < buffer.size()) break;
  }
  pipe.finish();
  check();
  info.sha256 = hasher.finish();
}

NewVersion::Replica* NewVersion::replica_at(const HostPtr& host) noexcept {
  const auto found = std::ranges::find_if(replicas_, [&](const Replica& replica) { return replica.host == host; });
  return found == replicas_.end() ? nullptr : &*found;
}

HostPtr NewVersion::commit_at(const HostList& hosts) {
  std::vector<Replica*> staged;
  for (const HostPtr& host : hosts) {
    Replica* replica = replica_at(host);
    if (replica != nullptr && replica->lost.empty() && !replica->committed) staged.push_back(replica);
  }
  const auto failures = side_by_side(staged.size(), [&](std::size_t i) { staged[i]->writer->commit(); });
  HostPtr one;
  for (std::size_t i = 0; i < staged.size(); ++i) {
    staged[i]->committed = failures[i] == nullptr;
    if (failures[i] != nullptr) staged[i]->lost = describe(failures[i]).message;
    if (staged[i]->committed && one == nullptr) one = staged[i]->host;
  }
  return one;
}

/// The put has failed: nobody must find the version where it was committed, or where a commit's answer was lost.
void NewVersion::retract() {
  for (Replica& replica : replicas_) {
    try {
      replica.host->remove(manifest_.info.name, manifest_.info.version);
    } catch (const std::exception&) {
    }
  }
}

ArtifactPutReport NewVersion::commit() {
  const ArtifactInfo& info = manifest_.info;
  at_each([&](Replica& replica) { replica.writer->seal(manifest_); });
  require_a_serving_owner();
  ArtifactPutReport report{.info = info, .replicas = {}, .missed = {}};
  {
    // From here to the end nothing of a resize is published, and what it published before is seen.
    std::shared_lock commits(store_.membership.commits());
    const ArtifactSnapshotPtr now = store_.membership.pin();
    const HostList serving = now->serving(info.name);
    const HostList owners = now->owners(info.name);
    HostPtr source = commit_at(serving);
    // A whole resize may have passed since the staging, so that no staged host serves any more: then by way of one of them.
    if (source == nullptr) {
      HostList staged;
      for (const Replica& replica : replicas_) {
        if (std::ranges::find(serving, replica.host) == serving.end()) staged.push_back(replica.host);
      }
      source = commit_at(staged);
    } else {
      commit_at(owners);
    }
    bool served = false;
    std::vector<std::string> missed;
    for (const HostPtr& owner : owners) {
      const Replica* replica = replica_at(owner);
      std::string lost = replica == nullptr ? "" : replica->lost;
      if (replica == nullptr && source != nullptr) {  // an owner since the staging
        try {
          transfer(store_, info, *source, *owner, CommitLock::kHeldByCaller);
        } catch (const Error& error) {
          lost = error.what();
        }
      } else if (source == nullptr && lost.empty()) {
        lost = "nothing was committed";
      }
      if (lost.empty()) {
        report.replicas.push_back(owner->id());
        served = served || std::ranges::find(serving, owner) != serving.end();
      } else {
        report.missed.push_back({owner->id(), lost});
        missed.push_back(owner->id());
      }
    }
    if (!served) {
      retract();
      throw Error(ErrorCode::kUnavailable, "no owner of '" + display_key(info.name) + "' commits it: " + what_was_lost());
    }
    for (Replica& replica : replicas_) {
      if (!replica.committed || std::ranges::find(owners, replica.host) != owners.end()) continue;
      try {
        replica.host->remove(info.name, info.version);
      } catch (const std::exception&) {  // a stranger is left, for repair
      }
    }
    store_.ledger.committed(info.name, info.version, missed);
  }
  if (report.missed.empty()) collect_superseded(store_, info.name);
  return report;
}

}  // namespace

ArtifactPutReport put(ArtifactStore& store, std::string_view name, const ArtifactSource& source,
                      const std::function<void(std::uint64_t bytes)>& handed_on) {
  validate_artifact_name(name);
  store.membership.start_running();
  NewVersion version(store, name, ArtifactKind::kBlob);
  version.stream(source, handed_on);
  return version.commit();
}

ArtifactPutReport erase(ArtifactStore& store, std::string_view name) {
  validate_artifact_name(name);
  store.membership.start_running();
  const ArtifactSnapshotPtr snapshot = store.membership.pin();
  const auto answers = ask(snapshot->others({}), name);
  const bool unknown =
      std::ranges::all_of(answers, [](const HostAnswer& answer) { return answer.reached() && answer.newest() == nullptr; });
  if (unknown && !answers.empty())
    return {.info = {.name = std::string(name), .version = {}, .kind = ArtifactKind::kErased}, .replicas = {}, .missed = {}};
  return NewVersion(store, name, ArtifactKind::kErased).commit();
}

}  // namespace annulus::internal
