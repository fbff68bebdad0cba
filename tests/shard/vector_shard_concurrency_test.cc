// One shard under every kind of call at once; under ThreadSanitizer this is the proof of its locks.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <set>
#include <thread>

#include "tests/sanitized.h"
#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

class BusyShard : public ::testing::TestWithParam<const char*> {};

constexpr const char* kFactories[] = {"Flat", "HNSW4", "HNSW4,SQ8", "IVF4,Flat", "IVF4,SQ8", "IVF4,PQ2", "IVF4_HNSW4,Flat"};

INSTANTIATE_TEST_SUITE_P(Indexes, BusyShard, ::testing::ValuesIn(kFactories), [](const auto& instance) {
  std::string name = instance.param;
  std::replace(name.begin(), name.end(), ',', '_');
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
  readers.emplace_back([&] {  // searches under a filter, each way: whole, of accepted keys alone, and if it is exact right
    std::mt19937_64 random(3);
    const KeyFilter even = [](KeyView key) { return key.front() == 'k' && (key.back() - '0') % 2 == 0; };
    std::vector<KeyView> chosen;
    for (std::size_t i = 0; i < kKeys; i += 5) chosen.push_back(names[i]);
    const KeySet some(chosen);
    constexpr FilterMethod kMethods[] = {FilterMethod::kByCost, FilterMethod::kIndex, FilterMethod::kScan};
    CandidateLists lists;
    for (std::size_t turn = 0; !stop.load(); ++turn) {
      const bool by_set = turn % 2 == 0;
      const Vector query = random_vector(kDimension, random);
      SearchParams params{.ef = 64, .nprobe = 4};
      params.filter_method = kMethods[turn / 2 % 3];
      const QueryBatch batch(spec, query, params);
      shard.candidates({.queries = batch, .k = 20, .filter = by_set ? nullptr : &even, .allow = by_set ? &some : nullptr}, lists);
      ASSERT_EQ(lists.of(0).size(), 20U);
      for (const auto& entry : lists.of(0)) {
        const std::string key(lists.key(entry));
        ASSERT_EQ(key.front(), 'k') << key;
        const std::size_t i = std::stoul(key.substr(1));
        ASSERT_EQ(i % (by_set ? 5 : 2), 0U) << key;
        if (!shard.candidates_are_exact() || !shard.lossless()) continue;
        ASSERT_EQ(entry.distance,
                  distance(spec.metric, query.data(), vector_of(i, entry.version.clock).data(), kDimension));
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
      if (shard.lossless()) {
        ASSERT_EQ(vector, vector_of(i, held.version.clock));
      }
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
    if (shard.lossless()) {
      EXPECT_EQ(vector, vector_of(i, 12));
    }
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

// The primary group has lists before the secondary one has: what both keep by row grows beside searches of the first.
class TrainedShard : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Indexes, TrainedShard, ::testing::Values("IVF4,Flat", "IVF4,SQ8"), [](const auto& index) {
  return std::string(index.param).substr(5);
});

TEST_P(TrainedShard, AnswersFromBothGroupsWhileTheyGetLists) {
  constexpr std::size_t kKeys = 3000;
  constexpr std::size_t kDimension = 16;
  const IndexSpec spec = spec_of(GetParam(), kDimension);
  const ArcSet half({{0, Token{1} << 63}});
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kKeys; ++i) names.push_back("k" + std::to_string(i));
  const auto codec = Codec::train(spec, random_matrix(600, kDimension, 1));
  for (std::uint64_t round = 0; round < (kSanitized ? 2U : 6U); ++round) {
    VectorShard shard("s", spec);
    shard.set_primary_arcs(half);
    // every third key is written and erased in turns, the others are overwritten
    const auto write = [&](std::uint64_t version) {
      const Matrix vectors = random_matrix(kKeys, kDimension, version);
      std::vector<RecordView> records;
      for (std::size_t i = 0; i < kKeys; ++i) {
        const bool deleted = i % 3 == 0 && version % 2 == 0;
        const float* vector = deleted ? nullptr : vectors.row(static_cast<Eigen::Index>(i)).data();
        records.push_back({.key = names[i], .version = {version, 0}, .deleted = deleted, .vector = vector});
      }
      std::vector<WriteOutcome> outcomes(kKeys);
      shard.upsert_if_newer(records, WriteMode::kInsertOrUpdate, outcomes);
    };
    write(1);
    std::atomic<bool> stop{false};
    std::vector<std::thread> readers;
    for (const RowGroups groups : {RowGroups::kPrimary, RowGroups::kAll}) {
      readers.emplace_back([&, groups] {
        std::mt19937_64 random(static_cast<std::uint64_t>(groups) + round);
        CandidateLists lists;
        std::vector<RefineItem> items;
        std::vector<float> refined;
        while (!stop.load()) {
          const Vector query = random_vector(kDimension, random);
          const QueryBatch batch(spec, query, {.nprobe = 4});
          shard.candidates({.queries = batch, .k = 2 * kKeys, .groups = groups}, lists);
          std::size_t found = 0;
          std::set<KeyView> seen;
          for (const auto& entry : lists.of(0)) {
            const KeyView key = lists.key(entry);
            ASSERT_TRUE(seen.insert(key).second) << key;
            found += std::stoul(std::string(key.substr(1))) % 3 != 0 && half.contains(token_of_key(key)) ? 1 : 0;
          }
          std::size_t must = 0;
          for (std::size_t i = 0; i < kKeys; ++i) must += i % 3 != 0 && half.contains(token_of_key(names[i])) ? 1 : 0;
          ASSERT_EQ(found, must);
          items.clear();
          for (std::size_t i = 1; i < kKeys; i += 30) items.push_back({0, names[i], 0});
          refined.assign(items.size(), 0);
          shard.refine(query, items, refined);
          for (const float distance : refined) ASSERT_TRUE(std::isfinite(distance));
          ASSERT_GT(shard.stats().memory_bytes, kKeys * 16);
        }
      });
    }
    std::thread writer([&] {
      for (std::uint64_t version = 2; version <= 9; ++version) write(version);
    });
    std::thread mover([&] {
      while (!stop.load()) {
        shard.set_primary_arcs(half.united(ArcSet({{Token{1} << 63, Token{3} << 62}})));
        shard.set_primary_arcs(half);
      }
    });
    shard.attach_codec(codec);
    writer.join();
    stop.store(true);
    mover.join();
    for (std::thread& reader : readers) reader.join();
    const Matrix last = random_matrix(kKeys, kDimension, 9);
    for (std::size_t i = 0; i < kKeys; ++i) {
      Vector vector(static_cast<Eigen::Index>(kDimension));
      ASSERT_TRUE(shard.get(names[i], std::span(vector.data(), kDimension)).found);
      if (shard.lossless()) {
        ASSERT_EQ(vector, last.row(static_cast<Eigen::Index>(i))) << names[i];
      }
    }
    EXPECT_EQ(shard.stats().live, kKeys);
  }
}

TEST(CompactingShards, TakeTurnsAndDoNotStopSearches) {
  constexpr std::size_t kShards = 3;
  constexpr std::size_t kKeys = kSanitized ? 3500 : 6000;
  constexpr std::size_t kDimension = 16;
  using Clock = std::chrono::steady_clock;
  const Matrix vectors = random_matrix(kKeys, kDimension, 1);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kKeys; ++i) names.push_back("k" + std::to_string(i));
  std::vector<std::unique_ptr<VectorShard>> shards;
  const auto write = [&](VectorShard& shard, std::size_t begin, std::size_t end, std::uint64_t version) {
    std::vector<RecordView> records;
    for (std::size_t i = begin; i < end; ++i) {
      records.push_back({.key = names[i], .version = {version, 0}, .vector = vectors.row(static_cast<Eigen::Index>(i)).data()});
    }
    std::vector<WriteOutcome> outcomes(records.size());
    shard.upsert_if_newer(records, WriteMode::kInsertOrUpdate, outcomes);
  };
  for (std::size_t s = 0; s < kShards; ++s) {
    shards.push_back(std::make_unique<VectorShard>("s" + std::to_string(s), spec_of("HNSW16", kDimension)));
    write(*shards.back(), 0, kKeys, 1);
    write(*shards.back(), 0, kKeys / 2 - 10, 2);  // dead rows: ten short of a third
  }
  const auto memory = [&] {
    std::size_t bytes = 0;
    for (const auto& shard : shards) bytes += shard->stats().memory_bytes;
    return bytes;
  };
  const std::size_t before = memory();
  std::size_t greatest = 0;
  for (const auto& shard : shards) greatest = std::max(greatest, shard->stats().memory_bytes);

  std::atomic<bool> stop{false};
  std::size_t most = 0;
  std::thread watcher([&] {
    while (!stop.load()) most = std::max(most, memory());
  });
  std::size_t searches = 0;
  Clock::duration longest{};
  std::thread searcher([&] {
    CandidateLists lists;
    while (!stop.load()) {
      const auto began = Clock::now();
      const Vector query = vectors.row(static_cast<Eigen::Index>(searches * 7 % kKeys));
      shards[searches % kShards]->candidates(query, 10, {}, nullptr, lists);
      ++searches;
      longest = std::max(longest, Clock::now() - began);
      ASSERT_EQ(lists.of(0).size(), 10U);
    }
  });
  const auto began = Clock::now();
  std::vector<std::thread> writers;
  for (const auto& shard : shards) {
    writers.emplace_back([&, s = shard.get()] { write(*s, kKeys - 20, kKeys, 2); });
  }
  for (std::thread& writer : writers) writer.join();
  const auto taken = Clock::now() - began;
  stop.store(true);
  watcher.join();
  searcher.join();

  for (const auto& shard : shards) EXPECT_EQ(shard->stats().dead_rows, 0U) << shard->id() << " was not compacted";
  EXPECT_GT(most, before + greatest / 3) << "the copy was not seen";
  EXPECT_LE(most, before + greatest + greatest / 10) << "more than one copy at a time";
  EXPECT_LT(longest, taken / static_cast<int>(kShards) / 2) << "a search waited for a compaction";
  EXPECT_GT(searches, 100U);
}

}  // namespace
}  // namespace annulus::testing
