// Private to artifact/: one put or erase, from the first look at the owners to the last commit.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/artifact_store.h"

namespace annulus::internal {

/// ArtifactDistributor::put; `handed_on` is called with the bytes taken so far, and may be empty.
ArtifactPutReport put(ArtifactStore& store, std::string_view name, const ArtifactSource& source,
                      const std::function<void(std::uint64_t bytes)>& handed_on = {});

/// ArtifactDistributor::erase.
ArtifactPutReport erase(ArtifactStore& store, std::string_view name);

}  // namespace annulus::internal
