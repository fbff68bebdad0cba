// How fast the ring is, beside std::lower_bound.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "bench/context.h"

namespace annulus::bench {

struct RingBenchOptions {
  std::size_t nodes = 1000;           ///< at least 1, all of weight 1
  std::uint32_t virtual_nodes = 160;  ///< of each node
  std::size_t replicas = 3;           ///< of the replica lookups, the table and the diff
  std::size_t repetitions = 9;        ///< at least 1; every method runs once in each, so that they share good and bad times
};

/// One row a method, in the order of bench/README.md. Medians over the repetitions, with the least and the greatest.
/// Throws Error(kInvalidArgument) for options out of range; Error(kInternal) if two methods find different owners.
Json ring_bench(const RingBenchOptions& options);

}  // namespace annulus::bench
