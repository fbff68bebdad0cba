// Copies between shards: as vectors, and as codes where all ends have the same codec.
#include "shard/arc_copy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/core/expect_error.h"
#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kDimension = 4;
constexpr std::size_t kRows = 700;  // more than two blocks of a write
const Arc kWhole{0, 0};

std::string key_of(std::size_t number) { return "key" + std::to_string(number); }

Vector stored(const Shard& shard, const std::string& key) {
  Vector vector = Vector::Constant(static_cast<Eigen::Index>(kDimension), -1000.0f);
  EXPECT_TRUE(shard.get(key, std::span(vector.data(), kDimension)).found);
  return vector;
}

class ArcCopy : public ::testing::TestWithParam<const char*> {
 protected:
  ArcCopy() {
    if (needs_training(spec)) {
      codec = train(1);
      for (const auto& shard : {source, target}) shard->attach_codec(codec);
    }
    std::mt19937_64 random(5);
    for (std::size_t i = 0; i < kRows; ++i) {
      const std::string key = key_of(i);
      const Vector vector = random_vector(kDimension, random);
      write(*source, {.key = key, .version = {i + 1, 0}, .vector_hash = i + 1, .vector = vector.data()});
    }
    for (std::size_t i = 0; i < kRows; i += 7) {
      const std::string key = key_of(i);
      write(*source, {.key = key, .version = {kRows + i + 1, 0}, .deleted = true});
    }
  }
  std::shared_ptr<const Codec> train(unsigned seed) const { return Codec::train(spec, random_matrix(600, kDimension, seed)); }
  static void write(Shard& shard, const RecordView& record) {
    WriteOutcome outcome;
    shard.upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
  }
  bool has_codes() const { return spec.factory.starts_with("IVF"); }
  CopyCounts copy() { return copy_arcs(*source, std::span(&target, 1), std::span(&kWhole, 1), 300); }
  void expect_copied() {
    EXPECT_EQ(source->digest(std::span(&kWhole, 1)), target->digest(std::span(&kWhole, 1)));
    for (std::size_t i = 0; i < kRows; ++i) {
      if (i % 7 == 0 || !source->lossless()) continue;
      EXPECT_EQ(stored(*source, key_of(i)), stored(*target, key_of(i)));
    }
  }

  const IndexSpec spec = spec_of(GetParam(), kDimension);
  std::shared_ptr<const Codec> codec;
  std::shared_ptr<Shard> source = std::make_shared<VectorShard>("source", spec);
  std::shared_ptr<Shard> target = std::make_shared<VectorShard>("target", spec);
};

INSTANTIATE_TEST_SUITE_P(Indexes, ArcCopy, ::testing::Values("Flat", "HNSW8,SQ8", "IVF4,Flat", "IVF4,SQ8", "IVF4,PQ2"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::erase(name, ',');
                           return name;
                         });

TEST_P(ArcCopy, GivesTheTargetTheSameRecords) {
  const CopyCounts counts = copy();
  const std::size_t dead = (kRows + 6) / 7;
  EXPECT_EQ(counts.copied, kRows - dead);
  EXPECT_EQ(counts.copied_tombstones, dead);
  EXPECT_EQ(counts.as_codes, has_codes() ? kRows - dead : 0);
  expect_copied();
}

TEST_P(ArcCopy, ReturnsTheVeryVectorsOfALossyIndexWhenCodesMove) {
  copy();
  if (!has_codes()) GTEST_SKIP() << "its vectors travel, and are encoded again";
  for (std::size_t i = 0; i < kRows; ++i) {
    if (i % 7 == 0) continue;
    ASSERT_EQ(stored(*source, key_of(i)), stored(*target, key_of(i))) << key_of(i);
  }
}

TEST_P(ArcCopy, SendsFewerBytesAsCodesOfALossyIndex) {
  const std::uint64_t bytes = copy().bytes;
  std::uint64_t others = 0;  // of keys and versions
  for (std::size_t i = 0; i < kRows; ++i) others += key_of(i).size() + sizeof(Version);
  const std::uint64_t live = kRows - (kRows + 6) / 7;
  if (GetParam() == std::string("IVF4,PQ2")) {
    EXPECT_EQ(bytes, others + live * (sizeof(std::uint32_t) + 2));
  } else if (GetParam() == std::string("Flat")) {
    EXPECT_EQ(bytes, others + live * kDimension * sizeof(float));
  }
}

TEST_P(ArcCopy, SendsVectorsToAShardOfAnotherCodec) {
  if (!has_codes()) GTEST_SKIP() << "it has no codes";
  target = std::make_shared<VectorShard>("other", spec);
  target->attach_codec(train(2));
  ASSERT_NE(target->code_fingerprint(), source->code_fingerprint());
  EXPECT_EQ(copy().as_codes, 0u);
  expect_copied();
}

TEST_P(ArcCopy, SendsVectorsToAShardThatIsNotTrainedYet) {
  if (!has_codes()) GTEST_SKIP() << "it has no codes";
  target = std::make_shared<VectorShard>("young", spec);
  EXPECT_EQ(target->code_fingerprint(), 0u);
  EXPECT_EQ(copy().as_codes, 0u);
  expect_copied();
}

TEST_P(ArcCopy, RefusesCodesThatAreNone) {
  std::vector<std::uint8_t> code(4 + 4 * kDimension);  // of IVF4,Flat
  const RecordView record{.key = "new", .version = {9, 0}, .vector_hash = 1, .code = code, .codec = source->code_fingerprint()};
  const auto before = source->digest(std::span(&kWhole, 1));
  const auto refused = [&](const RecordView& bad, ErrorCode expected, std::vector<std::string> words) {
    expect_error(expected, words, [&] { write(*source, bad); });
    EXPECT_EQ(source->digest(std::span(&kWhole, 1)), before);
  };
  RecordView foreign = record;
  foreign.codec += 1;
  refused(foreign, ErrorCode::kFailedPrecondition, {"'new'", "'source'", "send the vector"});
  if (!has_codes()) {
    refused(record, ErrorCode::kFailedPrecondition, {"'new'"});
    return;
  }
  RecordView short_code = record;
  short_code.code = std::span(code).first(3);
  refused(short_code, ErrorCode::kInvalidArgument, {"3 bytes"});
  const std::size_t right = GetParam() == std::string("IVF4,Flat") ? code.size() : GetParam() == std::string("IVF4,SQ8") ? 8 : 6;
  RecordView of_no_list = record;
  code[0] = 4;
  of_no_list.code = std::span(code).first(right);
  refused(of_no_list, ErrorCode::kInvalidArgument, {"list 4"});
  if (source->lossless()) {
    code[0] = 0;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(code.data() + 4, &nan, sizeof nan);
    refused(record, ErrorCode::kInvalidArgument, {"NaN"});
  }
}

TEST_P(ArcCopy, RefusesVectorsAndCodesInOneWrite) {
  if (!has_codes()) GTEST_SKIP() << "it has no codes";
  RecordPage page(kDimension);
  ScanPosition position;
  source->scan(std::span(&kWhole, 1), position, 10, ScanContents::kCodes, page);
  const Vector vector = Vector::Constant(static_cast<Eigen::Index>(kDimension), 1.0f);
  page.append({.key = "new", .version = {9, 0}, .vector_hash = 1, .vector = vector.data()});
  std::vector<WriteOutcome> outcomes(page.size());
  expect_error(ErrorCode::kInvalidArgument, {"vectors", "codes"},
               [&] { target->upsert_if_newer(page.views(), WriteMode::kInsertOrUpdate, outcomes); });
  EXPECT_EQ(target->stats().live, 0u);
}

}  // namespace
}  // namespace annulus::testing
