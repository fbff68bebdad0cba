// Private to artifact/: which version of a name is the newest, and how it is read and healed.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "artifact/artifact_store.h"

namespace annulus::internal {

/// The newest version that hosts in reach have committed, erases included, and what each said.
struct Resolution {
  std::optional<ArtifactInfo> newest;
  std::vector<HostAnswer> answers;  ///< the owners first, the primary at their head; then, if none of them has any, the others
  std::size_t owners = 0;
};

/// Throws Error(kUnavailable) if the newest version may be out of reach: no owner answers, or none has a version and one does not
/// answer, or none has one that is known to have been committed.
Resolution resolve(ArtifactStore& store, std::string_view name);

/// The newest version, nothing if there is none or it is an erase. Throws as resolve; Error(kDataLoss) if its manifests are
/// damaged.
std::optional<ArtifactInfo> find(ArtifactStore& store, std::string_view name);

/// ArtifactDistributor::get. `begin` is called when the version is open, before its first byte; it may be empty.
ArtifactGetReport get(ArtifactStore& store, std::string_view name, const std::function<void(const ArtifactInfo&)>& begin,
                      const ArtifactSink& sink);

/// ArtifactDistributor::list.
std::vector<ArtifactInfo> list(ArtifactStore& store, std::string_view prefix, std::vector<ArtifactHostError>* problems);

}  // namespace annulus::internal
