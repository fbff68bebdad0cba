// The connections of a node: how many, when another attempt is made, and what happened last.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cache/redis_cache_options.h"
#include "cache/redis_connection.h"

namespace annulus {

/// Thread-safe.
class RedisPool {
 public:
  using Connect = std::function<std::unique_ptr<RedisConnection>()>;

  /// `connect` makes a connection that is ready for use; called without a lock.
  RedisPool(const RedisCacheOptions& options, Connect connect) : options_(options), connect_(std::move(connect)) {
    idle_.reserve(options.max_connections);
  }

  /// Runs `body` with a connection that no other thread uses, and returns what it returns. A connection that had been used
  /// before may turn out to have ended: then all are closed, and `body` runs once more with a new one.
  /// Throws what body throws. Error(kUnavailable): the server is out of reach, and has been left alone since, or is now.
  template <class Body>
  auto run(Body body) {
    while (true) {
      Lease lease(*this);
      try {
        return body(*lease.connection);
      } catch (const RedisConnectionError& error) {
        if (lease.used_before && error.ended()) {
          lease.drop_all();
          continue;
        }
        lease.failed(error);
        throw;
      }
    }
  }

  std::uint64_t failures() const;
  std::string last_error() const;

 private:
  struct Lease {
    explicit Lease(RedisPool& p) : pool(p) { pool.take(*this); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { pool.give_back(std::move(connection)); }
    void drop_all();
    void failed(const Error& error);

    RedisPool& pool;
    std::unique_ptr<RedisConnection> connection;
    bool used_before = false;
  };

  void take(Lease& lease);
  void give_back(std::unique_ptr<RedisConnection> connection) noexcept;
  std::chrono::steady_clock::time_point steady_now() const;
  void back_off(const Error& error);  // with mutex_ held

  const RedisCacheOptions& options_;
  const Connect connect_;
  mutable std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<RedisConnection>> idle_;
  std::size_t taken_ = 0;
  std::string run_id_;    // of the newest connection: those of another run are dead, or will be
  bool trying_ = false;   // one thread makes the first connection after a failure
  bool failing_ = false;  // since the last failure no connection was made
  std::chrono::milliseconds backoff_{0};
  std::chrono::steady_clock::time_point next_attempt_{};
  std::uint64_t failures_ = 0;
  std::string last_error_;
};

}  // namespace annulus
