// Private to artifact/: versions that go from host to host, and the proof that one is whole.
#pragma once

#include <cstdint>
#include <functional>

#include "artifact/artifact_store.h"

namespace annulus::internal {

/// Called with the bytes of each chunk, from the calling thread.
using ChunkStep = std::function<void(std::uint64_t bytes)>;

/// Reads a version at a host and compares its content with `info`; returns its bytes. Throws, with the host's id first,
/// Error(kDataLoss) if it is not whole, Error(kNotFound) if it is not there.
std::uint64_t read_whole(ArtifactHost& host, const ArtifactInfo& info, const ChunkStep& step = {});

enum class Transfer {
  kDone,        ///< the target holds it, whole
  kSuperseded,  ///< it is not the newest version at its source any more: nothing was brought
};

/// Who holds the lock of commits (ArtifactMembership::commits).
enum class CommitLock { kTake, kHeldByCaller };

/// Brings a version from a host that holds it to another, in place of a damaged one, and reads it there. Throws with the failing
/// host's id first.
Transfer transfer(ArtifactStore& store, const ArtifactInfo& info, ArtifactHost& from, ArtifactHost& to, CommitLock lock,
                  const ChunkStep& step = {});

/// ArtifactDistributor::copy and ::drop.
bool copy(ArtifactStore& store, std::string_view name, std::string_view from, std::string_view to, const ChunkStep& step);
bool drop(ArtifactStore& store, std::string_view name, std::string_view host, std::span<const std::string> keepers);

/// Whether every owner in the target layout holds at least the version that the ledger knows, of each name that an owner missed.
bool target_holds_what_is_known(ArtifactStore& store, const ArtifactSnapshot& now);
/// Brings it to them. Throws Error(kUnavailable) if it cannot be brought to one, or if no host in reach has it.
void bring_what_is_known(ArtifactStore& store);

/// Removes what is older than a version that every owner of the name holds; nothing if one of them misses it or does not answer.
/// What cannot be removed is left for repair.
void collect_superseded(ArtifactStore& store, std::string_view name) noexcept;

}  // namespace annulus::internal
