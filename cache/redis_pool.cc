#include "cache/redis_pool.h"

#include <algorithm>

namespace annulus {

std::chrono::steady_clock::time_point RedisPool::steady_now() const {
  return options_.steady_now ? options_.steady_now() : std::chrono::steady_clock::now();
}

std::uint64_t RedisPool::failures() const {
  const std::lock_guard lock(mutex_);
  return failures_;
}

std::string RedisPool::last_error() const {
  const std::lock_guard lock(mutex_);
  return last_error_;
}

void RedisPool::take(Lease& lease) {
  std::unique_lock lock(mutex_);
  if (!failing_) returned_.wait(lock, [&] { return failing_ || taken_ < options_.max_connections; });
  if (failing_ && (trying_ || steady_now() < next_attempt_)) {
    ++failures_;
    throw Error(ErrorCode::kUnavailable, "Redis is left alone for a while after a failure: " + last_error_);
  }
  ++taken_;
  if (!idle_.empty()) {
    lease.connection = std::move(idle_.back());
    idle_.pop_back();
    lease.used_before = true;
    return;
  }
  const bool trial = failing_;
  trying_ = trying_ || trial;
  lock.unlock();
  std::unique_ptr<RedisConnection> connection;
  try {
    connection = connect_();
  } catch (const Error& error) {
    lock.lock();
    --taken_;
    if (trial) trying_ = false;
    back_off(error);
    throw;
  } catch (...) {
    lock.lock();
    --taken_;
    if (trial) trying_ = false;
    returned_.notify_one();
    throw;
  }
  lock.lock();
  if (trial) trying_ = false;
  failing_ = false;
  if (connection->run_id() != run_id_) idle_.clear();
  run_id_ = connection->run_id();
  lease.connection = std::move(connection);
}

void RedisPool::give_back(std::unique_ptr<RedisConnection> connection) noexcept {
  const std::lock_guard lock(mutex_);
  --taken_;
  if (connection && connection->idle() && !failing_ && connection->run_id() == run_id_) {
    backoff_ = std::chrono::milliseconds(0);
    idle_.push_back(std::move(connection));  // there is room: they are never more than max_connections
  }
  returned_.notify_one();
}

void RedisPool::back_off(const Error& error) {
  ++failures_;
  last_error_ = error.what();
  idle_.clear();
  const auto now = steady_now();
  if (!failing_ || now >= next_attempt_) {  // else another thread met the same failure
    backoff_ = std::clamp(backoff_ * 2, options_.backoff_min, options_.backoff_max);
    next_attempt_ = now + backoff_;
  }
  failing_ = true;
  returned_.notify_all();
}

void RedisPool::Lease::drop_all() {
  connection.reset();
  const std::lock_guard lock(pool.mutex_);
  pool.idle_.clear();
}

void RedisPool::Lease::failed(const Error& error) {
  connection.reset();
  const std::lock_guard lock(pool.mutex_);
  pool.back_off(error);
}

}  // namespace annulus
