#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cache/redis_cache_node.h"
#include "cache/redis_cache_options.h"
#include "tests/core/expect_error.h"

namespace annulus::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(RedisCacheOptions, AUrlSetsAddressPasswordAndDatabase) {
  const RedisCacheOptions whole = RedisCacheOptions::from_url("redis://ann:s3cret@cache.example:7000/12");
  EXPECT_EQ(whole.host, "cache.example");
  EXPECT_EQ(whole.port, 7000);
  EXPECT_EQ(whole.username, "ann");
  EXPECT_EQ(whole.password, "s3cret");
  EXPECT_EQ(whole.database, 12);
  whole.validate();

  const RedisCacheOptions least = RedisCacheOptions::from_url("redis://cache");
  EXPECT_EQ(least.host, "cache");
  EXPECT_EQ(least.port, 6379);
  EXPECT_EQ(least.username, "");
  EXPECT_EQ(least.password, "");
  EXPECT_EQ(least.database, 0);
  EXPECT_EQ(least.prefix, "annulus");

  EXPECT_EQ(RedisCacheOptions::from_url("redis://cache/").database, 0);
  const RedisCacheOptions password_alone = RedisCacheOptions::from_url("redis://:pw@[::1]:7001/3");
  EXPECT_EQ(password_alone.username, "");
  EXPECT_EQ(password_alone.password, "pw");
  EXPECT_EQ(password_alone.host, "::1");
  EXPECT_EQ(password_alone.port, 7001);
  EXPECT_EQ(password_alone.database, 3);
  EXPECT_EQ(RedisCacheOptions::from_url("redis://[fe80::2]").host, "fe80::2");
}

TEST(RedisCacheOptions, UserAndPasswordOfAUrlArePercentDecoded) {
  const RedisCacheOptions options = RedisCacheOptions::from_url("redis://a%3ab:%2F%3f%23%40%25:x@cache");
  EXPECT_EQ(options.username, "a:b");
  EXPECT_EQ(options.password, "/?#@%:x");
}

TEST(RedisCacheOptions, ABadUrlIsRefusedWithTheReason) {
  const std::vector<std::pair<std::string, std::string>> bad{
      {"", "does not begin with redis://"},
      {"http://cache", "does not begin with redis://"},
      {"rediss://cache", "TLS"},
      {"redis://", "no host"},
      {"redis://:7000", "no host"},
      {"redis://:pw@:7000", "no host"},
      {"redis://cache:", "the port ''"},
      {"redis://cache:0", "the port '0'"},
      {"redis://cache:65536", "the port '65536'"},
      {"redis://cache:70x", "the port '70x'"},
      {"redis://[::1", "'[' without ']'"},
      {"redis://[::1]7000", "'7000' after the ']'"},
      {"redis://cache/x", "the database 'x'"},
      {"redis://cache/-1", "the database '-1'"},
      {"redis://cache/1/2", "the database '1/2'"},
      {"redis://cache/99999999999", "the database '99999999999'"},
      {"redis://cache?db=1", "'?'"},
      {"redis://pw@cache", ":password@"},
      {"redis://ann:@cache", "password before the '@' is empty"},
  };
  for (const auto& [url, reason] : bad) {
    SCOPED_TRACE(url);
    expect_error(ErrorCode::kInvalidArgument, {"Redis URL", reason, "expected redis://"},
                 [&, bad_url = url] { RedisCacheOptions::from_url(bad_url); });
  }
}

TEST(RedisCacheOptions, NoMessageShowsAPassword) {
  for (const std::string url :
       {"redis://u:secret/x@cache", "redis://u:sec%zzret@cache", "redis://u:secret%@cache", "redis://u:secret%4@cache",
        "redis://u:secret?@cache", "redis://u:secret#@cache", "redis://u:secret@x@cache", "redis://secret@cache",
        "redis://u:secret@cache:bad", "redis://u:secret@", "redis://u:secret@cache/bad", "rediss://u:secret@cache",
        "redis://u:7/secret@cache", "redis:/u:secret@cache", "u:secret@cache"}) {
    try {
      RedisCacheOptions::from_url(url);
      ADD_FAILURE() << url << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << url;
      EXPECT_THAT(error.what(), Not(HasSubstr("sec")));
    }
  }
}

TEST(RedisCacheOptions, WhatIsOutOfRangeIsNamed) {
  const auto refused = [](auto change, const std::string& name, const std::string& value) {
    RedisCacheOptions options;
    change(options);
    expect_error(ErrorCode::kInvalidArgument, {"RedisCacheOptions", name, value}, [&] { RedisCacheNode("id", options); });
  };
  using std::chrono::milliseconds;
  refused([](auto& o) { o.host = ""; }, "host", "empty");
  refused([](auto& o) { o.host = std::string("a\0b", 3); }, "host", "zero byte");
  refused([](auto& o) { o.port = 0; }, "port", "0");
  refused([](auto& o) { o.port = 65536; }, "port", "65536");
  refused([](auto& o) { o.username = "ann"; }, "username", "password");
  refused([](auto& o) { o.database = -1; }, "database", "-1");
  refused([](auto& o) { o.prefix = ""; }, "prefix", "empty");
  refused([](auto& o) { o.connect_timeout = milliseconds(0); }, "connect_timeout", "0 ms");
  refused([](auto& o) { o.command_timeout = milliseconds(-1); }, "command_timeout", "-1 ms");
  refused([](auto& o) { o.backoff_min = milliseconds(-1); }, "backoff_min", "-1 ms");
  refused([](auto& o) { o.backoff_max = milliseconds(49); }, "backoff_max", "49 ms");
  refused([](auto& o) { o.max_connections = 0; }, "max_connections", "0");
  refused([](auto& o) { o.remembered = milliseconds(0); }, "remembered", "0 ms");
  expect_error(ErrorCode::kInvalidArgument, {"id of a RedisCacheNode is empty"}, [] { RedisCacheNode("", {}); });
}

}  // namespace
}  // namespace annulus::testing
