// One connection to a Redis server: commands go out together, replies come back one by one.
#pragma once

#include <hiredis/hiredis.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "cache/redis_cache_options.h"
#include "core/error.h"

namespace annulus {

/// The connection is of no use any more.
class RedisConnectionError : public Error {
 public:
  RedisConnectionError(const std::string& message, bool ended) : Error(ErrorCode::kUnavailable, message), ended_(ended) {}

  /// The server, or what lies between, had ended it: perhaps long ago, so that another connection may do.
  bool ended() const noexcept { return ended_; }

 private:
  bool ended_;
};

struct RedisReplyDeleter {
  void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
};
using RedisReply = std::unique_ptr<redisReply, RedisReplyDeleter>;

/// What a string, a status or an error says; empty for other replies.
std::string_view text_of(const redisReply& reply) noexcept;
bool is_error(const redisReply& reply) noexcept;

/// Not for several threads at once. After an exception it must not be used again.
class RedisConnection {
 public:
  /// Connects, gives the password, chooses the database, and learns which run of the server this is. `options` are kept.
  /// Throws Error(kUnavailable) that says what to do.
  explicit RedisConnection(const RedisCacheOptions& options);

  /// Of the server: another one after each of its starts. A connection never outlives a run.
  const std::string& run_id() const noexcept { return run_id_; }

  /// Begins a command of so many arguments, which follow by add(): any bytes, the second form one argument of two parts. What has
  /// grown long is sent at once, so that the server works on it meanwhile.
  void begin(std::size_t arguments);
  void add(std::string_view argument) { add(argument, {}); }
  void add(std::string_view head, std::string_view tail);
  /// A whole command.
  void append(std::initializer_list<std::string_view> arguments);

  /// Sends what has not been sent yet. As many receive() must follow as there were commands.
  void send();
  RedisReply receive();

  /// receive(); throws Error(kUnavailable) with Redis's own words if the reply is an error.
  RedisReply receive_value();
  [[noreturn]] void fail(const redisReply& reply) const;
  /// For a reply that is none of those which the command has.
  [[noreturn]] void fail_unexpected(std::string_view command) const;

  /// No reply is on its way: the connection may serve another call.
  bool idle() const noexcept { return out_.empty() && expected_ == 0; }

 private:
  struct ContextDeleter {
    void operator()(redisContext* context) const noexcept { redisFree(context); }
  };

  void connect();
  void greet();
  [[noreturn]] void lost(const std::string& what, bool ended) const;
  void step(std::string_view name) const {
    if (options_.on_step) options_.on_step(name);
  }

  const RedisCacheOptions& options_;
  std::unique_ptr<redisContext, ContextDeleter> context_;
  std::string run_id_;
  std::string out_;
  std::size_t missing_ = 0;   // arguments of the last command
  std::size_t expected_ = 0;  // replies that will come
};

}  // namespace annulus
