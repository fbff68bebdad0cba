// Each public call of a shard refuses bad input with a clear error, and works afterwards.
#include <gtest/gtest.h>

#include <limits>

#include "shard/vector_shard.h"
#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class ShardBadInput : public ::testing::TestWithParam<Metric> {
 protected:
  ShardBadInput() : shard("shard-7", spec_of("Flat", 3, GetParam())) {
    const Vector v = Vector::Constant(3, 1.0f);
    write({.key = "good", .version = {5, 0}, .vector = v.data()});
  }
  ~ShardBadInput() override {
    // it holds what it held, and still works
    EXPECT_EQ(shard.stats().live, 1u);
    EXPECT_EQ(shard.stats().tombstones, 0u);
    const Vector v = Vector::Constant(3, 2.0f);
    write({.key = "good", .version = {6, 0}, .vector = v.data()});
    CandidateLists lists;
    shard.candidates(v, 2, {}, nullptr, lists);
    EXPECT_EQ(lists.of(0).size(), 1u);
    EXPECT_EQ(lists.of(0).front().version.clock, 6u);
  }
  void write(const RecordView& record) {
    WriteOutcome outcome;
    shard.upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
  }
  void expect_refused(const RecordView& bad, const std::vector<std::string>& parts) {
    const Vector v = Vector::Constant(3, 1.0f);
    // in the company of a good record: nothing of the batch is written
    const std::vector<RecordView> batch = {{.key = "company", .version = {9, 0}, .vector = v.data()}, bad};
    std::vector<WriteOutcome> outcomes(2);
    expect_error(ErrorCode::kInvalidArgument, parts, [&] { shard.upsert_if_newer(batch, WriteMode::kInsertOrUpdate, outcomes); });
    EXPECT_FALSE(shard.contains("company"));
  }

  VectorShard shard;
};

INSTANTIATE_TEST_SUITE_P(Metrics, ShardBadInput, ::testing::Values(Metric::kL2, Metric::kInnerProduct, Metric::kCosine),
                         [](const auto& instance) { return std::string(to_string(instance.param)); });

TEST_P(ShardBadInput, RefusesRecordsWithBadKeysOrVectors) {
  const Vector v = Vector::Constant(3, 1.0f);
  expect_refused({.key = "", .version = {9, 0}, .vector = v.data()}, {"empty"});
  const std::string longest(kMaxKeyBytes + 1, 'x');
  expect_refused({.key = longest, .version = {9, 0}, .vector = v.data()}, {"1025", "1024"});
  expect_refused({.key = "bare", .version = {9, 0}}, {"bare", "no vector"});
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    Vector broken = v;
    broken[1] = bad;
    expect_refused({.key = "k", .version = {9, 0}, .vector = broken.data()}, {"vector"});
  }
  if (GetParam() == Metric::kCosine) {
    const Vector zero = Vector::Zero(3);
    expect_refused({.key = "k", .version = {9, 0}, .vector = zero.data()}, {"zero"});
  }
}

TEST_P(ShardBadInput, RefusesRoomOfTheWrongSize) {
  const Vector v = Vector::Constant(3, 1.0f);
  const RecordView record{.key = "k", .version = {9, 0}, .vector = v.data()};
  std::vector<WriteOutcome> outcomes(2);
  expect_error(ErrorCode::kInvalidArgument, {"2 outcomes", "1 records"},
               [&] { shard.upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, outcomes); });
  std::vector<float> floats(5);
  expect_error(ErrorCode::kInvalidArgument, {"5 floats", "3"}, [&] { (void)shard.get("good", floats); });
  const KeyView key = "good";
  std::vector<HeldRecord> held(4);
  expect_error(ErrorCode::kInvalidArgument, {"4 answers", "1 keys"}, [&] { shard.lookup(std::span(&key, 1), held); });
  const RefineItem item{0, "good"};
  expect_error(ErrorCode::kInvalidArgument, {"5 distances", "1 items"}, [&] { shard.refine(v, std::span(&item, 1), floats); });
  RecordPage narrow(2);
  ScanPosition position;
  const Arc whole{0, 0};
  expect_error(ErrorCode::kInvalidArgument, {"2", "3"},
               [&] { (void)shard.scan(std::span(&whole, 1), position, 5, ScanContents::kVectors, narrow); });
}

TEST_P(ShardBadInput, RefusesKeysThatCannotBe) {
  expect_error(ErrorCode::kInvalidArgument, {"empty"}, [&] { (void)shard.get("", {}); });
  expect_error(ErrorCode::kInvalidArgument, {"empty"}, [&] { (void)shard.contains(""); });
  expect_error(ErrorCode::kInvalidArgument, {"2000", "1024"}, [&] { (void)shard.get(std::string(2000, 'x'), {}); });
  VectorShard ids("ids", spec_of("Flat", 3, GetParam()), KeyKind::kId);
  expect_error(ErrorCode::kInvalidArgument, {"8"}, [&] { (void)ids.get("seven..", {}); });
}

TEST_P(ShardBadInput, RefusesScansOfNothingAPage) {
  RecordPage page(3);
  ScanPosition position;
  const Arc whole{0, 0};
  expect_error(ErrorCode::kInvalidArgument, {"0 records"},
               [&] { (void)shard.scan(std::span(&whole, 1), position, 0, ScanContents::kVersions, page); });
}

TEST_P(ShardBadInput, RefusesBadQueries) {
  CandidateLists lists;
  const Vector v = Vector::Constant(3, 1.0f);
  expect_error(ErrorCode::kInvalidArgument, {"k is 0"}, [&] { shard.candidates(v, 0, {}, nullptr, lists); });
  expect_error(ErrorCode::kInvalidArgument, {"2", "3"}, [&] { shard.candidates(Vector::Constant(2, 1.0f), 1, {}, nullptr, lists); });
  for (const float bad : {kNan, kInfinity}) {
    expect_error(ErrorCode::kInvalidArgument, {"quer"}, [&] { shard.candidates(Vector::Constant(3, bad), 1, {}, nullptr, lists); });
  }
  if (GetParam() == Metric::kCosine) {
    expect_error(ErrorCode::kInvalidArgument, {"zero"}, [&] { shard.candidates(Vector::Zero(3), 1, {}, nullptr, lists); });
  }
}

TEST_P(ShardBadInput, RefusesToRefineForAQueryThatIsNotThere) {
  const Vector v = Vector::Constant(3, 1.0f);
  const RefineItem item{1, "good"};
  float distance = 0;
  expect_error(ErrorCode::kInvalidArgument, {"query 1", "1"}, [&] { shard.refine(v, std::span(&item, 1), std::span(&distance, 1)); });
  const RefineItem first{0, "good"};
  expect_error(ErrorCode::kInvalidArgument, {"2", "3"},
               [&] { shard.refine(Vector::Constant(2, 1.0f), std::span(&first, 1), std::span(&distance, 1)); });
}

TEST(VectorShardBadInput, RefusesAShardWithoutANameOrWithAnUnknownIndex) {
  expect_error(ErrorCode::kInvalidArgument, {"id"}, [] { VectorShard("", spec_of("Flat")); });
  expect_error(ErrorCode::kUnimplemented, {"NSG32"}, [] { VectorShard("s", spec_of("NSG32")); });
  expect_error(ErrorCode::kInvalidArgument, {"dimension"}, [] { VectorShard("s", spec_of("Flat", 0)); });
}

TEST(VectorShardBadInput, TakesOneCodecAndNoOther) {
  const IndexSpec spec = spec_of("IVF4,Flat");
  VectorShard shard("untrained", spec);
  const Vector v = Vector::Constant(4, 1.0f);
  const RecordView record{.key = "k", .version = {1, 0}, .vector = v.data()};
  WriteOutcome outcome;
  expect_error(ErrorCode::kInvalidArgument, {"codec"}, [&] { shard.attach_codec(nullptr); });
  const auto codec = Codec::train(spec, random_matrix(600, 4, 1));
  shard.attach_codec(codec);
  shard.attach_codec(codec);  // the same one: nothing to do
  shard.upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
  EXPECT_TRUE(shard.contains("k"));
  expect_error(ErrorCode::kFailedPrecondition, {}, [&] { shard.attach_codec(Codec::train(spec, random_matrix(600, 4, 2))); });
  EXPECT_TRUE(shard.contains("k"));
  VectorShard flat("flat", spec_of("Flat"));
  EXPECT_THROW(flat.attach_codec(codec), Error);
}

TEST(VectorShardBadInput, GoesOnAfterAFilterThatThrows) {
  for (const char* factory : {"Flat", "HNSW8", "IVF4,Flat"}) {
    const IndexSpec spec = spec_of(factory);
    VectorShard shard("s", spec);
    if (needs_training(spec)) shard.attach_codec(Codec::train(spec, random_matrix(600, 4, 1)));
    const Matrix vectors = random_matrix(100, 4, 2);
    for (Eigen::Index i = 0; i < 100; ++i) {
      const std::string key = "k" + std::to_string(i);
      const RecordView record{.key = key, .version = {1, 0}, .vector = vectors.row(i).data()};
      WriteOutcome outcome;
      shard.upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
    }
    CandidateLists before, after;
    shard.candidates(vectors.row(3), 10, {}, nullptr, before);
    int calls = 0;
    const KeyFilter throwing = [&](KeyView) -> bool { return ++calls > 3 ? throw std::runtime_error("the filter broke") : true; };
    CandidateLists lists;
    EXPECT_THROW(shard.candidates(vectors.row(3), 10, {}, &throwing, lists), std::exception) << factory;
    shard.candidates(vectors.row(3), 10, {}, nullptr, after);
    ASSERT_EQ(after.of(0).size(), before.of(0).size());
    for (std::size_t i = 0; i < after.of(0).size(); ++i) EXPECT_EQ(after.key(after.of(0)[i]), before.key(before.of(0)[i])) << factory;
    // and it can be written: no lock was left behind
    const RecordView record{.key = "k0", .version = {2, 0}, .deleted = true};
    WriteOutcome outcome;
    shard.upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
    EXPECT_EQ(outcome, WriteOutcome::kApplied);
  }
}

}  // namespace
}  // namespace annulus::testing
