// One shard under every kind of call at once; under ThreadSanitizer this is the proof of its locks.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

class BusyShard : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Indexes, BusyShard, ::testing::Values("Flat", "HNSW4", "IVF4,Flat"), [](const auto& instance) {
  std::string name = instance.param;
  std::erase(name, ',');
  return name;
});

TEST_P(BusyShard, AnswersRightlyWhileItIsWrittenScannedAndCompacted) {
  constexpr std::size_t kKeys = 300;
  constexpr std::size_t kDimension = 4;
  const IndexSpec spec = spec_of(GetParam(), kDimension);
  VectorShard shard("s", spec);
  if (needs_training(spec)) shard.attach_codec(Codec::train(spec, random_matrix(600, kDimension, 1)));
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kKeys; ++i) names.push_back("k" + std::to_string(i));
  // the vector of version v of key i is a function of both: any reader can check what it sees
  const auto vector_of = [](std::size_t i, std::uint64_t version) {
    std::mt19937_64 random(i * 1000 + version);
    return random_vector(kDimension, random);
  };
  const auto write_all = [&](std::size_t first, std::size_t step, std::uint64_t version) {
    std::vector<Vector> vectors;
    std::vector<RecordView> records;
    for (std::size_t i = first; i < kKeys; i += step) vectors.push_back(vector_of(i, version));
    for (std::size_t i = first, at = 0; i < kKeys; i += step, ++at) {
      records.push_back({.key = names[i], .version = {version, 0}, .vector_hash = hash_vector(vectors[at].data(), kDimension), .vector = vectors[at].data()});
    }
    std::vector<WriteOutcome> outcomes(records.size());
    shard.upsert_if_newer(records, WriteMode::kInsertOrUpdate, outcomes);
  };
  write_all(0, 1, 1);

  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  readers.emplace_back([&] {  // searches: whole, without doubles, in order
    std::mt19937_64 random(1);
    CandidateLists lists;
    while (!stop.load()) {
      shard.candidates(random_vector(kDimension, random), 20, {.ef = 64, .nprobe = 4}, nullptr, lists);
      const auto found = lists.of(0);
      ASSERT_EQ(found.size(), 20u);
      std::set<std::string> keys;
      for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_TRUE(keys.insert(std::string(lists.key(found[i]))).second);
        if (i > 0) {
          ASSERT_GE(found[i].distance, found[i - 1].distance);
        }
      }
    }
  });
  readers.emplace_back([&] {  // reads: a vector is that of its version
    std::mt19937_64 random(2);
    Vector vector(static_cast<Eigen::Index>(kDimension));
    while (!stop.load()) {
      const std::size_t i = random() % kKeys;
      const HeldRecord held = shard.get(names[i], std::span(vector.data(), kDimension));
      ASSERT_TRUE(held.found && !held.deleted);
      ASSERT_EQ(vector, vector_of(i, held.version.clock));
      ASSERT_GT(shard.stats().memory_bytes, 0u);
    }
  });
  readers.emplace_back([&] {  // scans: every record that stays is seen
    const Arc whole{0, 0};
    RecordPage page(kDimension);
    while (!stop.load()) {
      ScanPosition position;
      std::set<std::string> seen;
      for (bool more = true; more;) {
        page.clear();
        more = shard.scan(std::span(&whole, 1), position, 32, ScanContents::kVectors, page);
        for (const RecordView& record : page.views()) ASSERT_TRUE(seen.emplace(record.key).second);
      }
      ASSERT_GE(seen.size(), kKeys);
      ASSERT_GE(shard.digest(std::span(&whole, 1)).front().live, kKeys);
    }
  });
  std::thread other([&] {  // comes and goes beside them: slots are reused
    const Vector zero = Vector::Zero(static_cast<Eigen::Index>(kDimension));
    for (std::uint64_t version = 1; version <= 60; ++version) {
      const std::string key = "visitor" + std::to_string(version % 7);
      const std::vector<RecordView> records = {{.key = key, .version = {2 * version, 0}, .vector = zero.data()},
                                               {.key = key, .version = {2 * version + 1, 0}, .deleted = true}};
      for (const RecordView& record : records) {
        WriteOutcome outcome;
        shard.upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
      }
      if (version % 5 == 0) shard.collect_tombstones({2 * version + 1, 0});
    }
  });
  std::thread second([&] {
    for (std::uint64_t version = 2; version <= 12; ++version) write_all(1, 2, version);
  });
  for (std::uint64_t version = 2; version <= 12; ++version) write_all(0, 2, version);
  second.join();
  other.join();
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  for (std::size_t i = 0; i < kKeys; ++i) {
    Vector vector(static_cast<Eigen::Index>(kDimension));
    EXPECT_EQ(shard.get(names[i], std::span(vector.data(), kDimension)).version.clock, 12u);
    EXPECT_EQ(vector, vector_of(i, 12));
  }
  EXPECT_LT(shard.stats().dead_rows, 2000u) << "a graph was compacted meanwhile";
  EXPECT_EQ(shard.stats().live, kKeys);
}

TEST_P(BusyShard, FindsEachPrimaryRowWhileRowsChangeTheirGroup) {
  constexpr std::size_t kKeys = 1000;
  constexpr std::size_t kDimension = 4;
  const IndexSpec spec = spec_of(GetParam(), kDimension);
  VectorShard shard("s", spec);
  if (needs_training(spec)) shard.attach_codec(Codec::train(spec, random_matrix(600, kDimension, 1)));
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kKeys; ++i) names.push_back("k" + std::to_string(i));
  const auto write_all = [&](std::uint64_t version) {
    const Matrix vectors = random_matrix(kKeys, kDimension, version);
    std::vector<RecordView> records;
    for (std::size_t i = 0; i < kKeys; ++i) {
      records.push_back({.key = names[i], .version = {version, 0}, .vector = vectors.row(static_cast<Eigen::Index>(i)).data()});
    }
    std::vector<WriteOutcome> outcomes(kKeys);
    shard.upsert_if_newer(records, WriteMode::kInsertOrUpdate, outcomes);
  };
  write_all(1);
  constexpr Token kQuarter = Token{1} << 62;
  const ArcSet always({{0, kQuarter}});  // primary all the time, while others come and go
  const std::vector<ArcSet> turns = {always, always.united(ArcSet({{2 * kQuarter, 3 * kQuarter}})), ArcSet::whole(), ArcSet({{3 * kQuarter, 2 * kQuarter}})};
  std::size_t must = 0;
  for (const std::string& name : names) must += always.contains(token_of_key(name)) ? 1 : 0;

  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (const RowGroups groups : {RowGroups::kPrimary, RowGroups::kAll}) {
    readers.emplace_back([&, groups] {
      std::mt19937_64 random(static_cast<std::uint64_t>(groups));
      CandidateLists lists;
      const SearchParams params = {.ef = 2 * kKeys, .nprobe = 4};
      while (!stop.load()) {
        const Vector query = random_vector(kDimension, random);
        const QueryBatch batch(spec, query, params);
        shard.candidates({.queries = batch, .k = 2 * kKeys, .groups = groups}, lists);
        std::set<KeyView> seen;
        std::size_t found = 0;
        for (const auto& entry : lists.of(0)) {
          const KeyView key = lists.key(entry);
          ASSERT_TRUE(seen.insert(key).second) << key;
          found += always.contains(token_of_key(key)) ? 1 : 0;
        }
        ASSERT_EQ(found, must);
        if (groups == RowGroups::kAll) {
          ASSERT_EQ(seen.size(), kKeys);
        }
      }
    });
  }
  std::thread writer([&] {
    for (std::uint64_t version = 2; version <= 8; ++version) write_all(version);
  });
  for (std::size_t turn = 0; turn < 24; ++turn) shard.set_primary_arcs(turns[turn % turns.size()]);
  shard.set_primary_arcs(always);
  writer.join();
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(shard.stats().live, kKeys);
}

}  // namespace
}  // namespace annulus::testing
