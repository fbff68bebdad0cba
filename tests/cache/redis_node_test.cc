#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cache/redis_cache_node.h"
#include "cache/redis_connection.h"
#include "cache/redis_format.h"
#include "cache/redis_generation.h"
#include "cache/redis_sweep.h"
#include "tests/cache/redis_test.h"
#include "tests/core/expect_error.h"

namespace annulus::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class RedisNode : public ::testing::Test {
 protected:
  CacheOutcome copy(CacheNode& to, KeyView key, std::string_view value, std::uint64_t clock, std::uint64_t generation) {
    return to.write({.key = key, .value = value, .version = {clock, 0}}, generation);
  }
  CacheOutcome erase(KeyView key, std::uint64_t clock, CacheTime expires) {
    return node->write({.key = key, .value = {}, .version = {clock, 0}, .expires = expires, .kind = CacheWriteKind::kErase});
  }
  std::string name_of(KeyView key, const std::string& id = "node") {
    return "annulus:" + id + ":e:" + std::to_string(node->generation()) + ":" + std::string(key);
  }
  std::vector<std::string> names(std::string_view pattern) {
    std::vector<std::string> found = redis({"KEYS", pattern}).items;
    std::ranges::sort(found);
    return found;
  }

  RedisServer server;
  PlainClient redis{server};
  std::unique_ptr<RedisCacheNode> node = node_of(server);
};

TEST_F(RedisNode, IsNamedAndRemoteAndDoesNotConnectBeforeItMust) {
  EXPECT_EQ(node->id(), "node");
  EXPECT_TRUE(node->remote());
  EXPECT_TRUE(names("*").empty());
  node->check();
  EXPECT_EQ(names("*"), std::vector<std::string>{"annulus:node:generation"});
}

TEST_F(RedisNode, KeepsEntriesAsItsFormatSays) {
  put(*node, "k", "payload", 0x0102);
  const std::string stored = redis({"GET", name_of("k")}).text;
  EXPECT_EQ(stored,
            std::string("\x01\x00\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xffpayload", 29));
  const std::string record = redis({"GET", "annulus:node:generation"}).text;
  const std::string info = redis({"INFO", "server"}).text;
  EXPECT_THAT(info, HasSubstr("run_id:" + record.substr(record.find(' ') + 1)));
  EXPECT_EQ(record.substr(0, record.find(' ')), std::to_string(node->generation()));
}

TEST_F(RedisNode, ValuesMayBeLarge) {
  const std::string large(3'500'000, '\0');
  std::string noise;
  for (std::size_t i = 0; i < 1'200'000; ++i) noise += static_cast<char>(i * 2654435761U >> 13);
  EXPECT_EQ(put(*node, "large", large, 1), CacheOutcome::kStored);
  std::vector<CacheWrite> writes;
  for (const char* key : {"a", "b", "c", "d", "e", "f"}) writes.push_back({.key = key, .value = noise, .version = {1, 0}});
  writes.push_back({.key = "small", .value = "s", .version = {1, 0}});
  std::vector<CacheOutcome> outcomes;
  node->write(writes, outcomes);
  EXPECT_EQ(outcomes, std::vector(writes.size(), CacheOutcome::kStored));
  EXPECT_TRUE(value_of(*node, "large") == large);
  std::vector<std::optional<CacheEntry>> entries;
  const std::vector<KeyView> keys{"a", "large", "f", "small"};
  node->get(keys, entries);
  EXPECT_TRUE(entries[0]->value == noise);
  EXPECT_TRUE(entries[1]->value == large);
  EXPECT_TRUE(entries[2]->value == noise);
  EXPECT_EQ(entries[3]->value, "s");
}

TEST_F(RedisNode, ABatchIsOneRoundTrip) {
  RedisCacheOptions options = options_for(server);
  int sends = 0;
  options.on_step = [&](std::string_view step) { sends += step == "send" ? 1 : 0; };
  RedisCacheNode counted("node", options);
  counted.invalidate();
  for (int i = 0; i < 3; ++i) put(counted, "k", "v", 1);  // the sweep is done with
  std::vector<std::string> keys;
  for (int i = 0; i < 1024; ++i) keys.push_back("key" + std::to_string(i));
  const std::vector<KeyView> views(keys.begin(), keys.end());
  std::vector<CacheWrite> writes;
  for (const KeyView key : views) writes.push_back({.key = key, .value = key, .version = {1, 0}});
  std::vector<CacheOutcome> outcomes;
  std::vector<std::optional<CacheEntry>> entries;
  for (const std::size_t count : {1, 64, 512, 1024}) {
    const int trips = count > RedisCacheNode::kKeysPerTrip ? 2 : 1;
    sends = 0;
    counted.write(std::span(writes).first(count), outcomes);
    EXPECT_EQ(sends, trips) << count;
    sends = 0;
    counted.get(std::span(views).first(count), entries);
    EXPECT_EQ(sends, trips) << count;
    sends = 0;
    counted.forget(std::span(views).first(count));
    EXPECT_EQ(sends, trips) << count;
  }
}

TEST_F(RedisNode, LeavesExpiryToRedisAsWell) {
  const auto left = [&](KeyView key) { return redis({"PTTL", name_of(key)}).number; };
  put(*node, "for ever", "v", 1);
  EXPECT_EQ(left("for ever"), -1);
  put(*node, "hour", "v", 1, CacheClock::now() + std::chrono::hours(1));
  EXPECT_GT(left("hour"), 3'500'000);
  EXPECT_LE(left("hour"), 3'600'000);
  put(*node, "short", "v", 1, CacheClock::now() + seconds(1));  // its version is remembered for longer than that
  EXPECT_GT(left("short"), 50'000);
  EXPECT_LE(left("short"), 60'000);
  erase("erased", 1, CacheClock::now() + std::chrono::hours(2));
  EXPECT_GT(left("erased"), 7'100'000);
  EXPECT_LE(left("erased"), 7'200'000);
  put(*node, "hour", "v", 2);
  EXPECT_EQ(left("hour"), -1);
  put(*node, "far", "v", 1, CacheTime(std::chrono::hours(24 * 365 * 250)));
  EXPECT_GT(left("far"), 1'000'000'000'000);
}

TEST_F(RedisNode, AnEntryThatRedisRemovedIsAMiss) {
  RedisCacheOptions options = options_for(server);
  options.remembered = milliseconds(1);
  RedisCacheNode brief("node", options);
  put(brief, "k", "v", 5, CacheClock::now() + milliseconds(1));
  while (redis({"EXISTS", name_of("k")}).number == 1) {
  }
  EXPECT_EQ(value_of(brief, "k"), "-");
  EXPECT_EQ(brief.stats().expired, 0U);
}

TEST_F(RedisNode, ExpiredEntriesLeaveNoValueBehindAndForgottenOnesNothing) {
  const std::string value(10'000, 'v');
  put(*node, "forgotten", value, 1);
  put(*node, "expired already", value, 1, CacheClock::now() - seconds(1));
  EXPECT_EQ(node->forget(std::vector<KeyView>{"forgotten"}), 1U);
  EXPECT_EQ(redis({"EXISTS", name_of("forgotten")}).number, 0);
  EXPECT_EQ(redis({"STRLEN", name_of("expired already")}).number, 22);
}

TEST_F(RedisNode, WhatIsNoEntryOfOursIsAMiss) {
  node->check();
  redis({"SET", name_of("other format"),
         "\x02"
         "abcdefghijklmnopqrstuvwxyz"});
  redis({"SET", name_of("short"), "x"});
  redis({"RPUSH", name_of("list"), "x"});
  EXPECT_EQ(value_of(*node, "other format"), "-");
  EXPECT_EQ(value_of(*node, "short"), "-");
  EXPECT_EQ(value_of(*node, "list"), "-");
  EXPECT_EQ(put(*node, "other format", "v", 1), CacheOutcome::kStored);
  EXPECT_EQ(put(*node, "short", "v", 1), CacheOutcome::kStored);
  EXPECT_THAT(error_of([&] { put(*node, "list", "v", 1); }), HasSubstr("WRONGTYPE"));
}

TEST_F(RedisNode, AServerThatForgotTheScriptIsToldAgain) {
  put(*node, "k", "v", 1);
  redis({"SCRIPT", "FLUSH"});
  std::vector<std::string> keys;
  for (int i = 0; i < 200; ++i) keys.push_back("key" + std::to_string(i));
  std::vector<CacheWrite> writes;
  for (const std::string& key : keys) writes.push_back({.key = key, .value = key, .version = {1, 0}});
  std::vector<CacheOutcome> outcomes;
  node->write(writes, outcomes);
  EXPECT_EQ(outcomes, std::vector(200, CacheOutcome::kStored));
  for (const std::string& key : keys) EXPECT_EQ(value_of(*node, key), key);
  EXPECT_EQ(node->stats().failures, 0U);
}

TEST_F(RedisNode, NodesOfOtherNamesOrDatabasesDoNotMeet) {
  RedisCacheOptions other_prefix = options_for(server);
  other_prefix.prefix = "other";
  RedisCacheOptions other_database = options_for(server);
  other_database.database = 3;
  std::vector<std::unique_ptr<RedisCacheNode>> nodes;
  nodes.push_back(node_of(server, "node"));
  nodes.push_back(node_of(server, "node:e"));
  nodes.push_back(std::make_unique<RedisCacheNode>("node", other_prefix));
  nodes.push_back(std::make_unique<RedisCacheNode>("node", other_database));
  for (std::size_t i = 0; i < nodes.size(); ++i) put(*nodes[i], "k", std::to_string(i), 10 - i);
  nodes[1]->invalidate();
  for (int i = 0; i < 5; ++i) put(*nodes[1], "other", "v", 1);  // and sweeps
  EXPECT_EQ(value_of(*nodes[0], "k"), "0");
  EXPECT_EQ(value_of(*nodes[1], "k"), "-");
  EXPECT_EQ(value_of(*nodes[2], "k"), "2");
  EXPECT_EQ(value_of(*nodes[3], "k"), "3");
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    std::vector<std::string> keys;
    for (CacheCursor cursor; !cursor.done;) nodes[i]->scan(cursor, 100, keys);
    EXPECT_EQ(keys, std::vector<std::string>{i == 1 ? "other" : "k"}) << i;
  }
}

// --- generations

TEST_F(RedisNode, AnotherClientOfTheSameNameSeesTheSameEntries) {
  const auto other = node_of(server);
  put(*node, "k", "a", 1);
  EXPECT_EQ(value_of(*other, "k"), "a");
  EXPECT_EQ(put(*other, "k", "older", 0), CacheOutcome::kSuperseded);
  EXPECT_EQ(put(*other, "k", "b", 2), CacheOutcome::kStored);
  EXPECT_EQ(value_of(*node, "k"), "b");
  EXPECT_EQ(node->generation(), other->generation());
}

TEST_F(RedisNode, AnInvalidationByAnotherClientIsNoticedByTheNextCall) {
  const auto other = node_of(server);
  const auto fresh_pair = [&] {
    put(*node, "k", "old", 1);
    const std::uint64_t before = node->generation();
    other->invalidate();
    return before;
  };
  std::uint64_t before = fresh_pair();
  EXPECT_EQ(value_of(*node, "k"), "-");
  EXPECT_NE(node->generation(), before);

  before = fresh_pair();
  EXPECT_EQ(put(*node, "k", "new", 2), CacheOutcome::kStored);
  EXPECT_EQ(value_of(*other, "k"), "new") << "a fresh write goes into the new generation";

  before = fresh_pair();
  EXPECT_EQ(node->generation(), before) << "nothing has told it yet";
  EXPECT_EQ(copy(*node, "k", "copy", 3, before), CacheOutcome::kSuperseded);
  EXPECT_EQ(value_of(*other, "k"), "-");

  before = fresh_pair();
  put(*other, "k", "new", 4);
  EXPECT_EQ(node->forget(std::vector<KeyView>{"k"}), 1U) << "in the new generation";
  EXPECT_EQ(value_of(*other, "k"), "-");

  before = fresh_pair();
  put(*other, "k", "new", 5);
  std::vector<std::string> keys;
  for (CacheCursor cursor; !cursor.done;) node->scan(cursor, 10, keys);
  EXPECT_EQ(keys, std::vector<std::string>{"k"});
}

TEST_F(RedisNode, ACopyOfAnEndedGenerationIsNotEvenSent) {
  node->check();
  const std::uint64_t before = node->generation();
  node->invalidate();
  server.kill();
  EXPECT_EQ(copy(*node, "k", "copy", 1, before), CacheOutcome::kSuperseded);
  EXPECT_EQ(node->stats().failures, 0U);
}

TEST_F(RedisNode, AWriteFromBeforeTheGenerationWasKnownLeavesNothingOlder) {
  put(*node, "k", "old", 1);
  RedisCacheNode late("node", options_for(server));
  EXPECT_EQ(copy(late, "k", "new", 2, RedisCacheNode::kUnknownGeneration), CacheOutcome::kSuperseded);
  EXPECT_EQ(value_of(late, "k"), "-");
  EXPECT_EQ(put(late, "k", "older", 1), CacheOutcome::kSuperseded);
  EXPECT_EQ(put(late, "k", "newer", 3), CacheOutcome::kStored);
  EXPECT_EQ(copy(late, "k", "older", 2, RedisCacheNode::kUnknownGeneration), CacheOutcome::kSuperseded);
  EXPECT_EQ(value_of(late, "k"), "newer");
}

TEST_F(RedisNode, AFlushedServerStartsANewGeneration) {
  put(*node, "k", "a", 5);
  const std::uint64_t before = node->generation();
  redis({"FLUSHALL"});
  EXPECT_EQ(value_of(*node, "k"), "-");
  EXPECT_GT(node->generation(), before);
  EXPECT_EQ(copy(*node, "k", "copy", 6, before), CacheOutcome::kSuperseded);
  redis({"FLUSHALL"});
  EXPECT_EQ(put(*node, "k", "b", 1), CacheOutcome::kStored);
  EXPECT_EQ(value_of(*node, "k"), "b");
}

TEST_F(RedisNode, ARecordThatIsNoneIsReplaced) {
  put(*node, "k", "a", 5);
  for (const char* bad : {"", "nonsense", "12", "18446744073709551615 some-other-run"}) {
    redis({"SET", "annulus:node:generation", bad});
    EXPECT_EQ(value_of(*node, "k"), "-") << bad;
    EXPECT_EQ(put(*node, "k", "b", 1), CacheOutcome::kStored) << bad;
    EXPECT_EQ(value_of(*node, "k"), "b") << bad;
  }
}

TEST_F(RedisNode, ASweepLeavesNoKeyOfOlderGenerations) {
  std::vector<std::string> keys;
  for (int i = 0; i < 3000; ++i) keys.push_back("key" + std::to_string(i));
  const auto fill = [&] {
    std::vector<CacheWrite> writes;
    for (const std::string& key : keys) writes.push_back({.key = key, .value = key, .version = {1, 0}});
    std::vector<CacheOutcome> outcomes;
    node->write(writes, outcomes);
  };
  redis({"SET", "not ours", "x"});
  redis({"SET", "annulus:node2:e:1:k", "x"});
  for (int generation = 0; generation < 3; ++generation) {
    fill();
    node->invalidate();
  }
  for (int i = 0; i < 100; ++i) put(*node, "k", "v", static_cast<std::uint64_t>(i) + 1);
  EXPECT_EQ(names("*"), (std::vector<std::string>{"annulus:node2:e:1:k", name_of("k"), "annulus:node:generation",
                                                  "annulus:node:swept", "not ours"}));
  EXPECT_EQ(redis({"GET", "annulus:node:swept"}).text, std::to_string(node->generation()));

  // Another client finds the work done: it asks once.
  RedisCacheOptions options = options_for(server);
  int sent = 0;
  options.on_step = [&](std::string_view step) { sent += step == "receive" ? 1 : 0; };
  RedisCacheNode other("node", options);
  other.check();
  sent = 0;
  value_of(other, "k");
  EXPECT_EQ(sent, 2);
  sent = 0;
  value_of(other, "k");
  EXPECT_EQ(sent, 1);
}

TEST_F(RedisNode, ASweepThatANewGenerationOvertakesStartsAnew) {
  for (int i = 0; i < 600; ++i) put(*node, "old" + std::to_string(i), "v", 1);
  node->invalidate();
  put(*node, "k", "v", 1);
  put(*node, "k", "v", 2);  // in the middle of it
  const auto other = node_of(server);
  other->invalidate();
  for (int i = 0; i < 600; ++i) put(*other, "new" + std::to_string(i), "v", 1);
  for (int i = 0; i < 20; ++i) value_of(*node, "k");
  EXPECT_EQ(names("annulus:node:e:*").size(), 600U);
  for (int i = 0; i < 600; ++i) EXPECT_EQ(value_of(*node, "new" + std::to_string(i)), "v");
}

TEST_F(RedisNode, ASweepThatDoesNotKnowOfANewGenerationLeavesItAlone) {
  const RedisNames redis_names("annulus", "node");
  RedisGeneration generation(redis_names);
  RedisSweep sweep(redis_names);
  const RedisCacheOptions options = options_for(server);
  RedisConnection connection(options);
  const RedisGenerationPtr believed = generation.agree(connection);
  const auto step = [&] {
    RedisSweep::Step next(sweep, connection, *believed);
    connection.send();
    next.receive();
  };
  step();
  node->invalidate();
  put(*node, "k", "v", 1);
  for (int i = 0; i < 4; ++i) step();
  EXPECT_EQ(value_of(*node, "k"), "v");
}

// --- memory

class FullRedisNode : public RedisNode {
 protected:
  void fill() { redis({"CONFIG", "SET", "maxmemory", "1"}); }
  void make_room() { redis({"CONFIG", "SET", "maxmemory", "0"}); }
};

TEST_F(FullRedisNode, AWriteWithoutRoomIsRejectedAndLeavesNothingOlder) {
  put(*node, "k", "old", 1);
  const std::uint64_t generation = node->generation();
  fill();
  EXPECT_EQ(put(*node, "k", "new", 3), CacheOutcome::kRejected);
  EXPECT_EQ(put(*node, "other", "new", 3), CacheOutcome::kRejected);
  EXPECT_EQ(value_of(*node, "k"), "-");
  EXPECT_EQ(put(*node, "k", "older", 2), CacheOutcome::kSuperseded);
  make_room();
  EXPECT_EQ(copy(*node, "k", "older", 2, generation), CacheOutcome::kSuperseded) << "the version is remembered";
  EXPECT_EQ(copy(*node, "other", "older", 2, generation), CacheOutcome::kSuperseded);
  EXPECT_EQ(put(*node, "k", "newer", 4), CacheOutcome::kStored);
  EXPECT_EQ(value_of(*node, "k"), "newer");
  const CacheNodeStats stats = node->stats();
  EXPECT_EQ(stats.rejected, 2U);
  EXPECT_EQ(stats.failures, 0U);
}

TEST_F(FullRedisNode, ABatchWithoutRoomIsRejectedToItsEnd) {
  std::vector<std::string> keys;
  for (int i = 0; i < 130; ++i) keys.push_back("key" + std::to_string(i));
  std::vector<CacheWrite> writes;
  for (const std::string& key : keys) writes.push_back({.key = key, .value = key, .version = {2, 0}});
  put(*node, "key1", "newer", 3);
  fill();
  std::vector<CacheOutcome> outcomes;
  node->write(writes, outcomes);
  std::vector<CacheOutcome> expected(130, CacheOutcome::kRejected);
  expected[1] = CacheOutcome::kSuperseded;
  EXPECT_EQ(outcomes, expected);
  EXPECT_EQ(value_of(*node, "key1"), "newer");
  EXPECT_EQ(value_of(*node, "key0"), "-");
}

TEST_F(FullRedisNode, ErasesForgettingAndInvalidationsNeedNoRoom) {
  put(*node, "a", "v", 1);
  put(*node, "b", "v", 1);
  fill();
  EXPECT_EQ(erase("a", 2, CacheClock::now() + seconds(60)), CacheOutcome::kStored);
  EXPECT_EQ(value_of(*node, "a"), "-");
  EXPECT_EQ(node->forget(std::vector<KeyView>{"b"}), 1U);
  EXPECT_EQ(value_of(*node, "b"), "-");
  const std::uint64_t before = node->generation();
  node->invalidate();
  EXPECT_GT(node->generation(), before);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(value_of(*node, "a"), "-");
  EXPECT_EQ(names("*"), (std::vector<std::string>{"annulus:node:generation", "annulus:node:swept"}));
}

}  // namespace
}  // namespace annulus::testing
