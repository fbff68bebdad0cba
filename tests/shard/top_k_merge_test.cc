#include "shard/top_k_merge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace annulus {
namespace {

struct Row {
  std::string key;
  Version version;
  float distance;
};

bool nearer(const Row& a, const Row& b, KeyKind kind) {
  return a.distance != b.distance ? a.distance < b.distance : compare_keys(a.key, b.key, kind) < 0;
}

// The list of a shard that holds `rows`, cut at `asked`.
CandidateLists list_of(std::vector<Row> rows, std::size_t asked, KeyKind kind = KeyKind::kBytes) {
  std::sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) { return nearer(a, b, kind); });
  rows.resize(std::min(rows.size(), asked));
  CandidateLists list;
  list.reset(1);
  list.begin_query();
  for (const Row& row : rows) list.append(row.key, row.version, row.distance);
  return list;
}

std::vector<std::string> keys_of(const std::vector<MergedHit>& hits) {
  std::vector<std::string> keys;
  for (const MergedHit& hit : hits) keys.emplace_back(hit.key);
  return keys;
}

using Keys = std::vector<std::string>;

TEST(TopKMerge, LetsDuplicatesFallBeforeItCuts) {
  const std::vector<CandidateLists> lists = {list_of({{"a", {1, 0}, 1}, {"b", {1, 0}, 2}}, 2), list_of({{"a", {1, 0}, 1}, {"c", {1, 0}, 3}}, 2)};
  TopKMerge merge;
  std::vector<MergedHit> hits;
  EXPECT_TRUE(merge.merge(lists, 0, 2, 2, KeyKind::kBytes, hits));
  EXPECT_EQ(keys_of(hits), (Keys{"a", "b"}));
  EXPECT_EQ(hits[0].list, 0u);
}

TEST(TopKMerge, TakesTheNewestVersionWhicheverListComesFirst) {
  const CandidateLists old = list_of({{"a", {1, 0}, 1}, {"b", {1, 0}, 2}}, 9);
  const CandidateLists fresh = list_of({{"a", {2, 0}, 5}}, 9);
  for (const auto& lists : {std::vector{old, fresh}, std::vector{fresh, old}}) {
    TopKMerge merge;
    std::vector<MergedHit> hits;
    EXPECT_TRUE(merge.merge(lists, 0, 9, 9, KeyKind::kBytes, hits));
    EXPECT_EQ(keys_of(hits), (Keys{"b", "a"}));
    EXPECT_EQ(hits[1].version.clock, 2u);
    EXPECT_EQ(hits[1].distance, 5);
  }
}

TEST(TopKMerge, OrdersEqualDistancesByKeyBytesOrIds) {
  std::vector<MergedHit> hits;
  const std::vector<CandidateLists> words = {list_of({{"b", {}, 1}}, 9), list_of({{"a", {}, 1}, {"c", {}, 1}}, 9)};
  EXPECT_TRUE(TopKMerge().merge(words, 0, 9, 2, KeyKind::kBytes, hits));
  EXPECT_EQ(keys_of(hits), (Keys{"a", "b"}));

  // 256 is 00 01 .. and 1 is 01 00 ..: bytewise 256 comes first, numerically 1
  const std::string one(KeyView(IdKey(1))), big(KeyView(IdKey(256)));
  const std::vector<CandidateLists> ids = {list_of({{big, {}, 1}}, 9, KeyKind::kId), list_of({{one, {}, 1}}, 9, KeyKind::kId)};
  EXPECT_TRUE(TopKMerge().merge(ids, 0, 9, 2, KeyKind::kId, hits));
  EXPECT_EQ(keys_of(hits), (Keys{one, big}));
}

TEST(TopKMerge, AsksAgainWhenASupersededRowMayHideANearerOne) {
  // "x" is old and near in the first list, which was cut behind it: "b" at 2 belongs to the answer and was not sent.
  const std::vector<CandidateLists> lists = {list_of({{"x", {1, 0}, 1}, {"b", {1, 0}, 2}}, 1), list_of({{"x", {2, 0}, 9}}, 1)};
  TopKMerge merge;
  std::vector<MergedHit> hits;
  EXPECT_FALSE(merge.merge(lists, 0, 1, 1, KeyKind::kBytes, hits));
  // asked for more, it is whole
  const std::vector<CandidateLists> more = {list_of({{"x", {1, 0}, 1}, {"b", {1, 0}, 2}}, 2), list_of({{"x", {2, 0}, 9}}, 2)};
  EXPECT_TRUE(merge.merge(more, 0, 2, 1, KeyKind::kBytes, hits));
  EXPECT_EQ(keys_of(hits), (Keys{"b"}));
}

TEST(TopKMerge, AsksAgainWhenAListWasAskedForTooFew) {
  const std::vector<CandidateLists> lists = {list_of({{"a", {1, 0}, 1}, {"b", {1, 0}, 2}, {"c", {1, 0}, 3}}, 2),
                                             list_of({{"d", {1, 0}, 1.5}, {"e", {1, 0}, 4}}, 2)};
  std::vector<MergedHit> hits;
  EXPECT_FALSE(TopKMerge().merge(lists, 0, 2, 4, KeyKind::kBytes, hits)) << "what lies behind b is not known";
  EXPECT_TRUE(TopKMerge().merge(lists, 0, 2, 3, KeyKind::kBytes, hits));
  EXPECT_EQ(keys_of(hits), (Keys{"a", "d", "b"}));
}

TEST(TopKMerge, DoesNotAskAgainWhenTheAnswerEndsBeforeTheCut) {
  // something was superseded, yet what may be hidden lies behind 7, and the answer ends at 3
  const std::vector<CandidateLists> lists = {list_of({{"x", {1, 0}, 1}, {"b", {1, 0}, 2}, {"c", {1, 0}, 7}, {"d", {1, 0}, 8}}, 3),
                                             list_of({{"x", {2, 0}, 3}}, 3)};
  TopKMerge merge;
  std::vector<MergedHit> hits;
  EXPECT_TRUE(merge.merge(lists, 0, 3, 2, KeyKind::kBytes, hits));
  EXPECT_EQ(keys_of(hits), (Keys{"b", "x"}));
}

TEST(TopKMerge, LooksAtNoRowBeyondTheBound) {
  const std::vector<CandidateLists> lists = {list_of({{"a", {1, 0}, 1}, {"b", {1, 0}, 4}}, 2), list_of({{"c", {1, 0}, 2}}, 2)};
  std::vector<MergedHit> hits;
  EXPECT_TRUE(TopKMerge().merge(lists, 0, 2, 2, KeyKind::kBytes, hits, {.distance = 2, .merged = true}));
  EXPECT_EQ(keys_of(hits), (Keys{"a", "c"}));
}

TEST(TopKMerge, AsksAgainWhenAKeyCountedTwiceTowardsTheBound) {
  // the bound is the second distance of both lists together, which is the first one's again: "c" was cut off
  const std::vector<CandidateLists> lists = {list_of({{"a", {1, 0}, 1}}, 2), list_of({{"a", {1, 0}, 1}, {"c", {1, 0}, 2}}, 2)};
  std::vector<MergedHit> hits;
  EXPECT_FALSE(TopKMerge().merge(lists, 0, 2, 2, KeyKind::kBytes, hits, {.distance = 1, .merged = true}));
  EXPECT_TRUE(TopKMerge().merge(lists, 0, 2, 2, KeyKind::kBytes, hits, {.distance = 2, .merged = false}))
      << "one shard's own bound is that of different keys";
  EXPECT_EQ(keys_of(hits), (Keys{"a", "c"}));
}

TEST(TopKMerge, AsksAgainWhenABoundWasGuessedTooLow) {
  // the second shard was told to look no farther than 2, and has something at 3
  const std::vector<CandidateLists> lists = {list_of({{"a", {1, 0}, 1}, {"b", {1, 0}, 2}}, 3), list_of({}, 3)};
  std::vector<MergedHit> hits;
  EXPECT_FALSE(TopKMerge().merge(lists, 0, 3, 4, KeyKind::kBytes, hits, {.distance = 2, .merged = true}));
  EXPECT_TRUE(TopKMerge().merge(lists, 0, 3, 2, KeyKind::kBytes, hits, {.distance = 2, .merged = true}));
  EXPECT_EQ(keys_of(hits), (Keys{"a", "b"}));
  EXPECT_TRUE(TopKMerge().merge(lists, 0, 3, 4, KeyKind::kBytes, hits)) << "no shard was told of a bound";
}

TEST(TopKMerge, MergesNothing) {
  TopKMerge merge;
  std::vector<MergedHit> hits(3);
  EXPECT_TRUE(merge.merge({}, 0, 5, 5, KeyKind::kBytes, hits));
  EXPECT_TRUE(hits.empty());
  const std::vector<CandidateLists> lists = {list_of({}, 5), list_of({}, 5)};
  EXPECT_TRUE(merge.merge(lists, 0, 5, 5, KeyKind::kBytes, hits));
  EXPECT_TRUE(hits.empty());
}

// What the lists say, by the definition: of each key the newest version that was returned.
std::vector<Row> naive_merge(const std::vector<CandidateLists>& lists, std::size_t k, bool& superseded) {
  std::map<std::string, Row> newest;
  for (const CandidateLists& list : lists) {
    for (const auto& entry : list.of(0)) {
      const Row row{std::string(list.key(entry)), entry.version, entry.distance};
      const auto [known, fresh] = newest.emplace(row.key, row);
      superseded |= !fresh && known->second.version != row.version;
      if (!fresh && known->second.version < row.version) known->second = row;
    }
  }
  std::vector<Row> rows;
  for (const auto& [key, row] : newest) rows.push_back(row);
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return nearer(a, b, KeyKind::kBytes); });
  rows.resize(std::min(rows.size(), k));
  return rows;
}

TEST(TopKMerge, AgreesWithANaiveMergeAndAsksAgainExactlyWhenACutListEndsWithinTheAnswer) {
  constexpr std::uint64_t kSeed = 23;
  std::mt19937_64 random(kSeed);
  std::size_t asked_again = 0;
  for (int round = 0; round < 3000; ++round) {
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", round " + std::to_string(round));
    // versions of up to 12 keys over up to 4 shards; few distances, so that there are ties
    std::vector<std::vector<Row>> shards(1 + random() % 4);
    for (auto& shard : shards) {
      for (char c = 'a'; c < 'm'; ++c) {
        if (random() % 2 == 0) continue;
        const std::uint64_t clock = 1 + random() % 2;
        // a version has one distance, wherever it is held
        shard.push_back({std::string(1, c), {clock, 0}, static_cast<float>((static_cast<std::uint64_t>(c) * 7 + clock * 5) % 9)});
      }
    }
    const std::size_t k = 1 + random() % 6;
    TopKMerge merge;
    std::vector<MergedHit> hits;
    for (std::size_t asked = 1 + random() % k;; asked *= 2) {
      std::vector<CandidateLists> lists;
      for (const auto& shard : shards) lists.push_back(list_of(shard, asked));
      bool superseded = false;
      const std::vector<Row> expected = naive_merge(lists, k, superseded);
      bool cut_within = false;
      for (const CandidateLists& list : lists) {
        if (list.of(0).size() < asked) continue;
        const Row end{std::string(list.key(list.of(0).back())), {}, list.of(0).back().distance};
        cut_within |= expected.size() < k || nearer(end, expected.back(), KeyKind::kBytes);
      }
      const bool whole = merge.merge(lists, 0, asked, k, KeyKind::kBytes, hits);
      ASSERT_EQ(whole, !((superseded || asked < k) && cut_within));
      ASSERT_EQ(hits.size(), expected.size());
      for (std::size_t i = 0; i < hits.size(); ++i) {
        ASSERT_EQ(hits[i].key, expected[i].key);
        ASSERT_EQ(hits[i].version, expected[i].version);
        ASSERT_EQ(hits[i].distance, expected[i].distance);
      }
      if (whole) break;
      ++asked_again;
      ASSERT_LE(asked, 12u) << "lists that were not cut have no holes";
    }
  }
  EXPECT_GT(asked_again, 10u) << "the rounds must meet holes";
}

}  // namespace
}  // namespace annulus
