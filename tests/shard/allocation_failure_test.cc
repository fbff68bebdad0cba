// A write that runs out of memory, at its first allocation, its second, ... until it completes: no row is torn, no replica trusted
// that missed it.
#include <gtest/gtest.h>

#include "tests/sanitized.h"
#include "tests/shard/failing_allocations.h"
#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

// Runs `call` with its allocation number `left` failing; false if it got through.
template <typename Call>
bool fails_at(long left, Call&& call) {
  bool failed = false;
  allocations_left = left;
  try {
    call();
  } catch (const std::exception&) {
    failed = true;
  }
  allocations_left = -1;
  return failed;
}

class AllocationFailure : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr std::size_t kD = 4;

  std::shared_ptr<VectorShard> make_shard() const {
    const IndexSpec spec = spec_of(GetParam());
    auto shard = std::make_shared<VectorShard>("s", spec);
    if (needs_training(spec)) shard->attach_codec(Codec::train(spec, random_matrix(600, kD, 1)));
    for (int i = 0; i < 15; ++i) write(*shard, "key" + std::to_string(i), static_cast<float>(i), 1);
    return shard;
  }
  static WriteOutcome write(VectorShard& shard, const std::string& key, float value, std::uint64_t clock) {
    const std::vector<float> vector(kD, value);
    const RecordView record{.key = key, .version = {clock, 0}, .deleted = false, .vector_hash = clock, .vector = vector.data()};
    WriteOutcome outcome{};
    shard.upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
    return outcome;
  }
};

TEST_P(AllocationFailure, LeavesTheOldRowOrTheNewOneAndARepeatedWriteWins) {
  for (const std::string key : {"key3", "new"}) {
    long left = 0;
    for (;; ++left) {
      ASSERT_LT(left, 10000) << "the write never completes";
      const auto shard = make_shard();
      if (!fails_at(left, [&] { write(*shard, key, 7.5F, 2); })) break;
      std::vector<float> vector(kD, -1);
      const HeldRecord held = shard->get(key, vector);
      if (held.found && held.version == Version{2, 0}) {
        EXPECT_EQ(vector[0], 7.5F) << "allocation " << left;
      }
      write(*shard, key, 7.5F, 2);
      EXPECT_TRUE(shard->get(key, vector).found);
      EXPECT_EQ(vector[0], 7.5F) << "allocation " << left;
      EXPECT_EQ(shard->stats().live, key == "new" ? 16U : 15U);
    }
    EXPECT_GT(left, 0);  // something did fail
  }
}

// Lists get pieces and longer tables, keys and rows get chunks.
TEST_P(AllocationFailure, LeavesOldRowsOrNewOnesOfALargeWrite) {
  constexpr std::size_t kRows = 200;
  constexpr std::size_t kFirst = 10;  // of which five overwrite
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < kRows; ++i) keys.push_back("key" + std::to_string(kFirst + i));
  const std::vector<float> vector(kD, 3.5F);  // all in one list
  std::vector<RecordView> records;
  for (const std::string& key : keys) {
    records.push_back({.key = key, .version = {2, 0}, .deleted = false, .vector_hash = 9, .vector = vector.data()});
  }
  std::vector<WriteOutcome> outcomes(kRows);
  const auto write_all = [&](VectorShard& shard) { shard.upsert_if_newer(records, WriteMode::kInsertOrUpdate, outcomes); };
  long left = 0;
  for (;; ++left) {
    ASSERT_LT(left, 10000) << "the write never completes";
    const auto shard = make_shard();
    if (!fails_at(left, [&] { write_all(*shard); })) break;
    std::vector<float> held_vector(kD);
    for (std::size_t i = 0; i < kFirst; ++i) {
      ASSERT_TRUE(shard->get("key" + std::to_string(i), held_vector).found) << "allocation " << left;
      EXPECT_EQ(held_vector[0], static_cast<float>(i)) << "allocation " << left;
    }
    write_all(*shard);
    for (const std::string& key : keys) {
      ASSERT_TRUE(shard->get(key, held_vector).found) << "allocation " << left;
      ASSERT_EQ(held_vector[0], 3.5F) << "allocation " << left;
    }
    ASSERT_EQ(shard->stats().live, kFirst + kRows) << "allocation " << left;
  }
  EXPECT_GT(left, 5);  // several steps did fail
}

// Rows that a batch overwrites leave their lists for others, in between those that it adds: what is thrown is thrown before.
TEST_P(AllocationFailure, LeavesAllRowsOrNoneOfABatchThatMovesThem) {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < 200; ++i) keys.push_back("key" + std::to_string(i));
  const auto vector_of = [](std::size_t i, std::size_t round) {
    return std::vector<float>(kD, static_cast<float>((i * 7 + round * 5) % 16));
  };
  const auto write_round = [&](VectorShard& shard, std::size_t round) {
    std::vector<std::vector<float>> vectors;
    std::vector<RecordView> records;
    for (std::size_t i = round % 2; i < keys.size(); i += 2) vectors.push_back(vector_of(i, round));
    for (std::size_t i = round % 2, at = 0; i < keys.size(); i += 2, ++at) {
      records.push_back(
          {.key = keys[i], .version = {round + 2, 0}, .deleted = false, .vector_hash = round, .vector = vectors[at].data()});
    }
    std::vector<WriteOutcome> outcomes(records.size());
    shard.upsert_if_newer(records, WriteMode::kInsertOrUpdate, outcomes);
  };
  constexpr long kStep = kSanitized ? 7 : 1;
  for (long left = 0, failures = 1; failures > 0; left += kStep) {
    ASSERT_LT(left, 10000) << "the writes never complete";
    failures = 0;
    const auto shard = make_shard();
    for (std::size_t round = 0; round < 6; ++round) {
      if (fails_at(left, [&] { write_round(*shard, round); })) {
        ++failures;
        write_round(*shard, round);
      }
      for (std::size_t i = round % 2; i < keys.size(); i += 2) {
        std::vector<float> held(kD);
        ASSERT_TRUE(shard->get(keys[i], held).found) << "allocation " << left;
        ASSERT_EQ(held, vector_of(i, round)) << "allocation " << left;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Indexes, AllocationFailure, ::testing::Values("Flat", "IVF4,Flat"),
                         [](const auto& index) { return std::string(index.param).substr(0, 4); });

TEST(RouterAllocationFailure, LeavesNoTwoReplicasUpThatDiffer) {
  long failures = 0;
  for (long left = 0;; ++left) {
    ASSERT_LT(left, 10000) << "the write never completes";
    TestCluster cluster(2, router_options(2));
    cluster.fill(20);
    const std::string key = cluster.key(500);
    const Vector vector = Vector::Ones(4);
    bool acknowledged = false;
    const bool threw = fails_at(left, [&] {
      const KeyView view = key;
      const WriteReport report = cluster.router.upsert(std::span(&view, 1), vector);
      acknowledged = report.ok() && report.missed.empty();
    });
    if (!threw && acknowledged) break;
    ++failures;
    const bool both_up = cluster.router.health("s0") == ShardHealth::kUp && cluster.router.health("s1") == ShardHealth::kUp;
    if (both_up) {
      EXPECT_EQ(cluster["s0"].contains(key), cluster["s1"].contains(key)) << "allocation " << left;
    }
  }
  EXPECT_GT(failures, 0);
}

}  // namespace
}  // namespace annulus::testing
