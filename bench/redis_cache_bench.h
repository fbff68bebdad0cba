// What batches save RedisCacheNode, against a server of the benchmark's own.
#pragma once

#include <cstddef>

#include "bench/context.h"

namespace annulus::bench {

struct RedisCacheBenchOptions {
  std::size_t keys = 4096;  ///< at least 1
  std::size_t value_bytes = 256;
  std::size_t batch = 256;      ///< keys in a call, at least 1
  std::size_t repetitions = 7;  ///< at least 1; every method runs once in each
};

/// A row for each of `redis_put`, `redis_put_batch`, `redis_get`, `redis_get_batch`: every key put or got once in a repetition, one
/// by one or in batches, on one thread. One row with a `note` instead where there is no redis-server, or no support for it.
/// Throws Error(kInvalidArgument) for options out of range, Error(kInternal) if a value comes back wrong.
Json redis_cache_rows(const RedisCacheBenchOptions& options = {});

}  // namespace annulus::bench
