// Private to artifact/: which hosts missed which commits, as far as this process knows.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/artifact_distributor.h"

namespace annulus::internal {

/// For each name with an owner that missed a commit: the version, and who missed it. A read that finds only older versions has
/// not found the newest. Thread-safe.
class CommitLedger {
 public:
  /// `version` was committed, and `missed` do not hold it.
  void committed(std::string_view name, Version version, const std::vector<std::string>& missed);
  /// `host` holds `version` of `name`, verified.
  void brought(std::string_view name, std::string_view host, Version version);
  /// Nothing of the name is left anywhere.
  void forget(std::string_view name);

  /// A version that was committed and that some owner missed; every newest version is at least this one.
  std::optional<Version> known(std::string_view name) const;
  std::vector<ArtifactMiss> all() const;

 private:
  struct Entry {
    Version version;
    std::set<std::string, std::less<>> missed;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace annulus::internal
