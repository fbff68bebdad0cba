// Where a Redis server is, and how patient to be with it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "cache/cache_node.h"

namespace annulus {

/// Of a RedisCacheNode.
struct RedisCacheOptions {
  std::string host = "127.0.0.1";
  int port = 6379;
  std::string username;  ///< empty: Redis's user "default"
  std::string password;  ///< empty: none is sent. Never part of a message
  int database = 0;
  std::string prefix = "annulus";  ///< of every key in Redis: nodes of one prefix and id, in whichever process, share their entries

  std::chrono::milliseconds connect_timeout{1000};  ///< the look-up of a host's name is not bounded by it
  std::chrono::milliseconds command_timeout{1000};  ///< the longest silence of a server that has something to answer
  /// How long a server that failed is left alone: doubled with each failure that follows, from the one to the other. Calls
  /// meanwhile fail at once, and so do others while one tries again.
  std::chrono::milliseconds backoff_min{50};
  std::chrono::milliseconds backoff_max{5000};
  std::size_t max_connections = 4;  ///< as many calls at once; further ones wait for their turn

  /// For how long the version of an entry is remembered at least, when the entry has expired. Longer than any
  /// copy between nodes is under way. An entry with a shorter TTL takes its room in Redis for as long.
  std::chrono::milliseconds remembered{60000};

  /// For tests: the time that entries expire by, and the time that back-off is counted in; the system's where there is none.
  std::function<CacheTime()> now;
  std::function<std::chrono::steady_clock::time_point()> steady_now;
  /// For tests: called on the calling thread before and after a connection is made, bytes are sent, a reply is received.
  std::function<void(std::string_view step)> on_step;

  /// From `redis://[[user]:password@]host[:port][/database]`, the rest as above. User and password may be percent-encoded, and
  /// must be where they hold one of `/?#@%`; an IPv6 address stands in brackets. Throws Error(kInvalidArgument), whose message
  /// does not show the password.
  static RedisCacheOptions from_url(std::string_view url);

  CacheTime time() const { return now ? now() : CacheClock::now(); }

  /// Throws Error(kInvalidArgument) that names the option which is out of range.
  void validate() const;
};

}  // namespace annulus
