#include "tests/cache/cache_node_contract.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

namespace annulus::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CacheNodeContract);

std::vector<std::string> scan_all(CacheNode& node, std::size_t limit) {
  std::vector<std::string> keys;
  for (CacheCursor cursor; !cursor.done;) node.scan(cursor, limit, keys);
  std::ranges::sort(keys);
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());  // twice is allowed
  return keys;
}

TEST_P(CacheNodeContract, GivesWhatWasPutWithItsVersionAndExpiry) {
  const CacheTime expires = time->now + seconds(5);
  EXPECT_EQ(put("k", "value", {7, 3}, expires), CacheOutcome::kStored);
  EXPECT_EQ(node->get("k"), (CacheEntry{"value", {7, 3}, expires}));
  EXPECT_EQ(node->get("other"), std::nullopt);
  EXPECT_EQ(put("k", "", {8, 0}), CacheOutcome::kStored);
  EXPECT_EQ(node->get("k"), (CacheEntry{"", {8, 0}, kNeverExpires}));
}

TEST_P(CacheNodeContract, TakesOnlyWhatIsNewerByClockAndThenByWriter) {
  EXPECT_EQ(put("k", "a", {10, 5}), CacheOutcome::kStored);
  EXPECT_EQ(put("k", "older", {9, 9}), CacheOutcome::kSuperseded);
  EXPECT_EQ(put("k", "older", {10, 4}), CacheOutcome::kSuperseded);
  EXPECT_EQ(put("k", "equal", {10, 5}), CacheOutcome::kSuperseded);
  EXPECT_EQ(value_of("k"), "a");
  EXPECT_EQ(put("k", "b", {10, 6}), CacheOutcome::kStored);
  EXPECT_EQ(put("k", "c", {11, 0}), CacheOutcome::kStored);
  EXPECT_EQ(value_of("k"), "c");
}

TEST_P(CacheNodeContract, ComparesAllBitsOfAVersionAsNumbers) {
  const std::vector<Version> growing{{0x7f, 0},
                                     {0x80, 0},
                                     {0xff, 1},
                                     {0x100, 0},
                                     {0xffffffff, 7},
                                     {0x100000000, 2},
                                     {0x100000000, 0x80},
                                     {0x7fffffffffffffff, 0xffffffff},
                                     {0x8000000000000000, 0},
                                     {0xffffffffffffffff, 0x7fffffff},
                                     {0xffffffffffffffff, 0xffffffff}};
  for (std::size_t i = 0; i < growing.size(); ++i) {
    EXPECT_EQ(put("k", std::to_string(i), growing[i]), CacheOutcome::kStored) << i;
    for (std::size_t older = 0; older <= i; ++older)
      EXPECT_EQ(put("k", "older", growing[older]), CacheOutcome::kSuperseded) << older;
    EXPECT_EQ(node->get("k"), (CacheEntry{std::to_string(i), growing[i], kNeverExpires}));
  }
}

TEST_P(CacheNodeContract, KeysAndValuesAreAnyBytes) {
  std::string all_bytes;
  for (int c = 0; c < 256; ++c) all_bytes += static_cast<char>(c);
  const std::vector<std::string> keys{all_bytes,    std::string(1, '\0'),          "*", "a:b", "[x]?\\",
                                      "\r\n$3\r\n", std::string(kMaxKeyBytes, 'k')};
  for (const std::string& key : keys) EXPECT_EQ(put(key, key + all_bytes, {1, 0}), CacheOutcome::kStored);
  for (const std::string& key : keys) EXPECT_EQ(value_of(key), key + all_bytes);
  std::vector<std::string> sorted = keys;
  std::ranges::sort(sorted);
  EXPECT_EQ(scan_all(*node, 2), sorted);
}

TEST_P(CacheNodeContract, AnErasedKeyIsAMissAndTakesNothingOlder) {
  put("k", "a", {1, 0});
  EXPECT_EQ(erase("k", {3, 0}), CacheOutcome::kStored);
  EXPECT_EQ(value_of("k"), "-");
  EXPECT_EQ(put("k", "b", {2, 0}), CacheOutcome::kSuperseded);
  EXPECT_EQ(copy("k", "b", {2, 0}, node->generation()), CacheOutcome::kSuperseded);
  EXPECT_EQ(erase("k", {2, 0}), CacheOutcome::kSuperseded);
  EXPECT_EQ(value_of("k"), "-");
  EXPECT_EQ(erase("never there", {3, 0}), CacheOutcome::kStored);
  EXPECT_EQ(put("never there", "b", {2, 0}), CacheOutcome::kSuperseded);
  EXPECT_EQ(put("k", "c", {4, 0}), CacheOutcome::kStored);
  EXPECT_EQ(value_of("k"), "c");
}

TEST_P(CacheNodeContract, AnEntryPastItsTimeIsAMissAndTakesNothingOlder) {
  put("k", "a", {5, 0}, time->now + milliseconds(1500));
  time->now += milliseconds(1499);
  EXPECT_EQ(value_of("k"), "a");
  time->now += milliseconds(1);
  EXPECT_EQ(value_of("k"), "-");
  EXPECT_EQ(node->stats().expired, 1U);
  EXPECT_EQ(copy("k", "older", {4, 0}, node->generation()), CacheOutcome::kSuperseded);
  EXPECT_EQ(value_of("k"), "-");
  EXPECT_EQ(put("k", "b", {6, 0}), CacheOutcome::kStored);
  EXPECT_EQ(value_of("k"), "b");
}

TEST_P(CacheNodeContract, WhatHasExpiredAlreadyIsNoEntryAndRemembered) {
  put("k", "a", {1, 0});
  put("k", "b", {3, 0}, time->now - seconds(1));
  EXPECT_EQ(value_of("k"), "-");
  EXPECT_EQ(copy("k", "older", {2, 0}, node->generation()), CacheOutcome::kSuperseded);
  EXPECT_EQ(value_of("k"), "-");
}

TEST_P(CacheNodeContract, ForgottenEntriesAreCountedAndGone) {
  put("a", "1", {5, 0});
  put("b", "1", {5, 0}, time->now + seconds(1));
  put("c", "1", {5, 0});
  erase("d", {5, 0});
  time->now += seconds(2);
  const std::vector<KeyView> keys{"a", "b", "d", "none"};
  EXPECT_EQ(node->forget(keys), 1U);
  EXPECT_EQ(value_of("a"), "-");
  EXPECT_EQ(value_of("c"), "1");
  EXPECT_EQ(node->forget(keys), 0U);
  EXPECT_EQ(copy("a", "1", {5, 0}, node->generation()), CacheOutcome::kStored) << "it may come back as it was";
  EXPECT_EQ(value_of("a"), "1");
  EXPECT_EQ(put("a", "2", {6, 0}), CacheOutcome::kStored);
  EXPECT_EQ(value_of("a"), "2");
}

TEST_P(CacheNodeContract, AnInvalidationDropsEverythingAndRefusesCopiesOfBefore) {
  put("k", "a", {5, 0});
  put("l", "a", {5, 0});
  const std::uint64_t before = node->generation();
  node->invalidate();
  EXPECT_NE(node->generation(), before);
  EXPECT_EQ(value_of("k"), "-");
  EXPECT_TRUE(scan_all(*node, 10).empty());
  EXPECT_EQ(copy("k", "copy", {6, 0}, before), CacheOutcome::kSuperseded);
  EXPECT_EQ(value_of("k"), "-");
  EXPECT_EQ(copy("k", "copy", {6, 0}, node->generation()), CacheOutcome::kStored);
  EXPECT_EQ(value_of("k"), "copy");
  EXPECT_EQ(put("l", "fresh", {7, 0}), CacheOutcome::kStored);
  EXPECT_EQ(value_of("l"), "fresh");
}

TEST_P(CacheNodeContract, ABatchAnswersKeyByKeyAndWritesInOrder) {
  put("old", "kept", {9, 0});
  const std::vector<CacheWrite> writes{
      {.key = "a", .value = "1", .version = {1, 0}},
      {.key = "old", .value = "2", .version = {2, 0}},
      {.key = "a", .value = "3", .version = {3, 0}},
      {.key = "a", .value = "2", .version = {2, 0}},
      {.key = "b", .value = {}, .version = {4, 0}, .expires = time->now + seconds(60), .kind = CacheWriteKind::kErase},
  };
  std::vector<CacheOutcome> outcomes{CacheOutcome::kRejected};
  node->write(writes, outcomes);
  EXPECT_EQ(outcomes, (std::vector{CacheOutcome::kStored, CacheOutcome::kSuperseded, CacheOutcome::kStored,
                                   CacheOutcome::kSuperseded, CacheOutcome::kStored}));
  std::vector<std::optional<CacheEntry>> entries(7);
  const std::vector<KeyView> keys{"b", "a", "none", "old", "a"};
  node->get(keys, entries);
  ASSERT_EQ(entries.size(), 5U);
  EXPECT_EQ(entries[0], std::nullopt);
  EXPECT_EQ(entries[1], (CacheEntry{"3", {3, 0}, kNeverExpires}));
  EXPECT_EQ(entries[2], std::nullopt);
  EXPECT_EQ(entries[3], (CacheEntry{"kept", {9, 0}, kNeverExpires}));
  EXPECT_EQ(entries[4], entries[1]);
  node->get(std::span<const KeyView>(), entries);
  EXPECT_TRUE(entries.empty());
  node->write(std::span<const CacheWrite>(), outcomes);
  EXPECT_TRUE(outcomes.empty());
  EXPECT_EQ(node->forget({}), 0U);
}

TEST_P(CacheNodeContract, BatchesOfAnySizeAreWhole) {
  std::vector<std::string> keys;
  for (int i = 0; i < 1500; ++i) keys.push_back("key" + std::to_string(i));
  for (const std::size_t count : {1, 63, 64, 65, 511, 512, 513, 1500}) {
    std::vector<CacheWrite> writes;
    std::vector<KeyView> views;
    for (std::size_t i = 0; i < count; ++i) {
      writes.push_back({.key = keys[i], .value = keys[i], .version = {count, 0}});
      views.push_back(keys[i]);
    }
    std::vector<CacheOutcome> outcomes;
    node->write(writes, outcomes);
    EXPECT_EQ(outcomes, std::vector(count, CacheOutcome::kStored));
    std::vector<std::optional<CacheEntry>> entries;
    node->get(views, entries);
    ASSERT_EQ(entries.size(), count);
    for (std::size_t i = 0; i < count; ++i)
      EXPECT_EQ(entries[i], (CacheEntry{keys[i], {count, 0}, kNeverExpires})) << i << " of " << count;
  }
}

TEST_P(CacheNodeContract, AScanGivesLiveKeysOnly) {
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    expected.push_back("live" + std::to_string(i));
    put(expected.back(), "v", {1, 0});
  }
  for (int i = 0; i < 20; ++i) {
    const std::string key = "erased" + std::to_string(i);
    put(key, "v", {1, 0});
    erase(key, {2, 0});
  }
  put("expired", "v", {1, 0}, time->now + seconds(1));
  time->now += seconds(2);
  std::ranges::sort(expected);
  for (const std::size_t limit : {1, 7, 100, 100'000}) EXPECT_EQ(scan_all(*node, limit), expected) << limit;
}

TEST_P(CacheNodeContract, CountsWhatItsCallersMet) {
  put("a", "1", {1, 0});
  put("a", "0", {1, 0});
  put("b", "1", {1, 0});
  value_of("a");
  value_of("none");
  std::vector<std::optional<CacheEntry>> entries;
  const std::vector<KeyView> keys{"a", "b", "none"};
  node->get(keys, entries);
  const CacheNodeStats stats = node->stats();
  EXPECT_EQ(stats.hits, 3U);
  EXPECT_EQ(stats.misses, 2U);
  EXPECT_EQ(stats.stored, 2U);
  EXPECT_EQ(stats.superseded, 1U);
  EXPECT_EQ(stats.rejected, 0U);
  EXPECT_EQ(stats.failures, 0U);
  EXPECT_EQ(stats.last_error, "");
}

TEST_P(CacheNodeContract, ReadersOfAKeyNeverSeeItGoBack) {
  constexpr int kWrites = 400;
  std::atomic<std::uint64_t> acknowledged{0};
  std::vector<std::thread> threads;
  for (std::uint64_t writer = 0; writer < 2; ++writer) {
    threads.emplace_back([&, writer] {
      for (std::uint64_t i = 1; i <= kWrites; ++i) {
        const std::uint64_t clock = 2 * i + writer;
        put("k", std::to_string(clock), {clock, 0});
        std::uint64_t seen = acknowledged;
        while (seen < clock && !acknowledged.compare_exchange_weak(seen, clock)) {
        }
      }
    });
  }
  std::atomic<int> wrong{0};
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&] {
      while (acknowledged < 2 * kWrites) {
        const std::uint64_t least = acknowledged;
        const auto entry = node->get("k");
        const std::uint64_t clock = entry ? entry->version.clock : 0;
        if (clock < least || (entry && entry->value != std::to_string(clock))) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(value_of("k"), std::to_string(2 * kWrites + 1));
}

}  // namespace
}  // namespace annulus::testing
