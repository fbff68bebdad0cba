// Which generation of a node's entries holds: agreed upon by all who use the server, through a record kept there.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "cache/redis_connection.h"
#include "cache/redis_format.h"

namespace annulus {

/// Whose entries are read and written, as a node believes. Immutable.
struct RedisGenerationState {
  std::string record;        ///< as it must stand in Redis: every read and write asks for it
  std::uint64_t number = 0;  ///< part of the entries' names
  std::string entries;       ///< names of entries begin with this
};
using RedisGenerationPtr = std::shared_ptr<const RedisGenerationState>;

/// The record names the run of the server in which its generation began. A server of another run was restarted, and may have
/// gone back to a snapshot that holds what was overwritten later: then, as when the record is gone, a new generation begins.
/// Thread-safe.
class RedisGeneration {
 public:
  explicit RedisGeneration(const RedisNames& names) : names_(names) {}

  /// What is believed; null before the first agreement.
  RedisGenerationPtr state() const;

  /// Finds out which generation holds at the server, and begins one if none does.
  RedisGenerationPtr agree(RedisConnection& connection);

  /// Returns a generation that began after the call did.
  RedisGenerationPtr begin_new(RedisConnection& connection);

 private:
  std::optional<std::string> read_record(RedisConnection& connection) const;
  /// Replaces the record `expected` (nothing: none); returns what stands there then, ours or another's.
  std::string replace_record(RedisConnection& connection, const std::optional<std::string>& expected) const;
  std::string next_record(const std::optional<std::string>& last, const std::string& run_id) const;
  RedisGenerationPtr agree_in_turn(RedisConnection& connection);  // with turn_ held
  RedisGenerationPtr adopt(const std::string& record, std::uint64_t number);

  const RedisNames& names_;
  std::mutex turn_;  // records are read and believed one after the other, so that no older one is believed later
  mutable std::mutex mutex_;
  RedisGenerationPtr state_;
};

}  // namespace annulus
