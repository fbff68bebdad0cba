#include "artifact/artifact_get.h"

#include <algorithm>
#include <map>

#include "artifact/artifact_manifest.h"
#include "artifact/artifact_transfer.h"
#include "artifact/content_hash.h"
#include "artifact/side_by_side.h"
#include "core/key.h"

namespace annulus::internal {
namespace {

std::string in_quotes(std::string_view name) { return "'" + display_key(name) + "'"; }

/// Reads one version, from replica to replica.
class VersionRead {
 public:
  VersionRead(ArtifactStore& store, Resolution found, const std::function<void(const ArtifactInfo&)>& begin,
              const ArtifactSink& sink);

  /// False if the version has gone, and nothing of it was handed to the sink.
  bool stream();
  /// Replaces what owners miss; what they hold that is damaged or old.
  ArtifactGetReport heal();

 private:
  struct Replica {
    HostPtr host;
    bool owner = false;
    std::optional<HostFailure> failure = {};  ///< why it was not read to the end
  };

  /// Hands on what this replica gives, from chunk next_ on. Returns whether that was all.
  bool read_from(Replica& replica, ChunkPipe& pipe);
  [[noreturn]] void throw_unread() const;
  void heal(const HostAnswer& owner, ArtifactGetReport& report);

  ArtifactStore& store_;
  Resolution found_;
  const ArtifactInfo info_;
  const std::function<void(const ArtifactInfo&)>& begin_;
  const ArtifactSink& sink_;
  std::vector<Replica> replicas_;
  std::optional<ArtifactManifest> manifest_;
  std::size_t next_ = 0;
  HostPtr good_;
};

VersionRead::VersionRead(ArtifactStore& store, Resolution found, const std::function<void(const ArtifactInfo&)>& begin,
                         const ArtifactSink& sink)
    : store_(store), found_(std::move(found)), info_(*found_.newest), begin_(begin), sink_(sink) {
  for (std::size_t i = 0; i < found_.answers.size(); ++i) {
    const HostAnswer& answer = found_.answers[i];
    const ArtifactInfo* held = answer.find(info_.version);
    if (held == nullptr) continue;
    replicas_.push_back({.host = answer.host, .owner = i < found_.owners});
    if (held->kind == ArtifactKind::kDamaged)
      replicas_.back().failure = HostFailure{ErrorCode::kDataLoss, "its manifest is damaged"};
  }
}

bool VersionRead::read_from(Replica& replica, ChunkPipe& pipe) {
  // Only the host's own failures lead to the next replica: the sink's pass.
  const auto from_host = [&](auto&& call) {
    try {
      call();
      return true;
    } catch (...) {
      replica.failure = describe(std::current_exception());
      return false;
    }
  };
  std::unique_ptr<ArtifactReader> reader;
  if (!from_host([&] { reader = replica.host->open(info_.name, info_.version); })) return false;
  if (!manifest_) {
    manifest_ = reader->manifest();
    if (begin_) begin_(manifest_->info);
  } else if (reader->manifest() != *manifest_) {
    replica.failure = HostFailure{ErrorCode::kDataLoss, "its manifest is not that of the other replicas"};
    return false;
  }
  while (next_ < manifest_->chunks.size()) {
    const std::span<std::byte> buffer = pipe.buffer();
    std::span<const std::byte> chunk;
    if (!from_host([&] { chunk = reader->read_chunk(next_, buffer); })) return false;
    pipe.push(chunk.size());  // hashed while the sink takes it
    ++next_;
    sink_(chunk);
  }
  return true;
}

bool VersionRead::stream() {
  Sha256Hasher hasher;
  ChunkPipe pipe({[&](std::span<const std::byte> chunk) { hasher.update(chunk); }});
  for (Replica& replica : replicas_) {
    if (!replica.failure && read_from(replica, pipe)) {
      good_ = replica.host;
      break;
    }
  }
  const bool gone = std::ranges::any_of(
      replicas_, [](const Replica& replica) { return replica.failure && replica.failure->code == ErrorCode::kNotFound; });
  if (good_ == nullptr && gone && next_ == 0) return false;
  if (good_ == nullptr) throw_unread();
  pipe.finish();
  if (const auto failure = pipe.failure(0)) std::rethrow_exception(failure);
  if (hasher.finish() != manifest_->info.sha256) {
    throw Error(ErrorCode::kDataLoss, in_quotes(info_.name) + " as host '" + good_->id() +
                                          "' gave it is not the content of its hash " + to_hex(info_.sha256) + "; put it again");
  }
  return true;
}

void VersionRead::throw_unread() const {
  // A host that may come back with a whole replica: then nothing is lost.
  bool retry = false;
  std::string why;
  for (const Replica& replica : replicas_) {
    retry = retry || replica.failure->code != ErrorCode::kDataLoss;
    why += (why.empty() ? "" : "; ") + replica.host->id() + ": " + replica.failure->message;
  }
  for (const HostAnswer& answer : found_.answers) {
    if (answer.reached()) continue;
    retry = true;
    why += "; " + answer.host->id() + ": " + answer.failure->message;
  }
  throw Error(retry ? ErrorCode::kUnavailable : ErrorCode::kDataLoss,
              (retry ? "no replica of " + in_quotes(info_.name) + " in reach can be read to its end: "
                     : "no whole replica of " + in_quotes(info_.name) + " is left: ") +
                  why);
}

void VersionRead::heal(const HostAnswer& owner, ArtifactGetReport& report) {
  const auto problem = [&](const std::string& message) { report.problems.push_back({owner.host->id(), message}); };
  if (!owner.reached()) return problem(owner.failure->message);
  const auto read = std::ranges::find_if(replicas_, [&](const Replica& replica) { return replica.host == owner.host; });
  const bool failed = read != replicas_.end() && read->failure;
  if (read != replicas_.end() && !failed) return;
  if (failed && read->failure->code != ErrorCode::kDataLoss && read->failure->code != ErrorCode::kNotFound)
    return problem(read->failure->message);
  try {
    // What it lacked may have been on its way.
    const auto now = owner.host->versions(info_.name);
    const bool damaged = failed && read->failure->code == ErrorCode::kDataLoss;
    if (!now.empty() && (now.front().version > info_.version || (now.front() == manifest_->info && !damaged))) return;
    if (transfer(store_, manifest_->info, *good_, *owner.host, CommitLock::kTake) == Transfer::kDone)
      report.healed.push_back(owner.host->id());
  } catch (const std::exception&) {
    problem(describe(std::current_exception()).message + (failed ? "; found: " + read->failure->message : ""));
  }
}

ArtifactGetReport VersionRead::heal() {
  ArtifactGetReport report{.info = manifest_->info, .host = good_->id(), .healed = {}, .problems = {}};
  for (std::size_t i = 0; i < found_.owners; ++i) heal(found_.answers[i], report);
  return report;
}

}  // namespace

Resolution resolve(ArtifactStore& store, std::string_view name) {
  validate_artifact_name(name);
  store.membership.start_running();
  const ArtifactSnapshotPtr snapshot = store.membership.pin();
  const std::optional<Version> known = store.ledger.known(name);  // before the hosts are asked: what they say is no older
  const HostList owners = snapshot->serving(name);
  Resolution found{.newest = {}, .answers = ask(owners, name), .owners = owners.size()};
  const auto throw_unavailable = [&](const std::string& what) {
    const std::string why = reasons(found.answers);
    throw Error(ErrorCode::kUnavailable, what + (why.empty() ? "" : ": " + why));
  };
  if (owners.empty()) throw_unavailable("no host is attached that could hold " + in_quotes(name));
  const bool all_silent = std::ranges::none_of(found.answers, &HostAnswer::reached);
  const bool all_answer = std::ranges::all_of(found.answers, &HostAnswer::reached);
  if (all_silent) throw_unavailable("no owner of " + in_quotes(name) + " answers");
  found.newest = newest_of(found.answers);
  if (!found.newest) {
    for (HostAnswer& answer : ask(snapshot->others(owners), name)) found.answers.push_back(std::move(answer));
    found.newest = newest_of(found.answers);
  }
  if (known && (!found.newest || found.newest->version < *known)) {
    throw_unavailable("a version of " + in_quotes(name) + " that was stored is at no host in reach (" + to_digits(*known) + ")");
  }
  if (!found.newest && !all_answer) throw_unavailable("nobody in reach has " + in_quotes(name) + ", and an owner does not answer");
  if (found.newest) store.clock.observe(found.newest->version);
  return found;
}

std::optional<ArtifactInfo> find(ArtifactStore& store, std::string_view name) {
  Resolution found = resolve(store, name);
  if (!found.newest || found.newest->kind == ArtifactKind::kErased) return std::nullopt;
  if (found.newest->kind == ArtifactKind::kDamaged)
    throw Error(ErrorCode::kDataLoss, "every manifest of " + in_quotes(name) + " in reach is damaged; put it again");
  return std::move(found.newest);
}

ArtifactGetReport get(ArtifactStore& store, std::string_view name, const std::function<void(const ArtifactInfo&)>& begin,
                      const ArtifactSink& sink) {
  for (;;) {
    Resolution found = resolve(store, name);
    if (!found.newest) throw Error(ErrorCode::kNotFound, "there is no artifact " + in_quotes(name));
    if (found.newest->kind == ArtifactKind::kErased)
      throw Error(ErrorCode::kNotFound, "the artifact " + in_quotes(name) + " was erased");
    VersionRead read(store, std::move(found), begin, sink);
    if (read.stream()) return read.heal();
    // Superseded between the answers and the opening: a newer one is there.
  }
}

std::vector<ArtifactInfo> list(ArtifactStore& store, std::string_view prefix, std::vector<ArtifactHostError>* problems) {
  store.membership.start_running();
  const ArtifactSnapshotPtr snapshot = store.membership.pin();
  const HostList hosts = snapshot->others({});
  std::vector<std::vector<ArtifactInfo>> lists(hosts.size());
  const auto failures = side_by_side(hosts.size(), [&](std::size_t i) { lists[i] = hosts[i]->list(); });
  std::string why;
  std::size_t silent = 0;
  std::map<std::string, ArtifactInfo> newest;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    if (failures[i] != nullptr) {
      const HostFailure failure = describe(failures[i]);
      if (problems != nullptr) problems->push_back({hosts[i]->id(), failure.message});
      why += (why.empty() ? "" : "; ") + hosts[i]->id() + ": " + failure.message;
      ++silent;
      continue;
    }
    for (ArtifactInfo& info : lists[i]) {
      if (!info.name.starts_with(prefix)) continue;
      const auto [known, first] = newest.try_emplace(info.name, info);
      const bool newer = info.version > known->second.version ||
                         (info.version == known->second.version && known->second.kind == ArtifactKind::kDamaged);
      if (!first && newer) known->second = std::move(info);
    }
  }
  // With fewer silent hosts than replicas every name has an owner that answers.
  const std::size_t replicas = snapshot->placement.serving->table->num_replicas();
  if (silent > 0 && (silent == hosts.size() || (problems == nullptr && silent >= replicas))) {
    throw Error(ErrorCode::kUnavailable, "the list may lack artifacts, because hosts are out of reach: " + why);
  }
  std::vector<ArtifactInfo> listed;
  for (auto& [name, info] : newest) {
    if (info.kind != ArtifactKind::kErased) listed.push_back(std::move(info));
  }
  return listed;
}

}  // namespace annulus::internal
