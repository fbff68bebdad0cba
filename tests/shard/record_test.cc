#include "shard/record.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

namespace annulus {
namespace {

RecordView base() { return {.key = "word", .version = {7, 1}, .deleted = false, .vector_hash = 11}; }

ArcDigest digest_of(const std::vector<RecordView>& records) {
  ArcDigest digest;
  for (const RecordView& record : records) digest.add(record);
  return digest;
}

TEST(ArcDigest, DiffersWhenAnyFieldOfARecordDiffers) {
  std::vector<RecordView> variants(6, base());
  variants[1].key = "worD";
  variants[2].version.clock = 8;
  variants[3].version.writer = 2;
  variants[4].deleted = true;
  variants[5].vector_hash = 12;
  for (std::size_t i = 0; i < variants.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_NE(digest_of({variants[i]}).sum_low, digest_of({variants[j]}).sum_low) << i << " and " << j;
      EXPECT_NE(digest_of({variants[i]}).sum_high, digest_of({variants[j]}).sum_high) << i << " and " << j;
    }
  }
}

TEST(ArcDigest, IsTheSameInEveryOrderAndForEverySplit) {
  std::mt19937_64 random(5);
  std::vector<std::string> keys;
  for (int i = 0; i < 200; ++i) keys.push_back(std::to_string(random()));
  std::vector<RecordView> records;
  for (const std::string& key : keys) {
    records.push_back({.key = key, .version = {random(), 3}, .deleted = random() % 3 == 0, .vector_hash = random()});
  }
  const ArcDigest expected = digest_of(records);
  EXPECT_EQ(expected.records(), 200u);
  EXPECT_EQ(expected.tombstones, std::count_if(records.begin(), records.end(), [](const auto& r) { return r.deleted; }));
  for (int round = 0; round < 20; ++round) {
    std::shuffle(records.begin(), records.end(), random);
    const auto cut = static_cast<std::ptrdiff_t>(random() % 201);
    ArcDigest sum = digest_of({records.begin(), records.begin() + cut});
    sum += digest_of({records.begin() + cut, records.end()});
    ASSERT_EQ(sum, expected);
  }
}

TEST(ArcDigest, DoesNotCancelARecordThatComesTwice) {
  ArcDigest twice = digest_of({base(), base()});
  EXPECT_EQ(twice.live, 2u);
  EXPECT_NE(twice.sum_low, 0u);
  EXPECT_NE(twice.sum_low, digest_of({base()}).sum_low);
}

TEST(HashVector, DependsOnEveryFloat) {
  std::array<float, 3> vector{1, 2, 3};
  const std::uint64_t hash = hash_vector(vector.data(), vector.size());
  EXPECT_EQ(hash, hash_vector(vector.data(), vector.size()));
  for (float& x : vector) {
    const float kept = x;
    x = -x;
    EXPECT_NE(hash_vector(vector.data(), vector.size()), hash);
    x = kept;
  }
  EXPECT_NE(hash_vector(vector.data(), 2), hash);
}

TEST(RecordPage, GivesBackWhatWasAppendedAndOwnsIt) {
  RecordPage page(2);
  {
    std::string key = "first";
    const std::array<float, 2> vector{1, 2};
    page.append({.key = key, .version = {1, 2}, .deleted = false, .vector_hash = 3, .vector = vector.data()});
    key = "gone.";
  }
  page.append({.key = "second", .version = {4, 0}, .deleted = true});
  page.append({.key = "third", .version = {5, 0}, .vector_hash = 6});  // versions alone
  const std::span<float> room = page.append_live({.key = "fourth", .version = {7, 0}, .vector_hash = 8});
  ASSERT_EQ(room.size(), 2u);
  room[0] = 9;
  room[1] = 10;

  ASSERT_EQ(page.size(), 4u);
  const std::vector<RecordView> views = page.views();
  EXPECT_EQ(views[0].key, "first");
  EXPECT_EQ(views[0].version, (Version{1, 2}));
  EXPECT_EQ(views[0].vector_hash, 3u);
  EXPECT_EQ(views[0].vector[1], 2);
  EXPECT_EQ(views[1].key, "second");
  EXPECT_TRUE(views[1].deleted);
  EXPECT_EQ(views[1].vector, nullptr);
  EXPECT_EQ(views[2].vector, nullptr);
  EXPECT_FALSE(views[2].deleted);
  EXPECT_EQ(views[3].key, "fourth");
  EXPECT_EQ(views[3].vector[0], 9);
  EXPECT_EQ(page.bytes(), 5 + 6 + 5 + 6 + 4 * sizeof(float) + 4 * sizeof(Version));
}

TEST(RecordPage, StartsAfreshWhenCleared) {
  RecordPage page(1);
  const float old = 1;
  page.append({.key = "old", .version = {}, .vector = &old});
  page.clear();
  EXPECT_TRUE(page.empty());
  EXPECT_EQ(page.bytes(), 0u);
  EXPECT_TRUE(page.views().empty());
  const float fresh = 2;
  page.append({.key = "new", .version = {}, .vector = &fresh});
  ASSERT_EQ(page.size(), 1u);
  EXPECT_EQ(page[0].key, "new");
  EXPECT_EQ(*page[0].vector, 2);
}

}  // namespace
}  // namespace annulus
