#include "cache/redis_connection.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace annulus {
namespace {

constexpr std::size_t kSendBytes = std::size_t{1} << 16;  // are worth a call of the system
constexpr std::size_t kKeptBytes = std::size_t{1} << 20;  // of the buffer

timeval timeval_of(std::chrono::milliseconds time) {
  timeval value{};
  value.tv_sec = static_cast<time_t>(time.count() / 1000);
  value.tv_usec = static_cast<suseconds_t>(time.count() % 1000 * 1000);
  return value;
}

std::string address_of(const RedisCacheOptions& options) { return options.host + ':' + std::to_string(options.port); }

std::string milliseconds_text(std::chrono::milliseconds time) { return std::to_string(time.count()) + " ms"; }

/// The value of a line `name:value` of INFO's answer; empty if there is none.
std::string_view info_field(std::string_view info, std::string_view name) {
  while (!info.empty()) {
    const std::string_view line = info.substr(0, info.find_first_of("\r\n"));
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == ':') return line.substr(name.size() + 1);
    info.remove_prefix(line.size());
    info.remove_prefix(std::min(info.find_first_not_of("\r\n"), info.size()));
  }
  return {};
}

}  // namespace

std::string_view text_of(const redisReply& reply) noexcept {
  const bool has_text = reply.type == REDIS_REPLY_STRING || reply.type == REDIS_REPLY_STATUS || reply.type == REDIS_REPLY_ERROR;
  return has_text ? std::string_view(reply.str, reply.len) : std::string_view();
}

bool is_error(const redisReply& reply) noexcept { return reply.type == REDIS_REPLY_ERROR; }

RedisConnection::RedisConnection(const RedisCacheOptions& options) : options_(options) {
  step("connect");
  connect();
  step("connected");
  greet();
}

void RedisConnection::connect() {
  context_.reset(redisConnectWithTimeout(options_.host.c_str(), options_.port, timeval_of(options_.connect_timeout)));
  if (!context_) throw std::bad_alloc();
  if (context_->err != 0) {
    lost(std::string("cannot connect (") + context_->errstr + ") within " + milliseconds_text(options_.connect_timeout) +
             "; see that redis-server runs there and can be reached",
         false);
  }
  if (redisSetTimeout(context_.get(), timeval_of(options_.command_timeout)) != REDIS_OK ||
      redisEnableKeepAlive(context_.get()) != REDIS_OK) {
    lost(std::string("cannot set up the socket (") + context_->errstr + ")", false);
  }
}

void RedisConnection::greet() {
  if (!options_.password.empty()) {
    if (options_.username.empty()) {
      append({"AUTH", options_.password});
    } else {
      append({"AUTH", options_.username, options_.password});
    }
  }
  if (options_.database != 0) append({"SELECT", std::to_string(options_.database)});
  append({"INFO", "server"});
  send();

  if (!options_.password.empty()) {
    const RedisReply reply = receive();
    if (is_error(*reply)) {
      lost("it refused the password: '" + std::string(text_of(*reply)) + "'; check username and password of RedisCacheOptions",
           false);
    }
  }
  if (options_.database != 0) {
    const RedisReply reply = receive();
    if (is_error(*reply)) {
      lost("it refused database " + std::to_string(options_.database) + ": '" + std::string(text_of(*reply)) + "'", false);
    }
  }
  const RedisReply info = receive();
  if (text_of(*info).starts_with("NOAUTH")) lost("it asks for a password: set password of RedisCacheOptions", false);
  if (is_error(*info)) fail(*info);
  run_id_ = info_field(text_of(*info), "run_id");
  if (run_id_.empty()) lost("its INFO names no run_id, by which restarts are noticed: this is no Redis server", false);
}

void RedisConnection::begin(std::size_t arguments) {
  out_ += '*';
  out_ += std::to_string(arguments);
  out_ += "\r\n";
  missing_ = arguments;
  ++expected_;
}

void RedisConnection::add(std::string_view head, std::string_view tail) {
  out_ += '$';
  out_ += std::to_string(head.size() + tail.size());
  out_ += "\r\n";
  out_ += head;
  out_ += tail;
  out_ += "\r\n";
  if (--missing_ == 0 && out_.size() >= kSendBytes) send();
}

void RedisConnection::append(std::initializer_list<std::string_view> arguments) {
  begin(arguments.size());
  for (const std::string_view argument : arguments) add(argument);
}

// Not by hiredis, whose write() to a connection that the server has ended raises SIGPIPE, which ends the process.
void RedisConnection::send() {
  if (out_.empty()) return;
  step("send");
  std::string_view rest = out_;
  while (!rest.empty()) {
    const ssize_t sent = ::send(context_->fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      lost("it took no bytes for " + milliseconds_text(options_.command_timeout), false);
    } else if (errno != EINTR) {
      lost(std::string("sending failed (") + std::strerror(errno) + ")", true);
    }
  }
  out_.clear();
  if (out_.capacity() > kKeptBytes) out_.shrink_to_fit();
  step("sent");
}

RedisReply RedisConnection::receive() {
  step("receive");
  void* reply = nullptr;
  if (redisGetReply(context_.get(), &reply) != REDIS_OK) {
    const bool timed_out = context_->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (timed_out) lost("no answer for " + milliseconds_text(options_.command_timeout), false);
    const bool ended = context_->err == REDIS_ERR_EOF || context_->err == REDIS_ERR_IO;
    lost(std::string(context_->err == REDIS_ERR_PROTOCOL ? "its answer is not Redis's protocol (" : "the connection was lost (") +
             context_->errstr + ")",
         ended);
  }
  --expected_;
  RedisReply owned(static_cast<redisReply*>(reply));
  step("received");
  return owned;
}

RedisReply RedisConnection::receive_value() {
  RedisReply reply = receive();
  if (is_error(*reply)) fail(*reply);
  return reply;
}

void RedisConnection::fail(const redisReply& reply) const { lost("it answered '" + std::string(text_of(reply)) + "'", false); }

void RedisConnection::fail_unexpected(std::string_view command) const {
  lost("its answer to " + std::string(command) + " is none that Redis gives", false);
}

void RedisConnection::lost(const std::string& what, bool ended) const {
  std::string message = "Redis at " + address_of(options_) + ": " + what;
  // No answer of Redis shows a password, but what answers may be something else.
  for (std::size_t at = 0; !options_.password.empty() && (at = message.find(options_.password, at)) != std::string::npos;) {
    message.replace(at, options_.password.size(), "***");
    at += 3;
  }
  throw RedisConnectionError(message, ended);
}

}  // namespace annulus
