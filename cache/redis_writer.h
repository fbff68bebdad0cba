// Writes of RedisCacheNode: by a script that takes only what is newer, in the generation that holds.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/cache_node.h"
#include "cache/redis_cache_options.h"
#include "cache/redis_connection.h"
#include "cache/redis_format.h"
#include "cache/redis_generation.h"
#include "cache/redis_sweep.h"
#include "cache/redis_trips.h"

namespace annulus {

/// Thread-safe.
class RedisWriter {
 public:
  RedisWriter(const RedisCacheOptions& options, const RedisNames& names, RedisGeneration& generation, RedisSweep& sweep)
      : options_(options), names_(names), generation_(generation), sweep_(sweep) {}

  /// Learns the name by which servers know the script, so that it need not be sent with each write. Does nothing the next time:
  /// a server that does not know it is told by the first write.
  void load_script(RedisConnection& connection);

  /// Writes, and sets outcomes[i] of writes[i]. A write follows the generation where it changes, unless it may only be made in one
  /// that has ended: it is superseded, and all that was older than it is gone.
  void write(RedisConnection& connection, std::span<const CacheWrite> writes, std::vector<CacheOutcome>& outcomes,
             std::optional<std::uint64_t> only_in);

 private:
  struct Mode {
    bool as_erase = false;   ///< puts leave nothing but their version
    bool by_source = false;  ///< the server forgot the script
  };

  void write_trip(RedisConnection& connection, std::span<const CacheWrite> writes, RedisTrip trip,
                  std::vector<CacheOutcome>& outcomes, std::optional<std::uint64_t> only_in);
  void append(RedisConnection& connection, const RedisGenerationState& state, std::span<const CacheWrite> writes,
              const RedisPart& part, const Mode& mode) const;
  std::string script_name() const;

  const RedisCacheOptions& options_;
  const RedisNames& names_;
  RedisGeneration& generation_;
  RedisSweep& sweep_;
  mutable std::mutex mutex_;
  std::string script_name_;
};

}  // namespace annulus
