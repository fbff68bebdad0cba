#include "artifact/commit_ledger.h"

namespace annulus::internal {

void CommitLedger::committed(std::string_view name, Version version, const std::vector<std::string>& missed) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found != entries_.end() && version < found->second.version) return;  // one that is newer was committed meanwhile
  if (missed.empty()) {
    if (found != entries_.end()) entries_.erase(found);
    return;
  }
  entries_.insert_or_assign(std::string(name), Entry{version, {missed.begin(), missed.end()}});
}

void CommitLedger::brought(std::string_view name, std::string_view host, Version version) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end() || version < found->second.version) return;
  const auto missing = found->second.missed.find(host);
  if (missing != found->second.missed.end()) found->second.missed.erase(missing);
  if (found->second.missed.empty()) entries_.erase(found);
}

void CommitLedger::forget(std::string_view name) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found != entries_.end()) entries_.erase(found);
}

std::optional<Version> CommitLedger::known(std::string_view name) const {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  return found == entries_.end() ? std::nullopt : std::optional(found->second.version);
}

std::vector<ArtifactMiss> CommitLedger::all() const {
  std::lock_guard lock(mutex_);
  std::vector<ArtifactMiss> all;
  for (const auto& [name, entry] : entries_) {
    for (const std::string& host : entry.missed) all.push_back({name, host});
  }
  return all;
}

}  // namespace annulus::internal
