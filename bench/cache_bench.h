// How fast the in-memory cache node is, beside a plain LRU, and what routing costs.
#pragma once

#include <cstddef>
#include <vector>

#include "bench/context.h"

namespace annulus::bench {

struct CacheBenchOptions {
  std::size_t items = 100'000;                ///< entries in a cache, at least 1000; nine in ten keys asked for are among them
  std::size_t value_bytes = 256;              ///< of each, 1 to 2^20
  std::vector<std::size_t> threads = {1, 2};  ///< at least one, each 1 to 256
  std::size_t operations = 200'000;           ///< of each thread in a repetition, at least 1
  std::size_t nodes = 16;                     ///< of the routed cache, at least 1
  std::size_t repetitions = 9;                ///< at least 1; every method runs once in each, so that they share good and bad times
  bool redis = true;                          ///< also the rows of redis_cache_bench.h
};

/// One row a method, in the order of bench/README.md. Medians over the repetitions, with the least and the greatest.
/// Throws Error(kInvalidArgument) for options out of range; Error(kInternal) if a cache gives a wrong value.
Json cache_bench(const CacheBenchOptions& options);

}  // namespace annulus::bench
