// What RedisCacheNode writes into Redis: names of keys, and the header before each value. docs/formats/redis_cache.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cache/cache_node.h"

namespace annulus {

/// What stands before the payload of a value.
struct RedisValueHeader {
  static constexpr std::size_t kBytes = 22;

  CacheWriteKind kind = CacheWriteKind::kPut;
  Version version;
  CacheTime expires = kNeverExpires;  ///< whole milliseconds, rounded down
};

void append_header(std::string& bytes, const RedisValueHeader& header);

/// The 8 bytes of a time in a header.
std::string time_bytes(CacheTime time);

/// Nothing if `bytes` do not begin with a header of a format that this program knows.
std::optional<RedisValueHeader> parse_header(std::string_view bytes) noexcept;

/// Milliseconds since 1970, rounded down, at least 0; kNeverExpires is the greatest number.
std::int64_t milliseconds_of(CacheTime time) noexcept;

/// The names of one node's keys. A ':' or '%' in the prefix or the id is percent-encoded, so that no two nodes share a name.
class RedisNames {
 public:
  RedisNames(std::string_view prefix, std::string_view id);

  const std::string& generation() const noexcept { return generation_; }  ///< which generation holds, and since which start
  const std::string& swept() const noexcept { return swept_; }            ///< the generation whose predecessors are all gone
  /// Entries of a generation are named by this and their key.
  std::string entries(std::uint64_t generation) const;
  /// The pattern for SCAN that finds the entries of every generation; of one.
  std::string all_entries() const;
  std::string all_entries(std::uint64_t generation) const;
  /// The generation of an entry by its name; nothing if it is no entry's.
  std::optional<std::uint64_t> generation_of(std::string_view name) const noexcept;

 private:
  std::string entry_stem_;
  std::string generation_;
  std::string swept_;
};

/// The record under RedisNames::generation().
struct RedisGenerationRecord {
  std::uint64_t generation = 0;
  std::string run_id;  ///< of the server when the generation began

  std::string text() const { return std::to_string(generation) + ' ' + run_id; }
  static std::optional<RedisGenerationRecord> parse(std::string_view text);
};

}  // namespace annulus
