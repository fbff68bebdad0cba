// How fast artifacts are put and got, beside cp and sha256sum.
#pragma once

#include <cstddef>
#include <filesystem>

#include "bench/context.h"

namespace annulus::bench {

struct ArtifactBenchOptions {
  std::size_t mib = 1024;        ///< of the blob, at least 1
  std::size_t replicas = 1;      ///< at least 1, each on a host of its own in one folder
  std::size_t repetitions = 5;   ///< at least 1; every method runs once in each, so that they share good and bad times
  std::filesystem::path folder;  ///< where all files are made, and removed again; empty: the system's for temporary files
};

/// One row a method, in the order of bench/README.md. Medians over the repetitions, with the least and the greatest. Each method
/// runs in a process of its own, whose peak memory its row names.
/// Throws Error(kInvalidArgument) for options out of range; Error(kInternal) if cp or sha256sum fails or a content differs;
/// what ArtifactDistributor throws (a full disk).
Json artifact_bench(const ArtifactBenchOptions& options);

}  // namespace annulus::bench
