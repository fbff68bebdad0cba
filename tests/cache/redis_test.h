// What tests of RedisCacheNode share: nodes of a server, and a plain client to look behind them.
#pragma once

#include <hiredis/hiredis.h>

#include <chrono>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/redis_server.h"
#include "cache/redis_cache_node.h"
#include "core/error.h"

namespace annulus::testing {

using bench::RedisServer;
using bench::RedisServerOptions;
using Persistence = RedisServerOptions::Persistence;

inline RedisCacheOptions options_for(const RedisServer& server) {
  RedisCacheOptions options;
  options.port = server.port();
  options.backoff_min = options.backoff_max = std::chrono::milliseconds(0);
  options.command_timeout = options.connect_timeout = std::chrono::seconds(20);  // slow machines are no failures
  return options;
}

inline std::unique_ptr<RedisCacheNode> node_of(const RedisServer& server, std::string id = "node") {
  return std::make_unique<RedisCacheNode>(std::move(id), options_for(server));
}

inline CacheOutcome put(CacheNode& node, KeyView key, std::string_view value, std::uint64_t clock,
                        CacheTime expires = kNeverExpires) {
  return node.write({.key = key, .value = value, .version = {clock, 0}, .expires = expires});
}

/// The value, or "-" where there is none.
inline std::string value_of(CacheNode& node, KeyView key) {
  const auto entry = node.get(key);
  return entry ? entry->value : "-";
}

/// Sends commands as they are.
class PlainClient {
 public:
  explicit PlainClient(const RedisServer& server) : context_(redisConnect("127.0.0.1", server.port())) {}

  struct Answer {
    std::string text;
    long long number = 0;
    std::vector<std::string> items;
    bool error = false;
  };

  Answer operator()(std::initializer_list<std::string_view> command) {
    std::vector<const char*> arguments;
    std::vector<std::size_t> sizes;
    for (const std::string_view argument : command) {
      arguments.push_back(argument.data());
      sizes.push_back(argument.size());
    }
    void* const raw = redisCommandArgv(context_.get(), static_cast<int>(arguments.size()), arguments.data(), sizes.data());
    if (raw == nullptr) return {.text = context_->errstr, .number = 0, .items = {}, .error = true};
    redisReply* const reply = static_cast<redisReply*>(raw);
    Answer answer;
    if (reply->str != nullptr) answer.text.assign(reply->str, reply->len);
    answer.number = reply->integer;
    answer.error = reply->type == REDIS_REPLY_ERROR;
    for (std::size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; ++i) {
      const redisReply& item = *reply->element[i];
      answer.items.emplace_back(item.str == nullptr ? "" : std::string(item.str, item.len));
    }
    freeReplyObject(raw);
    return answer;
  }

 private:
  struct Free {
    void operator()(redisContext* context) const { redisFree(context); }
  };
  std::unique_ptr<redisContext, Free> context_;
};

/// What a call's Error says; empty if it throws none.
template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return std::string(to_string(error.code())) + ": " + error.what();
  }
  return "";
}

}  // namespace annulus::testing
