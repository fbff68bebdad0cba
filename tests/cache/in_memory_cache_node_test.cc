// What is an InMemoryCacheNode's own: bounds, the order of use, floors. The rest is tests/cache/cache_node_contract.cc.
#include "cache/in_memory_cache_node.h"

#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <list>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/core/expect_error.h"

namespace annulus {
namespace {

using std::chrono::seconds;
using testing::expect_error;

constexpr std::size_t kPlenty = std::size_t{1} << 20;

CacheOutcome put(CacheNode& node, KeyView key, std::string_view value, std::uint64_t clock, CacheTime expires = kNeverExpires) {
  return node.write({.key = key, .value = value, .version = {clock, 0}, .expires = expires});
}

CacheOutcome erase(CacheNode& node, KeyView key, std::uint64_t clock) {
  return node.write({.key = key, .value = {}, .version = {clock, 0}, .kind = CacheWriteKind::kErase});
}

std::string value_of(CacheNode& node, KeyView key) {
  const auto entry = node.get(key);
  return entry ? entry->value : "-";
}

// A node as its header describes it, one lock, the slow way. Floors are per key: the node may refuse more, because of others'.
class Model {
 public:
  Model(std::size_t items, std::size_t bytes) : items_(items), bytes_(bytes) {}

  struct Entry {
    std::string key;
    std::string value;
    std::uint64_t clock = 0;
    CacheTime expires;
    bool erased = false;
    std::size_t cost() const { return key.size() + value.size() + InMemoryCacheNode::kEntryOverheadBytes; }
  };

  std::string get(const std::string& key, CacheTime now) {
    const auto at = find(key);
    if (at == used_.end() || at->erased) return "-";
    if (at->expires <= now) {
      lose(key);
      return "-";
    }
    used_.splice(used_.begin(), used_, at);
    return at->value;
  }
  /// Whether what the node knows of the key itself lets the write in.
  bool is_newer(const std::string& key, std::uint64_t clock) {
    const auto at = find(key);
    return at != used_.end() ? clock > at->clock : clock >= floors_[key];
  }
  /// The newest clock that was forgotten, of any key.
  std::uint64_t highest_floor() const { return highest_floor_; }
  CacheOutcome write(Entry entry) {
    const auto at = find(entry.key);
    const std::size_t cost = entry.cost();
    if (at != used_.end()) used_.erase(at);
    if (cost > bytes_) {
      raise(entry.key, entry.clock);
      return CacheOutcome::kRejected;
    }
    used_.push_front(std::move(entry));
    while (used_.size() > items_ || bytes() > bytes_) lose(used_.back().key);
    return CacheOutcome::kStored;
  }
  void lose(const std::string& key) {
    const auto at = find(key);
    if (at != used_.end()) raise(key, at->clock);
    forget(key);
  }
  void forget(const std::string& key) {
    const auto at = find(key);
    if (at != used_.end()) used_.erase(at);
  }
  void clear() {
    used_.clear();
    floors_.clear();
    highest_floor_ = 0;
  }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Entry& entry : used_) sum += entry.cost();
    return sum;
  }
  std::size_t live() const {
    std::size_t sum = 0;
    for (const Entry& entry : used_) sum += entry.erased ? 0 : 1;
    return sum;
  }
  std::size_t size() const { return used_.size(); }

 private:
  std::list<Entry>::iterator find(const std::string& key) {
    return std::find_if(used_.begin(), used_.end(), [&](const Entry& entry) { return entry.key == key; });
  }
  void raise(const std::string& key, std::uint64_t clock) {
    floors_[key] = std::max(floors_[key], clock);
    highest_floor_ = std::max(highest_floor_, clock);
  }

  std::size_t items_;
  std::size_t bytes_;
  std::list<Entry> used_;  // the last used first
  std::map<std::string, std::uint64_t> floors_;
  std::uint64_t highest_floor_ = 0;
};

TEST(InMemoryCacheNode, DoesWhatTheModelDoesUnderRandomOperations) {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  std::mt19937_64 random(seed);
  for (int round = 0; round < 40; ++round) {
    const std::size_t items = 1 + random() % 40;
    const std::size_t bytes = 200 + random() % 6000;
    CacheTime now(seconds(1'000'000));
    InMemoryCacheNode node("n", {.items = items, .bytes = bytes}, [&] { return now; });
    Model model(items, bytes);
    std::uint64_t clock = 100;
    std::size_t refused_for_others = 0;
    for (int step = 0; step < 3000; ++step) {
      const std::string key = "key-" + std::to_string(random() % 60) + std::string(random() % 2 ? 0 : 30, 'x');
      const std::uint64_t what = random() % 100;
      if (what < 45) {
        ASSERT_EQ(value_of(node, key), model.get(key, now)) << "round " << round << " step " << step;
      } else if (what < 90) {
        Model::Entry entry{key, std::string(random() % 200, static_cast<char>('a' + step % 26)), 0, kNeverExpires};
        if (random() % 40 == 0) entry.value.resize(7000);
        entry.clock = random() % 4 == 0 ? clock - random() % 100 : ++clock;
        if (random() % 3 == 0) entry.expires = now + seconds(1 + random() % 20);
        entry.erased = random() % 6 == 0;
        if (entry.erased) entry.value.clear();
        const CacheWrite write{.key = entry.key,
                               .value = entry.value,
                               .version = {entry.clock, 0},
                               .expires = entry.expires,
                               .kind = entry.erased ? CacheWriteKind::kErase : CacheWriteKind::kPut};
        const CacheOutcome outcome = node.write(write);
        if (!model.is_newer(key, entry.clock)) {
          ASSERT_EQ(outcome, CacheOutcome::kSuperseded) << "round " << round << " step " << step;
        } else if (outcome == CacheOutcome::kSuperseded) {
          ASSERT_LE(entry.clock, model.highest_floor()) << "round " << round << " step " << step;
          ++refused_for_others;
        } else {
          ASSERT_EQ(outcome, model.write(entry)) << "round " << round << " step " << step;
        }
      } else if (what < 96) {
        const KeyView keys[] = {key};
        node.forget(keys);
        model.forget(key);
      } else if (what < 99) {
        now += seconds(random() % 5);
      } else if (random() % 10 == 0) {
        node.invalidate();
        model.clear();
      }
      const CacheNodeStats stats = node.stats();
      ASSERT_EQ(stats.bytes, model.bytes()) << "round " << round << " step " << step;
      ASSERT_EQ(stats.items, model.live()) << "round " << round << " step " << step;
      ASSERT_LE(stats.bytes, bytes);
      ASSERT_LE(model.size(), items);
    }
    EXPECT_LT(refused_for_others, 150u) << "floors refuse too much";
  }
}

TEST(InMemoryCacheNode, PushesOutTheLeastRecentlyUsedForRoomInItems) {
  InMemoryCacheNode node("n", {.items = 3, .bytes = kPlenty});
  put(node, "a", "1", 1);
  put(node, "b", "1", 2);
  put(node, "c", "1", 3);
  EXPECT_EQ(value_of(node, "a"), "1");  // used: b is the oldest now
  put(node, "d", "1", 4);
  EXPECT_EQ(value_of(node, "b"), "-");
  EXPECT_EQ(value_of(node, "a"), "1");
  put(node, "c", "2", 5);
  put(node, "e", "1", 6);
  EXPECT_EQ(value_of(node, "d"), "-");
  EXPECT_EQ(value_of(node, "c"), "2");
  EXPECT_EQ(node.stats().evicted, 2u);
  EXPECT_EQ(node.stats().items, 3u);
}

TEST(InMemoryCacheNode, PushesOutAsManyAsNeededForRoomInBytes) {
  const std::size_t small = 1 + 10 + InMemoryCacheNode::kEntryOverheadBytes;
  InMemoryCacheNode node("n", {.items = 100, .bytes = 5 * small});
  for (const char* key : {"a", "b", "c", "d", "e"}) put(node, key, std::string(10, 'x'), 1);
  EXPECT_EQ(node.stats().bytes, 5 * small);
  // as large as three small ones
  EXPECT_EQ(put(node, "f", std::string(3 * small - 1 - InMemoryCacheNode::kEntryOverheadBytes, 'y'), 2), CacheOutcome::kStored);
  EXPECT_EQ(node.stats().bytes, 5 * small);
  EXPECT_EQ(node.stats().evicted, 3u);
  EXPECT_EQ(value_of(node, "c"), "-");
  EXPECT_EQ(value_of(node, "d"), std::string(10, 'x'));
}

TEST(InMemoryCacheNode, OneEntryMayPushOutAHundred) {
  InMemoryCacheNode node("n", {.items = 1000, .bytes = 100 * (2 + InMemoryCacheNode::kEntryOverheadBytes)});
  for (int i = 0; i < 100; ++i) put(node, "k" + std::to_string(i % 10), "", static_cast<std::uint64_t>(i) + 1);
  for (int i = 0; i < 90; ++i) put(node, std::string{static_cast<char>('A' + i / 10), static_cast<char>('0' + i % 10)}, "", 1000);
  EXPECT_EQ(node.stats().items, 100u);
  EXPECT_EQ(put(node, "big", std::string(node.capacity().bytes - 3 - InMemoryCacheNode::kEntryOverheadBytes, 'x'), 2000),
            CacheOutcome::kStored);
  EXPECT_EQ(node.stats().items, 1u);
  EXPECT_EQ(node.stats().evicted, 100u);
  EXPECT_EQ(put(node, "A0", "", 999), CacheOutcome::kSuperseded);
}

TEST(InMemoryCacheNode, RejectsWhatIsLargerThanItselfAndHoldsNothingUnderItsKey) {
  InMemoryCacheNode node("n", {.items = 100, .bytes = 1000});
  put(node, "k", "old", 1);
  EXPECT_EQ(put(node, "k", std::string(1000, 'x'), 3), CacheOutcome::kRejected);
  EXPECT_EQ(value_of(node, "k"), "-");
  EXPECT_EQ(put(node, "k", "older", 2), CacheOutcome::kSuperseded);
  EXPECT_EQ(put(node, "k", std::string(2000, 'x'), 2), CacheOutcome::kSuperseded);
  EXPECT_EQ(put(node, "k", "newer", 4), CacheOutcome::kStored);
  const CacheNodeStats stats = node.stats();
  EXPECT_EQ(stats.rejected, 1u);
  EXPECT_EQ(stats.superseded, 2u);
}

TEST(InMemoryCacheNode, WhatItPushedOutDoesNotComeBackOlder) {
  InMemoryCacheNode node("n", {.items = 1, .bytes = kPlenty});
  put(node, "a", "new", 5);
  put(node, "b", "1", 6);
  EXPECT_EQ(put(node, "a", "old", 4), CacheOutcome::kSuperseded);
  EXPECT_EQ(value_of(node, "a"), "-");
  EXPECT_EQ(put(node, "a", "new", 5), CacheOutcome::kStored) << "the very entry that was pushed out";
  EXPECT_EQ(put(node, "a", "newer", 7), CacheOutcome::kStored);
}

TEST(InMemoryCacheNode, ATombstoneThatWasPushedOutIsRemembered) {
  InMemoryCacheNode node("n", {.items = 1, .bytes = kPlenty});
  erase(node, "a", 5);
  EXPECT_EQ(node.stats().items, 0u);
  EXPECT_GT(node.stats().bytes, 0u);
  put(node, "b", "1", 6);
  EXPECT_EQ(node.stats().evicted, 0u) << "a tombstone is no entry";
  EXPECT_EQ(put(node, "a", "old", 4), CacheOutcome::kSuperseded);
  EXPECT_EQ(value_of(node, "a"), "-");
}

TEST(InMemoryCacheNode, AFloorRefusesFewCopiesOfOtherKeys) {
  CacheTime now(seconds(1000));
  InMemoryCacheNode node("n", {.items = 10'000, .bytes = std::size_t{100} << 20}, [&] { return now; });
  for (int i = 0; i < 10; ++i) {
    const std::string key = "gone" + std::to_string(i);
    put(node, key, "1", 1000, now);
    EXPECT_EQ(value_of(node, key), "-");
    EXPECT_EQ(put(node, key, "old", 999), CacheOutcome::kSuperseded);
  }
  int stored = 0;
  for (int i = 0; i < 1000; ++i) stored += put(node, "k" + std::to_string(i), "1", 5) == CacheOutcome::kStored ? 1 : 0;
  EXPECT_GE(stored, 980);
}

TEST(InMemoryCacheNode, WhatWasForgottenLeavesNothingBehind) {
  InMemoryCacheNode node("n", {.items = 10, .bytes = kPlenty});
  put(node, "a", "1", 5);
  const KeyView keys[] = {"a"};
  EXPECT_EQ(node.forget(keys), 1u);
  EXPECT_EQ(put(node, "a", "1", 3), CacheOutcome::kStored);
}

TEST(InMemoryCacheNode, CountsEvictionsAndExpiries) {
  CacheTime now(seconds(1000));
  InMemoryCacheNode node("n", {.items = 2, .bytes = kPlenty}, [&] { return now; });
  put(node, "a", "1", 1, now + seconds(1));
  put(node, "b", "1", 2);
  now += seconds(1);
  EXPECT_EQ(value_of(node, "a"), "-") << "it was to live until then";
  put(node, "c", "1", 3);
  put(node, "d", "1", 4);
  const CacheNodeStats stats = node.stats();
  EXPECT_EQ(stats.expired, 1u);
  EXPECT_EQ(stats.evicted, 1u);
  EXPECT_EQ(stats.items, 2u);
}

TEST(InMemoryCacheNode, AScanBesideChangesGivesAllThatStays) {
  InMemoryCacheNode node("n", {.items = 10'000, .bytes = std::size_t{1} << 30});
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) put(node, "stays" + std::to_string(i), "1", 1);
  std::map<std::string, int> seen;
  CacheCursor cursor;
  std::uint64_t clock = 2;
  while (!cursor.done) {
    std::vector<std::string> page;
    node.scan(cursor, 10, page);
    EXPECT_LE(page.size(), 10u);
    for (const std::string& key : page) ++seen[key];
    for (int i = 0; i < 20; ++i) {
      put(node, "comes" + std::to_string(random() % 100), "1", ++clock);
      erase(node, "comes" + std::to_string(random() % 100), ++clock);
      put(node, "stays" + std::to_string(random() % 1000), "2", ++clock);
    }
  }
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(seen["stays" + std::to_string(i)], 1);
}

TEST(InMemoryCacheNode, SplitsItsBoundsAmongManyLocks) {
  InMemoryCacheNode node("n", {.items = 70'001, .bytes = std::size_t{300} << 20});
  for (std::uint64_t i = 0; i < 100'000; ++i) put(node, "k" + std::to_string(i), "1", i + 1);
  EXPECT_LE(node.stats().items, 70'001u);
  EXPECT_GE(node.stats().items, 69'000u);
  EXPECT_EQ(node.stats().items + node.stats().evicted, 100'000u);
}

TEST(InMemoryCacheNode, RefusesBadCapacitiesAndIds) {
  expect_error(ErrorCode::kInvalidArgument, {"'n'", "0 items", "100 bytes"},
               [] { InMemoryCacheNode("n", {.items = 0, .bytes = 100}); });
  expect_error(ErrorCode::kInvalidArgument, {"'n'", "7 items", "0 bytes"},
               [] { InMemoryCacheNode("n", {.items = 7, .bytes = 0}); });
  expect_error(ErrorCode::kInvalidArgument, {"4294967295 items"},
               [] { InMemoryCacheNode("n", {.items = 0xFFFFFFFFu, .bytes = 100}); });
  expect_error(ErrorCode::kInvalidArgument, {"0 bytes"}, [] { InMemoryCacheNode("", {.items = 7, .bytes = 100}); });
  expect_error(ErrorCode::kInvalidArgument, {"1025 bytes"},
               [] { InMemoryCacheNode(std::string(1025, 'n'), {.items = 7, .bytes = 100}); });
}

}  // namespace
}  // namespace annulus
