// Private to artifact/: what the operations on a store share, and how they ask its hosts.
#pragma once

#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/artifact_membership.h"
#include "artifact/commit_ledger.h"
#include "core/error.h"
#include "core/version.h"

namespace annulus::internal {

struct ArtifactStore {
  explicit ArtifactStore(const ArtifactDistributorOptions& options)
      : membership(options.ring, options.replicas), clock(options.writer) {}

  ArtifactMembership membership;
  VersionClock clock;
  CommitLedger ledger;
};

/// What a host that threw said.
struct HostFailure {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

HostFailure describe(const std::exception_ptr& failure);

/// Runs a call to a host; what it throws comes out as an Error whose message begins with the host's id.
template <class Call>
auto on_host(const ArtifactHost& host, Call&& call) {
  try {
    return call();
  } catch (...) {
    const HostFailure failure = describe(std::current_exception());
    throw Error(failure.code, host.id() + ": " + failure.message);
  }
}

/// The versions that a host holds of a name, newest first, or why it does not say.
struct HostAnswer {
  HostPtr host;
  std::vector<ArtifactInfo> versions;
  std::optional<HostFailure> failure;

  bool reached() const noexcept { return !failure; }
  const ArtifactInfo* newest() const noexcept { return versions.empty() ? nullptr : &versions.front(); }
  const ArtifactInfo* find(Version version) const noexcept;
};

/// Asks hosts side by side; answers[i] is that of hosts[i].
std::vector<HostAnswer> ask(const HostList& hosts, std::string_view name);

/// The newest version that any of them holds: of two replicas of it, one that is not damaged.
std::optional<ArtifactInfo> newest_of(std::span<const HostAnswer> answers);

/// "a: why; b: why" of those that could not be reached.
std::string reasons(std::span<const HostAnswer> answers);

}  // namespace annulus::internal
