#include "artifact/artifact_check.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <shared_mutex>

#include "artifact/artifact_manifest.h"
#include "artifact/artifact_transfer.h"
#include "artifact/side_by_side.h"
#include "core/key.h"

namespace annulus::internal {
namespace {

/// What was found of one name.
struct NameState {
  std::vector<HostAnswer> answers;  // of all hosts, sorted by id
  std::optional<ArtifactInfo> newest;
  std::vector<HostPtr> whole;  // hold the newest version, read to its end
  std::vector<HostPtr> bad;    // owners that do not: it is missing or damaged there
  bool all_reached = true;
};

class Check {
 public:
  Check(ArtifactStore& store, CheckMode mode, const ArtifactProgress& progress)
      : store_(store), mode_(mode), progress_(progress), snapshot_(store.membership.pin()), hosts_(snapshot_->others({})) {}

  ArtifactCheckReport run();

 private:
  std::set<std::string> names();
  void check(const std::string& name);
  NameState look_at(const std::string& name);
  bool read_at(const HostAnswer& answer, bool owner, NameState& state);
  void count_spare(const HostAnswer& answer, const NameState& state, const std::string& name);

  bool heal(const std::string& name, const NameState& state);
  void remove_spare(const std::string& name, const NameState& state);
  void forget_erased(const std::string& name);
  void collect_garbage();

  void finding(const std::string& name, const HostPtr& host, std::string what) {
    report_.findings.push_back({name, host->id(), std::move(what)});
  }
  void problem(const std::string& host, std::string message) { report_.problems.push_back({host, std::move(message)}); }
  /// Runs a call that changes a host; what it throws is a problem.
  bool try_at(const HostPtr& host, const std::string& name, const std::function<void()>& call);
  void advance(std::uint64_t bytes) {
    report_.bytes += bytes;
    if (progress_) progress_(report_.bytes, std::max(report_.bytes, total_));
  }

  ArtifactStore& store_;
  const CheckMode mode_;
  const ArtifactProgress& progress_;
  const ArtifactSnapshotPtr snapshot_;
  const HostList hosts_;
  ArtifactCheckReport report_;
  std::uint64_t total_ = 0;
  std::set<std::string> silent_;     // hosts that did not list, and are not asked to change anything
  std::vector<std::string> erased_;  // whose erase every owner holds
};

bool Check::try_at(const HostPtr& host, const std::string& name, const std::function<void()>& call) {
  try {
    call();
    return true;
  } catch (const std::exception&) {
    problem(host->id(), (name.empty() ? "" : "'" + display_key(name) + "': ") + describe(std::current_exception()).message);
    return false;
  }
}

std::set<std::string> Check::names() {
  std::vector<std::vector<ArtifactInfo>> lists(hosts_.size());
  const auto failures = side_by_side(hosts_.size(), [&](std::size_t i) { lists[i] = hosts_[i]->list(); });
  std::map<std::string, ArtifactInfo> newest;
  std::set<std::string> names;
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    if (failures[i] != nullptr) {
      problem(hosts_[i]->id(), describe(failures[i]).message);
      silent_.insert(hosts_[i]->id());
    }
    for (const ArtifactInfo& info : lists[i]) {
      names.insert(info.name);
      const auto [known, first] = newest.try_emplace(info.name, info);
      if (!first && info.version > known->second.version) known->second = info;
    }
  }
  for (const auto& list : lists) {
    for (const ArtifactInfo& info : list) {
      if (info.version == newest.at(info.name).version) total_ += info.bytes;
    }
  }
  for (const ArtifactMiss& miss : store_.ledger.all()) names.insert(miss.name);
  return names;
}

/// False if the version has gone meanwhile: then a newer one is there.
bool Check::read_at(const HostAnswer& answer, bool owner, NameState& state) {
  const ArtifactInfo& newest = *state.newest;
  const ArtifactInfo* held = answer.find(newest.version);
  std::string what;
  if (held == nullptr) {
    if (!owner) return true;
    ++report_.missing;
    what = answer.newest() == nullptr ? "it is missing" : "the newest version is missing";
  } else {
    try {
      if (held->kind == ArtifactKind::kDamaged) throw Error(ErrorCode::kDataLoss, "its manifest is damaged");
      read_whole(*answer.host, newest, [&](std::uint64_t bytes) { advance(bytes); });
      state.whole.push_back(answer.host);
      if (owner) ++report_.replicas;
      return true;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kNotFound) return false;
      what = error.what();
      const std::string id = answer.host->id() + ": ";  // stands beside it
      if (what.starts_with(id)) what.erase(0, id.size());
      if (error.code() != ErrorCode::kDataLoss) {
        problem(answer.host->id(), "'" + display_key(newest.name) + "': " + what);
        state.all_reached = false;
        return true;
      }
      ++report_.damaged;
    }
  }
  finding(newest.name, answer.host, what);
  if (owner) state.bad.push_back(answer.host);
  return true;
}

void Check::count_spare(const HostAnswer& answer, const NameState& state, const std::string& name) {
  if (!snapshot_->has_a_claim(answer.host->id(), name)) {
    report_.strangers += answer.versions.size();
    if (!answer.versions.empty()) finding(name, answer.host, "it does not belong here");
    return;
  }
  report_.superseded += static_cast<std::uint64_t>(
      std::ranges::count_if(answer.versions, [&](const ArtifactInfo& info) { return info.version < state.newest->version; }));
}

NameState Check::look_at(const std::string& name) {
  for (;;) {
    const ArtifactCheckReport before = report_;
    const std::optional<Version> known = store_.ledger.known(name);
    NameState state{.answers = ask(hosts_, name), .newest = {}, .whole = {}, .bad = {}};
    state.newest = newest_of(state.answers);
    const HostList owners = snapshot_->serving(name);
    bool gone = false;
    for (const HostAnswer& answer : state.answers) {
      const bool owner = std::ranges::find(owners, answer.host) != owners.end();
      if (!answer.reached()) {
        state.all_reached = false;
        if (!silent_.contains(answer.host->id()))
          problem(answer.host->id(), "'" + display_key(name) + "': " + answer.failure->message);
      } else if (state.newest) {
        gone = gone || !read_at(answer, owner, state);
        count_spare(answer, state, name);
      }
    }
    if (gone) {
      report_ = before;
      continue;
    }
    if (known && (!state.newest || state.newest->version < *known)) {
      problem("", "'" + display_key(name) + "': its newest version, " + to_digits(*known) + ", is at no host in reach");
      state.all_reached = false;
    }
    return state;
  }
}

void Check::check(const std::string& name) {
  const NameState state = look_at(name);
  if (!state.newest) return;
  const bool blob = state.newest->kind != ArtifactKind::kErased;
  if (blob) ++report_.artifacts;
  if (state.whole.empty()) {
    if (blob && state.all_reached) ++report_.lost;
    if (blob && !state.all_reached) problem("", "'" + display_key(name) + "' has no whole replica in reach");
    return;
  }
  if (mode_ == CheckMode::kVerify || !heal(name, state) || !state.all_reached) return;
  remove_spare(name, state);
  if (!blob) erased_.push_back(name);
}

bool Check::heal(const std::string& name, const NameState& state) {
  bool all = true;
  for (const HostPtr& host : state.bad) {
    bool done = false;
    try_at(host, name, [&] {
      done = transfer(store_, *state.newest, *state.whole.front(), *host, CommitLock::kTake) == Transfer::kDone;
      if (done) ++report_.healed;
    });
    all = all && done;
  }
  for (const HostPtr& host : state.whole) store_.ledger.brought(name, host->id(), state.newest->version);
  return all;
}

/// Every owner holds the newest version, whole: the others' copies and older versions go.
void Check::remove_spare(const std::string& name, const NameState& state) {
  // The placement stays as it is meanwhile: who is a stranger now would be given a copy by a resize.
  std::shared_lock commits(store_.membership.commits());
  if (store_.membership.pin()->placement.epoch != snapshot_->placement.epoch) return;
  for (const HostAnswer& answer : state.answers) {
    const bool claim = snapshot_->has_a_claim(answer.host->id(), name);
    for (auto info = answer.versions.rbegin(); info != answer.versions.rend(); ++info) {
      if (claim && info->version >= state.newest->version) continue;
      try_at(answer.host, name, [&] {
        answer.host->remove(name, info->version);
        ++report_.removed;
      });
    }
  }
}

/// An erase that has nothing left to hide.
void Check::forget_erased(const std::string& name) {
  std::lock_guard commits(store_.membership.commits());
  if (store_.membership.pin()->placement.epoch != snapshot_->placement.epoch) return;
  const auto answers = ask(hosts_, name);
  std::optional<Version> erase;
  for (const HostAnswer& answer : answers) {
    if (!answer.reached()) return;
    for (const ArtifactInfo& info : answer.versions) {
      if (info.kind != ArtifactKind::kErased || info.version != erase.value_or(info.version)) return;
      erase = info.version;
    }
  }
  for (const HostAnswer& answer : answers) {
    if (answer.versions.empty()) continue;
    const bool gone = try_at(answer.host, name, [&] { answer.host->remove(name, *erase); });
    if (!gone) return;
    ++report_.removed;
  }
  store_.ledger.forget(name);
}

void Check::collect_garbage() {
  for (const HostPtr& host : hosts_) {
    if (silent_.contains(host->id())) continue;
    try_at(host, "", [&] { report_.removed += host->collect_garbage(); });
  }
}

ArtifactCheckReport Check::run() {
  const std::set<std::string> all = names();
  if (progress_) progress_(0, total_);
  for (const std::string& name : all) check(name);
  if (mode_ == CheckMode::kRepair) {
    const bool quiet = silent_.empty() && store_.membership.stage() == ResizeStage::kNone;
    for (const std::string& name : erased_) {
      if (quiet) forget_erased(name);
    }
    collect_garbage();
  }
  return std::move(report_);
}

}  // namespace

ArtifactCheckReport check(ArtifactStore& store, CheckMode mode, const ArtifactProgress& progress) {
  store.membership.start_running();
  return Check(store, mode, progress).run();
}

}  // namespace annulus::internal
