// Private to artifact/: verify and repair.
#pragma once

#include "artifact/artifact_store.h"

namespace annulus::internal {

enum class CheckMode { kVerify, kRepair };

/// ArtifactDistributor::verify and ::repair.
ArtifactCheckReport check(ArtifactStore& store, CheckMode mode, const ArtifactProgress& progress);

}  // namespace annulus::internal
