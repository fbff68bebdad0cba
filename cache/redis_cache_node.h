// A cache node whose entries live in a Redis server.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/cache_node.h"
#include "cache/redis_cache_options.h"

namespace annulus {

/// Keeps entries in one Redis server (4.0 or newer; not a cluster), which other processes, and other nodes of another id or prefix,
/// may use as well. docs/formats/redis_cache.md says what is stored.
///
/// Reads are MGETs and writes a script that takes only what is newer; both ask at the server, in the same instant, whether the
/// generation that they mean still holds. A new one begins with every start of the server (a snapshot may hold what was
/// overwritten later), when its data were flushed, and by invalidate(), of whichever process. What older generations left is
/// removed bit by bit by later calls.
/// A batch is one round trip for each kKeysPerTrip keys or kBytesPerTrip bytes.
/// Versions are remembered as RedisCacheOptions::remembered says, unless the server evicts keys itself: its maxmemory-policy should
/// be noeviction (a full server then rejects writes), or a copy that is under way when what overwrote it is evicted comes back.
/// Expiry is in whole milliseconds, rounded down.
/// A failure is an Error(kUnavailable) that says what to do. It closes all connections, and until the back-off has passed
/// further calls fail at once. Only a connection that had ended while it was idle is replaced without one.
/// Thread-safe. A call waits for at most connect_timeout, and command_timeout for each silence of the server.
class RedisCacheNode final : public CacheNode {
 public:
  static constexpr std::size_t kKeysPerTrip = 512;
  static constexpr std::size_t kBytesPerTrip = std::size_t{4} << 20;  ///< of keys and values sent; one that is longer goes alone

  static constexpr std::uint64_t kUnknownGeneration = 0;

  /// Does not connect: the first call does. Throws Error(kInvalidArgument) for an empty id or bad options.
  RedisCacheNode(std::string id, RedisCacheOptions options);
  ~RedisCacheNode() override;
  RedisCacheNode(const RedisCacheNode&) = delete;
  RedisCacheNode& operator=(const RedisCacheNode&) = delete;

  /// Asks the server whether all is well, for programs that want to know at their start. Throws Error(kUnavailable).
  void check();

  const std::string& id() const noexcept override;
  std::optional<CacheEntry> get(KeyView key) override;
  void get(std::span<const KeyView> keys, std::vector<std::optional<CacheEntry>>& entries) override;
  CacheOutcome write(const CacheWrite& write, std::optional<std::uint64_t> only_in = std::nullopt) override;
  void write(std::span<const CacheWrite> writes, std::vector<CacheOutcome>& outcomes,
             std::optional<std::uint64_t> only_in = std::nullopt) override;
  std::uint64_t forget(std::span<const KeyView> keys) override;
  void scan(CacheCursor& cursor, std::size_t limit, std::vector<std::string>& page) override;
  /// The number in Redis, as last seen. Connects if nothing has yet; kUnknownGeneration while the server has never been in reach:
  /// of writes that carry that nothing but the version is kept, which drops what is older.
  std::uint64_t generation() const noexcept override;
  void invalidate() override;
  bool remote() const noexcept override;
  /// Counts of this object, not of the server; items and bytes are 0.
  CacheNodeStats stats() const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace annulus
