#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "cache/redis_cache_node.h"
#include "tests/cache/redis_test.h"
#include "tests/core/expect_error.h"

namespace annulus::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

/// A listening socket on a port of its own. It says `greeting` to whoever connects and sent something, then `ending`.
class FakeServer {
 public:
  enum class Ending { kSilence, kClose };

  /// Without a greeting nothing is accepted either.
  explicit FakeServer(std::string greeting = "", Ending ending = Ending::kSilence)
      : greeting_(std::move(greeting)), ending_(ending) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    if (!greeting_.empty()) thread_ = std::thread([this] { serve(); });
  }
  ~FakeServer() {
    shutdown(listener_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    close(listener_);
  }

  int port() const { return port_; }
  int connections() const { return connections_; }

 private:
  void serve() {
    std::vector<int> open;
    for (int peer = 0; (peer = accept(listener_, nullptr, nullptr)) >= 0;) {
      ++connections_;
      char buffer[4096];
      if (recv(peer, buffer, sizeof buffer, 0) > 0) send(peer, greeting_.data(), greeting_.size(), MSG_NOSIGNAL);
      if (ending_ == Ending::kClose) {
        close(peer);
      } else {
        open.push_back(peer);
      }
    }
    for (const int peer : open) close(peer);
  }

  const std::string greeting_;
  const Ending ending_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::thread thread_;
};

RedisCacheOptions options_for(const FakeServer& server) {
  RedisCacheOptions options;
  options.port = server.port();
  options.backoff_min = options.backoff_max = milliseconds(0);
  options.command_timeout = milliseconds(30);
  return options;
}

void expect_unavailable(RedisCacheNode& node, const std::vector<std::string>& parts) {
  const std::uint64_t failures = node.stats().failures;
  expect_error(ErrorCode::kUnavailable, parts, [&] { node.get("k"); });
  EXPECT_EQ(node.stats().failures, failures + 1);
  for (const std::string& part : parts) EXPECT_THAT(node.stats().last_error, HasSubstr(part));
}

// --- who may come in

TEST(RedisFailure, TheRightPasswordOpens) {
  const RedisServer server({.password = "s3cret"});
  RedisCacheOptions options = testing::options_for(server);
  options.password = "s3cret";
  RedisCacheNode node("node", options);
  EXPECT_EQ(put(node, "k", "v", 1), CacheOutcome::kStored);
  EXPECT_EQ(value_of(node, "k"), "v");
}

TEST(RedisFailure, AUserOfItsOwnMayBeNamed) {
  const RedisServer server({.password = "s3cret"});
  PlainClient redis(server);
  redis({"AUTH", "s3cret"});
  redis({"ACL", "SETUSER", "ann", "on", ">hers", "~annulus:*", "+@all", "-flushall"});
  RedisCacheOptions options = testing::options_for(server);
  options.username = "ann";
  options.password = "hers";
  RedisCacheNode node("node", options);
  EXPECT_EQ(put(node, "k", "v", 1), CacheOutcome::kStored);
  options.prefix = "elsewhere";
  RedisCacheNode forbidden("node", options);
  expect_unavailable(forbidden, {"NOPERM"});
}

TEST(RedisFailure, AWrongOrMissingPasswordSaysWhatToDoAndIsNotShown) {
  const RedisServer server({.password = "s3cret"});
  RedisCacheOptions options = testing::options_for(server);
  RedisCacheNode without("node", options);
  expect_unavailable(without, {"127.0.0.1:" + std::to_string(server.port()), "asks for a password", "RedisCacheOptions"});
  options.password = "wr0ng";
  RedisCacheNode wrong("node", options);
  expect_unavailable(wrong, {"refused the password", "WRONGPASS", "check username and password"});
  EXPECT_THAT(wrong.stats().last_error, Not(HasSubstr("wr0ng")));
  options.username = "nobody";
  RedisCacheNode unknown("node", options);
  expect_unavailable(unknown, {"refused the password"});

  const RedisServer open;
  options.port = open.port();
  options.username = "";
  RedisCacheNode needless("node", options);
  expect_unavailable(needless, {"refused the password", "without any password configured"});
}

TEST(RedisFailure, AServerThatEchoesThePasswordDoesNotGetItIntoAMessage) {
  const FakeServer server("-ERR what is 's3cret'?\r\n");
  RedisCacheOptions options = options_for(server);
  options.password = "s3cret";
  RedisCacheNode node("node", options);
  expect_unavailable(node, {"ERR what is '***'?"});
}

TEST(RedisFailure, ADatabaseThatThereIsNotIsNamed) {
  const RedisServer server;
  RedisCacheOptions options = testing::options_for(server);
  options.database = 99;
  RedisCacheNode node("node", options);
  expect_unavailable(node, {"refused database 99", "out of range"});
}

// --- nobody there, or somebody else

TEST(RedisFailure, NobodyListeningIsAFailureOfEveryCall) {
  const auto server = std::make_unique<RedisServer>();
  const auto node = node_of(*server);
  server->kill();
  const std::string address = "127.0.0.1:" + std::to_string(server->port());
  expect_unavailable(*node, {address, "cannot connect", "redis-server runs there"});
  expect_error(ErrorCode::kUnavailable, {address}, [&] { node->check(); });
  expect_error(ErrorCode::kUnavailable, {address}, [&] { put(*node, "k", "v", 1); });
  expect_error(ErrorCode::kUnavailable, {address}, [&] { node->forget(std::vector<KeyView>{"k"}); });
  expect_error(ErrorCode::kUnavailable, {address}, [&] { node->invalidate(); });
  CacheCursor cursor;
  std::vector<std::string> page;
  expect_error(ErrorCode::kUnavailable, {address}, [&] { node->scan(cursor, 10, page); });
  EXPECT_FALSE(cursor.done);
  EXPECT_EQ(node->generation(), RedisCacheNode::kUnknownGeneration);
  EXPECT_EQ(node->stats().failures, 7U);
}

TEST(RedisFailure, AHostThatIsNoneIsAFailure) {
  RedisCacheOptions options;
  options.host = "no such host.invalid";
  RedisCacheNode node("node", options);
  expect_unavailable(node, {"no such host.invalid", "cannot connect"});
}

TEST(RedisFailure, AServerThatNeverAnswersTimesOut) {
  const FakeServer silent;
  RedisCacheNode node("node", options_for(silent));
  expect_unavailable(node, {"no answer for 30 ms"});
}

TEST(RedisFailure, AServerThatStopsAnsweringTimesOut) {
  RedisServer server;
  RedisCacheOptions options = testing::options_for(server);
  bool stop = false;
  options.on_step = [&](std::string_view step) {
    if (stop && step == "send") server.pause();
  };
  RedisCacheNode patient("node", options);
  options.command_timeout = milliseconds(30);
  RedisCacheNode node("node", options);
  put(patient, "k", "v", 1);
  node.check();
  stop = true;
  expect_unavailable(node, {"no answer for 30 ms"});
  stop = false;
  server.resume();
  EXPECT_EQ(value_of(patient, "k"), "v");
}

TEST(RedisFailure, AServerThatTakesNoBytesTimesOut) {
  RedisServer server;
  RedisCacheOptions options = testing::options_for(server);
  options.command_timeout = milliseconds(200);
  bool stop = false;
  options.on_step = [&](std::string_view step) {
    if (stop && step == "send") server.pause();
  };
  RedisCacheNode node("node", options);
  node.check();
  stop = true;
  const std::string large(std::size_t{64} << 20, 'x');
  expect_error(ErrorCode::kUnavailable, {"took no bytes for 200 ms"}, [&] { put(node, "k", large, 1); });
  stop = false;
  server.resume();
}

TEST(RedisFailure, SendingMuchToAServerThatIsGoneDoesNotEndTheProcess) {
  RedisServer server;
  const auto node = node_of(server);
  node->check();
  server.kill();
  const std::string value(100'000, 'v');
  std::vector<CacheWrite> writes;
  for (int i = 0; i < 40; ++i) writes.push_back({.key = "k", .value = value, .version = {1, 0}});
  std::vector<CacheOutcome> outcomes;
  expect_error(ErrorCode::kUnavailable, {"127.0.0.1"}, [&] { node->write(writes, outcomes); });
}

TEST(RedisFailure, WhatIsNoRedisIsAFailureWhateverItSays) {
  const std::vector<std::pair<std::string, std::string>> says{
      {"HTTP/1.1 400 Bad Request\r\n\r\n", "not Redis's protocol"},
      {"$-7\r\n", "127.0.0.1"},
      {"*2\r\n:1\r\n$x\r\n", "127.0.0.1"},
      {"+OK\r\n", "no run_id"},
      {":17\r\n", "no run_id"},
      {"$19\r\n# Server\r\nrun_id:\r\n\r\n", "no run_id"},
      {"$5\r\nshort", "no answer for 30 ms"},
      {"-LOADING Redis is loading the dataset in memory\r\n", "LOADING"},
  };
  for (const auto& [greeting, complaint] : says) {
    SCOPED_TRACE(greeting);
    const FakeServer server(greeting);
    RedisCacheNode node("node", options_for(server));
    expect_unavailable(node, {complaint});
  }
}

TEST(RedisFailure, AnswersThatNoRedisGivesAreFailures) {
  const std::string run = "$11\r\nrun_id:abc\n\r\n";
  const std::string record = "$5\r\n7 abc\r\n";
  const std::string loaded = "$3\r\nsha\r\n";
  for (const std::string& answers : {run + ":1\r\n", run + "$-1\r\n:1\r\n", run + record + loaded + "+OK\r\n$-1\r\n",
                                     run + record + loaded + "*1\r\n$5\r\n7 abc\r\n$-1\r\n"}) {
    SCOPED_TRACE(answers);
    const FakeServer server(answers);
    RedisCacheNode node("node", options_for(server));
    expect_unavailable(node, {"none that Redis gives"});
  }
}

TEST(RedisFailure, AServerThatClosesTheConnectionIsAFailure) {
  const FakeServer server("x", FakeServer::Ending::kClose);
  RedisCacheNode node("node", options_for(server));
  expect_unavailable(node, {"127.0.0.1"});
  EXPECT_EQ(server.connections(), 1);
}

// --- restarts

TEST(RedisFailure, AServerThatCameBackEmptyIsUsedAgain) {
  RedisServer server;
  const auto node = node_of(server);
  put(*node, "k", "old", 5);
  const std::uint64_t before = node->generation();
  server.kill();
  expect_unavailable(*node, {"cannot connect"});
  server.restart();
  EXPECT_EQ(value_of(*node, "k"), "-");
  EXPECT_GT(node->generation(), before);
  EXPECT_EQ(node->write({.key = "k", .value = "copy", .version = {6, 0}}, before), CacheOutcome::kSuperseded);
  EXPECT_EQ(put(*node, "k", "new", 1), CacheOutcome::kStored);
  EXPECT_EQ(value_of(*node, "k"), "new");
}

TEST(RedisFailure, ASnapshotThatHoldsWhatWasOverwrittenIsNotBelieved) {
  RedisServer server({.persistence = Persistence::kSnapshot});
  PlainClient redis(server);
  auto node = node_of(server);
  put(*node, "overwritten", "old", 1);
  put(*node, "erased", "old", 1);
  put(*node, "same", "old", 1);
  redis({"SAVE"});
  put(*node, "overwritten", "new", 2);
  node->write({.key = "erased", .value = {}, .version = {2, 0}, .kind = CacheWriteKind::kErase});
  server.restart();
  ASSERT_EQ(PlainClient{server}({"DBSIZE"}).number, 5) << "three entries and two records: the snapshot was read";
  for (const char* key : {"overwritten", "erased", "same"}) EXPECT_EQ(value_of(*node, key), "-") << key;
  server.restart();
  node = node_of(server);  // nor by a process that knows nothing of before
  for (const char* key : {"overwritten", "erased", "same"}) EXPECT_EQ(value_of(*node, key), "-") << key;
  EXPECT_EQ(put(*node, "overwritten", "newer", 1), CacheOutcome::kStored);
  EXPECT_EQ(value_of(*node, "overwritten"), "newer");
  for (int i = 0; i < 5; ++i) value_of(*node, "k");
  EXPECT_EQ(PlainClient{server}({"DBSIZE"}).number, 3) << "what the snapshot held has been swept";
}

TEST(RedisFailure, ALogIsNotBelievedEither) {
  RedisServer server({.persistence = Persistence::kLog});
  const auto node = node_of(server);
  put(*node, "k", "old", 1);
  server.restart();
  ASSERT_EQ(PlainClient{server}({"DBSIZE"}).number, 2);
  EXPECT_EQ(value_of(*node, "k"), "-");
  EXPECT_EQ(put(*node, "k", "new", 1), CacheOutcome::kStored);
  EXPECT_EQ(value_of(*node, "k"), "new");
}

TEST(RedisFailure, ARestartBetweenCallsIsNoFailure) {
  RedisServer server;
  const auto node = node_of(server);
  put(*node, "k", "old", 1);
  server.restart();
  EXPECT_EQ(put(*node, "k", "new", 2), CacheOutcome::kStored);
  EXPECT_EQ(value_of(*node, "k"), "new");
  EXPECT_EQ(node->stats().failures, 0U);
}

TEST(RedisFailure, AConnectionThatTheServerClosedWhileIdleIsReplacedAndNothingIsLost) {
  const RedisServer server;
  PlainClient redis(server);
  const auto node = node_of(server);
  put(*node, "k", "v", 1);
  redis({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  EXPECT_EQ(value_of(*node, "k"), "v");
  redis({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  EXPECT_EQ(put(*node, "k", "w", 2), CacheOutcome::kStored);
  EXPECT_EQ(value_of(*node, "k"), "w");
  EXPECT_EQ(node->stats().failures, 0U);
}

// --- back-off

TEST(RedisFailure, BackOffDoublesUpToItsLimitAndEndsWithSuccess) {
  RedisServer server;
  RedisCacheOptions options = testing::options_for(server);
  std::chrono::steady_clock::time_point now{};
  int attempts = 0;
  options.backoff_min = milliseconds(100);
  options.backoff_max = milliseconds(450);
  options.steady_now = [&] { return now; };
  options.on_step = [&](std::string_view step) { attempts += step == "connect" ? 1 : 0; };
  RedisCacheNode node("node", options);
  server.kill();
  for (const int expected_ms : {100, 200, 400, 450, 450}) {
    attempts = 0;
    expect_unavailable(node, {"cannot connect"});
    EXPECT_EQ(attempts, 1);
    now += milliseconds(expected_ms - 1);
    const std::string error = error_of([&] { node.get("k"); });
    EXPECT_THAT(error, HasSubstr("UNAVAILABLE"));
    EXPECT_THAT(error, HasSubstr("left alone"));
    EXPECT_THAT(error, HasSubstr("cannot connect")) << "what happened is said again";
    EXPECT_EQ(attempts, 1) << expected_ms;
    now += milliseconds(1);
  }
  EXPECT_EQ(node.stats().failures, 10U);
  server.restart();
  attempts = 0;
  EXPECT_EQ(value_of(node, "k"), "-");
  EXPECT_EQ(value_of(node, "k"), "-");
  EXPECT_EQ(attempts, 1);
  EXPECT_THAT(node.stats().last_error, HasSubstr("cannot connect")) << "the last failure, even if it is over";

  server.kill();
  expect_unavailable(node, {"cannot connect"});
  now += milliseconds(99);
  attempts = 0;
  EXPECT_NE(error_of([&] { node.get("k"); }), "");
  EXPECT_EQ(attempts, 0);
  now += milliseconds(1);
  EXPECT_NE(error_of([&] { node.get("k"); }), "");
  EXPECT_EQ(attempts, 1) << "a success began the back-off anew";
}

}  // namespace
}  // namespace annulus::testing
