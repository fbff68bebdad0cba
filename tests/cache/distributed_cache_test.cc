#include "cache/distributed_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <random>
#include <thread>

#include "tests/cache/test_cache.h"
#include "tests/core/expect_error.h"

namespace annulus {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::expect_error;
using testing::NodeCall;
using testing::TestCache;

TEST(DistributedCache, PlacesKeysAsItsRingDoesAndAsAnyOtherRingWould) {
  TestCache test(4, 2);
  const ConsistentHasher before = test.cache.ring().clone();
  test.attach("n9");
  for (int i = 0; i < 100; ++i) {
    const std::string key = "k" + std::to_string(i);
    for (const auto& [ids, ring] : {std::pair(test.cache.placement(key), test.cache.ring()),
                                    std::pair(test.cache.placement_with_ring(key, before), before)}) {
      const ReplicaSet expected = ring.replica_set(key, 2);
      ASSERT_EQ(ids.size(), 2u);
      for (std::size_t rank = 0; rank < 2; ++rank) EXPECT_EQ(ids[rank], ring.node(expected.nodes[rank]).id);
    }
  }
}

TEST(DistributedCache, PutsAtEveryOwnerAndNowhereElse) {
  TestCache test(5, 3);
  EXPECT_EQ(test.cache.put("k", "v"), 3u);
  const auto owners = test.cache.placement("k");
  for (const auto& [id, node] : test.nodes()) {
    EXPECT_EQ(TestCache::held(*node, "k"), std::find(owners.begin(), owners.end(), id) != owners.end() ? "v" : "-") << id;
  }
  EXPECT_EQ(test.get("k"), "v");
  test.cache.put("k", "w");
  EXPECT_EQ(test.get("k"), "w");
  test.cache.erase("k");
  EXPECT_EQ(test.get("k"), "-");
  for (const auto& [id, node] : test.nodes()) EXPECT_EQ(TestCache::held(*node, "k"), "-") << id;
}

TEST(DistributedCache, ACacheWithoutNodesMissesEverything) {
  DistributedCache cache;
  EXPECT_EQ(cache.put("k", "v"), 0u);
  EXPECT_EQ(cache.get("k"), std::nullopt);
  cache.erase("k");
  const KeyView keys[] = {"a", "b"};
  EXPECT_EQ(cache.get(keys), (std::vector<std::optional<std::string>>(2)));
  EXPECT_EQ(cache.get_or_compute("k", [] { return std::string("v"); }), "v");
  EXPECT_EQ(cache.drop_former(), 0u);
  EXPECT_TRUE(cache.placement("k").empty());
}

TEST(DistributedCache, MoreReplicasThanNodesMeanAllNodes) {
  TestCache test(2, 5);
  EXPECT_EQ(test.cache.put("k", "v"), 2u);
  EXPECT_EQ(test.cache.placement("k").size(), 2u);
}

TEST(DistributedCache, TenReplicasAndFormerOwnersAreAllWritten) {
  TestCache test(12, 10);
  EXPECT_EQ(test.cache.put("k", "v"), 10u);
  test.cache.set_replicas(2);
  EXPECT_EQ(test.cache.put("k", "w"), 2u);
  for (const auto& [id, node] : test.nodes()) EXPECT_NE(TestCache::held(*node, "k"), "v") << id;
}

TEST(DistributedCache, AReadRepairsOwnersThatLackTheEntryWithTheTtlThatIsLeft) {
  TestCache test(3, 3);
  test.cache.put("k", "v", seconds(10));
  for (std::size_t rank : {0, 1}) test.owner("k", rank).inner().invalidate();
  test.time->now += seconds(4);
  EXPECT_EQ(test.get("k"), "v");
  for (std::size_t rank : {0, 1}) {
    const auto entry = test.owner("k", rank).inner().get("k");
    ASSERT_TRUE(entry) << rank;
    EXPECT_EQ(entry->expires, test.time->now + seconds(6));
    EXPECT_EQ(entry->version, test.owner("k", 2).inner().get("k")->version);
  }
  EXPECT_EQ(test.cache.stats().repairs, 2u);
  test.time->now += seconds(6);
  EXPECT_EQ(test.get("k"), "-");
}

TEST(DistributedCache, AnOwnerThatIsOutOfReachIsReadPastAndNotRepaired) {
  TestCache test(3, 2);
  test.cache.put("k", "v");
  test.owner("k").set_down(true);
  EXPECT_EQ(test.get("k"), "v");
  EXPECT_EQ(test.cache.stats().repairs, 0u);
  EXPECT_EQ(test.cache.stats().node_failures, 1u);
  EXPECT_EQ(test.cache.stats().hits, 1u);
  test.owner("k").set_down(false);
  EXPECT_EQ(TestCache::held(test.owner("k"), "k"), "v") << "a read that fails loses nothing";
  EXPECT_EQ(test.get("k"), "v");
}

TEST(DistributedCache, ARepairDoesNotOverwriteWhatCameMeanwhile) {
  TestCache test(2, 2);
  test.cache.put("k", "old");
  test.owner("k").inner().invalidate();
  auto& second = test.owner("k", 1);
  second.after(NodeCall::kGet, [&] {
    second.after(NodeCall::kGet, nullptr);
    test.cache.put("k", "new");
  });
  EXPECT_EQ(test.get("k"), "old") << "the read began before the put";
  EXPECT_EQ(TestCache::held(test.owner("k"), "k"), "new");
  EXPECT_EQ(test.get("k"), "new");
}

TEST(DistributedCache, ARepairDoesNotBringBackWhatWasErasedWhileTheTargetWasAway) {
  TestCache test(2, 2);
  test.cache.put("k", "old");
  auto& first = test.owner("k");
  auto& second = test.owner("k", 1);
  first.inner().invalidate();
  second.after(NodeCall::kGet, [&] {
    second.after(NodeCall::kGet, nullptr);
    first.set_down(true);
    test.cache.erase("k");  // misses the first
    first.set_down(false);
    EXPECT_TRUE(test.cache.usable(first.id()));  // invalidates it
  });
  EXPECT_EQ(test.get("k"), "old");
  EXPECT_EQ(TestCache::held(first, "k"), "-") << "the copy is of a generation before";
  EXPECT_EQ(test.get("k"), "-");
}

TEST(DistributedCache, ARepairIsNotMadeWhileTheKeyIsBeingWritten) {
  TestCache test(2, 2);
  test.cache.put("k", "old");
  auto& first = test.owner("k");
  auto& second = test.owner("k", 1);
  int reads = 0;
  second.before(NodeCall::kWrite, [&] {
    if (reads++ > 0) return;
    // The put has been to the first owner, which loses it, and not yet to the second.
    EXPECT_EQ(TestCache::held(first, "k"), "new");
    first.inner().invalidate();
    EXPECT_EQ(test.get("k"), "old");
  });
  test.cache.put("k", "new");
  EXPECT_EQ(reads, 1);
  EXPECT_NE(TestCache::held(first, "k"), "old");
  EXPECT_EQ(test.get("k"), "new");
}

TEST(DistributedCache, APutThatWasOvertakenByAnEraseWhichItsNodeMissedIsNotTaken) {
  TestCache test(1);
  auto& node = test.node("n0");
  int writes = 0;
  node.before(NodeCall::kWrite, [&] {
    if (writes++ > 0) return;  // of the put alone
    node.set_down(true);
    test.cache.erase("k");
    node.set_down(false);
    EXPECT_TRUE(test.cache.usable("n0"));
  });
  EXPECT_EQ(test.cache.put("k", "overtaken"), 0u);
  EXPECT_EQ(test.get("k"), "-");
  EXPECT_EQ(test.cache.put("k", "next"), 1u);
  EXPECT_EQ(test.get("k"), "next");
}

TEST(DistributedCache, APutThatANodeRefusesForItsGenerationLeavesNothingOlderThere) {
  for (const bool batch : {false, true}) {
    TestCache test(1);
    auto& node = test.node("n0");
    node.after(NodeCall::kGeneration, [&] {
      node.after(NodeCall::kGeneration, nullptr);
      // between the generation that the put will carry and its version
      node.inner().invalidate();
      test.cache.put("k", "older");
    });
    const CacheItem items[] = {{.key = "k", .value = "newer"}};
    EXPECT_EQ(batch ? test.cache.put(items) : test.cache.put("k", "newer"), 0u);
    EXPECT_EQ(test.get("k"), "-");
  }
}

TEST(DistributedCache, AWriteThatMissesANodeWhileItIsInvalidatedKeepsItBehind) {
  TestCache test(1, 1, nullptr, CacheStart::kWarm);
  auto& node = test.node("n0");
  test.cache.put("k", "old");
  std::latch writing(1);
  std::latch fails(1);
  node.before(NodeCall::kWrite, [&] {
    node.before(NodeCall::kWrite, nullptr);
    writing.count_down();
    fails.wait();
    node.set_down(true);
  });
  std::thread writer([&] { test.cache.put("k", "new"); });
  writing.wait();
  node.set_down(true);
  test.cache.erase("l");  // the node is behind
  node.set_down(false);
  node.before(NodeCall::kInvalidate, [&] {
    node.before(NodeCall::kInvalidate, nullptr);
    fails.count_down();
    writer.join();
    node.set_down(false);
  });
  EXPECT_TRUE(test.cache.usable("n0"));
  EXPECT_EQ(node.count(NodeCall::kInvalidate), 2u) << "the first does not answer for the second miss";
}

TEST(DistributedCache, ABatchThatWasOvertakenByAnEraseWhichItsNodeMissedIsNotTaken) {
  TestCache test(1);
  auto& node = test.node("n0");
  int writes = 0;
  node.before(NodeCall::kWrite, [&] {
    if (writes++ > 0) return;
    node.set_down(true);
    test.cache.erase("a");
    node.set_down(false);
    EXPECT_TRUE(test.cache.usable("n0"));
  });
  const CacheItem items[] = {{.key = "a", .value = "overtaken"}, {.key = "b", .value = "too"}};
  EXPECT_EQ(test.cache.put(items), 0u);
  EXPECT_EQ(test.get("a"), "-");
  EXPECT_EQ(test.cache.put(items), 2u);
  EXPECT_EQ(test.get("b"), "too");
}

TEST(DistributedCache, ANodeThatMissedAWriteIsInvalidatedBeforeItIsUsed) {
  TestCache test(3, 2);
  test.cache.put("k", "old");
  auto& first = test.owner("k");
  first.set_down(true);
  EXPECT_EQ(test.cache.put("k", "new"), 1u);
  EXPECT_TRUE(test.cache.stats().nodes.at(static_cast<std::size_t>(first.id().back() - '0')).waits_for_invalidation);
  EXPECT_FALSE(test.cache.usable(first.id()));
  EXPECT_EQ(test.get("k"), "new");
  first.set_down(false);
  EXPECT_EQ(TestCache::held(first, "k"), "old");
  EXPECT_EQ(test.get("k"), "new");
  EXPECT_EQ(TestCache::held(first, "k"), "new") << "invalidated, missed at, and repaired";
  EXPECT_FALSE(test.cache.stats().nodes.at(static_cast<std::size_t>(first.id().back() - '0')).waits_for_invalidation);
}

TEST(DistributedCache, ADeadNodeCostsMissesAndACounter) {
  TestCache test(1);
  test.cache.put("k", "v");
  test.node("n0").set_down(true);
  EXPECT_EQ(test.get("k"), "-");
  EXPECT_EQ(test.cache.put("k", "w"), 0u);
  test.cache.erase("k");
  const KeyView keys[] = {"k", "l"};
  const CacheItem items[] = {{.key = "k", .value = "v"}};
  EXPECT_EQ(test.cache.get(keys), (std::vector<std::optional<std::string>>(2)));
  EXPECT_EQ(test.cache.put(items), 0u);
  test.cache.erase(keys);
  EXPECT_EQ(test.cache.get_or_compute("k", [] { return std::string("c"); }), "c");
  // one for each call, and for the two looks and the put of get_or_compute
  EXPECT_EQ(test.cache.stats().node_failures, 9u);
}

TEST(DistributedCache, EntriesExpireAndHugeTtlsDoNot) {
  TestCache test(1);
  test.cache.put("soon", "v", milliseconds(1));
  test.cache.put("never", "v", milliseconds::max());
  test.cache.put("unset", "v");
  EXPECT_EQ(test.get("soon"), "v");
  test.time->now += milliseconds(1);
  EXPECT_EQ(test.get("soon"), "-");
  EXPECT_EQ(test.get("never"), "v");
  EXPECT_EQ(test.node("n0").inner().get("never")->expires, kNeverExpires);
  EXPECT_EQ(test.node("n0").inner().get("unset")->expires, kNeverExpires);
}

TEST(DistributedCache, VersionsFollowThoseThatItReads) {
  TestCache test(1, 1, nullptr, CacheStart::kWarm);
  const std::uint64_t ahead = std::uint64_t{1} << 63;
  test.node("n0").inner().write({.key = "k", .value = "of another process", .version = {ahead, 7}});
  EXPECT_EQ(test.cache.put("k", "unseen"), 0u) << "its clock is behind, and it does not know";
  EXPECT_EQ(test.get("k"), "of another process");
  EXPECT_EQ(test.cache.put("k", "seen"), 1u);
  EXPECT_EQ(test.get("k"), "seen");
}

TEST(DistributedCache, BatchesDoWhatSingleCallsDo) {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  for (const bool remote : {false, true}) {
    std::mt19937_64 random(seed);
    TestCache single(5, 2);
    TestCache batched(5, 2);
    for (const auto& [id, node] : batched.nodes()) node->set_remote(remote);
    for (int round = 0; round < 60; ++round) {
      std::vector<std::string> names;
      for (std::size_t i = 0; i < random() % 40; ++i) names.push_back("k" + std::to_string(random() % 100));
      std::vector<std::string> values;
      for (std::size_t i = 0; i < names.size(); ++i) values.push_back("v" + std::to_string(random()));
      const std::vector<KeyView> keys(names.begin(), names.end());
      switch (random() % 4) {
        case 0: {
          std::vector<CacheItem> items;
          for (std::size_t i = 0; i < keys.size(); ++i) {
            const std::optional<CacheTtl> ttl = i % 3 == 0 ? std::optional<CacheTtl>(seconds(1 + i)) : std::nullopt;
            items.push_back({keys[i], values[i], ttl});
            EXPECT_EQ(single.cache.put(keys[i], values[i], ttl), 2u);
          }
          EXPECT_EQ(batched.cache.put(items), items.size());
          break;
        }
        case 1:
          for (const KeyView key : keys) single.cache.erase(key);
          batched.cache.erase(keys);
          break;
        case 2: {
          const std::string lost = "n" + std::to_string(random() % 5);
          single.node(lost).inner().invalidate();
          batched.node(lost).inner().invalidate();
          break;
        }
        default: single.time->now += seconds(2); batched.time->now += seconds(2);
      }
      std::vector<std::string> all;
      for (int i = 0; i < 100; ++i) all.push_back("k" + std::to_string(i));
      const std::vector<KeyView> views(all.begin(), all.end());
      const auto found = batched.cache.get(views);
      for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(found[i].value_or("-"), single.get(all[i])) << all[i];
    }
    EXPECT_EQ(batched.cache.stats().hits, single.cache.stats().hits);
    EXPECT_EQ(batched.cache.stats().misses, single.cache.stats().misses);
    EXPECT_EQ(batched.cache.stats().repairs, single.cache.stats().repairs);
    EXPECT_GT(batched.cache.stats().repairs, 0u);
  }
}

TEST(DistributedCache, ABatchMakesOneCallANode) {
  TestCache test(4, 2);
  std::vector<std::string> names;
  for (int i = 0; i < 200; ++i) names.push_back("k" + std::to_string(i));
  const std::vector<KeyView> keys(names.begin(), names.end());
  std::vector<CacheItem> items;
  for (const KeyView key : keys) items.push_back({.key = key, .value = "v"});
  test.cache.put(items);
  test.cache.get(keys);
  for (const auto& [id, node] : test.nodes()) {
    EXPECT_EQ(node->count(NodeCall::kWrite), 1u) << id;
    EXPECT_EQ(node->count(NodeCall::kGet), 1u) << id;
  }
}

TEST(DistributedCache, OfEqualKeysInABatchTheLastOneWins) {
  TestCache test(3, 2);
  const CacheItem items[] = {{.key = "k", .value = "1"}, {.key = "l", .value = "2"}, {.key = "k", .value = "3"}};
  EXPECT_EQ(test.cache.put(items), 3u);
  EXPECT_EQ(test.get("k"), "3");
  const KeyView keys[] = {"k", "none", "k"};
  EXPECT_EQ(test.cache.get(keys), (std::vector<std::optional<std::string>>{"3", std::nullopt, "3"}));
}

TEST(DistributedCache, RefusesBadInputBeforeAnythingIsWritten) {
  TestCache test(2);
  const std::string long_key(kMaxKeyBytes + 1, 'k');
  // never read: only its size is looked at
  const std::string_view huge("x", kMaxCacheValueBytes + 1);
  const auto compute = [] { return std::string("v"); };
  expect_error(ErrorCode::kInvalidArgument, {"empty"}, [&] { test.cache.get(KeyView()); });
  expect_error(ErrorCode::kInvalidArgument, {"1025"}, [&] { test.cache.put(long_key, "v"); });
  expect_error(ErrorCode::kInvalidArgument, {"1025"}, [&] { test.cache.erase(long_key); });
  expect_error(ErrorCode::kInvalidArgument, {"1025"}, [&] { test.cache.get_or_compute(long_key, compute); });
  expect_error(ErrorCode::kInvalidArgument, {"1025"}, [&] { test.cache.placement(long_key); });
  expect_error(ErrorCode::kInvalidArgument, {"1025"}, [&] { test.cache.placement_with_ring(long_key, test.cache.ring()); });
  expect_error(ErrorCode::kInvalidArgument, {"'k'", "268435457", "268435456"}, [&] { test.cache.put("k", huge); });
  expect_error(ErrorCode::kInvalidArgument, {"'k'", "0 ms"}, [&] { test.cache.put("k", "v", milliseconds(0)); });
  expect_error(ErrorCode::kInvalidArgument, {"'k'", "-5 ms"}, [&] { test.cache.get_or_compute("k", compute, milliseconds(-5)); });
  expect_error(ErrorCode::kInvalidArgument, {"'k'", "without"}, [&] { test.cache.get_or_compute("k", nullptr); });
  const CacheItem items[] = {{.key = "good", .value = "v"}, {.key = "k", .value = "v", .ttl = milliseconds(0)}};
  expect_error(ErrorCode::kInvalidArgument, {"'k'", "0 ms"}, [&] { test.cache.put(items); });
  const KeyView keys[] = {"good", long_key};
  expect_error(ErrorCode::kInvalidArgument, {"1025"}, [&] { test.cache.get(keys); });
  expect_error(ErrorCode::kInvalidArgument, {"1025"}, [&] { test.cache.erase(keys); });
  const std::vector<std::string> to{"n0"};
  expect_error(ErrorCode::kInvalidArgument, {"1025"}, [&] { test.cache.copy(keys, "n1", to); });
  for (const auto& [id, node] : test.nodes()) EXPECT_EQ(node->count(NodeCall::kWrite), 0u) << id;
}

TEST(DistributedCache, RefusesBadOptions) {
  expect_error(ErrorCode::kInvalidArgument, {"0 replicas"}, [] { DistributedCache cache({.replicas = 0}); });
  expect_error(ErrorCode::kUnimplemented, {"3 probes"}, [] { DistributedCache cache({.ring = {.probes = 3}}); });
  expect_error(ErrorCode::kInvalidArgument, {"tombstone_life", "0 ms"},
               [] { DistributedCache cache({.tombstone_life = milliseconds(0)}); });
}

}  // namespace
}  // namespace annulus
