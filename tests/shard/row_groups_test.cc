// Primary and secondary rows: a shard's two groups, and clusters that search only the primary ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kDimension = 4;

ArcSet random_arcs(std::mt19937_64& random) {
  if (random() % 8 == 0) return random() % 2 == 0 ? ArcSet() : ArcSet::whole();
  std::vector<Arc> arcs;
  for (std::size_t i = 0; i < 1 + random() % 4; ++i) {
    const Token lo = random();
    arcs.push_back({lo, lo + (random() >> 2)});
  }
  return ArcSet(arcs);
}

// Every key that a search for all rows of a group returns, with its distance to `query`; fails if one comes twice.
std::map<std::string, float> all_of(const Shard& shard, RowGroups groups, const Vector& query, const KeyFilter* filter = nullptr) {
  const SearchParams params = {.ef = 1000, .nprobe = 1000};
  const QueryBatch batch(shard.spec(), query, params);
  CandidateLists lists;
  shard.candidates({.queries = batch, .k = 10000, .filter = filter, .groups = groups}, lists);
  std::map<std::string, float> found;
  float last = -std::numeric_limits<float>::infinity();
  for (const CandidateLists::Entry& entry : lists.of(0)) {
    EXPECT_TRUE(found.emplace(lists.key(entry), entry.distance).second) << lists.key(entry);
    EXPECT_GE(entry.distance, last);
    last = entry.distance;
  }
  return found;
}

class Grouped : public ::testing::TestWithParam<const char*> {
 protected:
  Grouped() {
    if (needs_training(spec)) shard.attach_codec(Codec::train(spec, random_matrix(600, kDimension, 1)));
  }

  void write(const std::vector<std::size_t>& numbers, bool deleted) {
    std::vector<std::string> names;
    for (const std::size_t number : numbers) names.push_back("key" + std::to_string(number));
    std::vector<Vector> vectors;
    std::vector<RecordView> records;
    ++clock;
    for (std::size_t i = 0; i < names.size(); ++i) vectors.push_back(random_vector(kDimension, random));
    for (std::size_t i = 0; i < names.size(); ++i) {
      records.push_back({.key = names[i], .version = {clock, 0}, .deleted = deleted, .vector_hash = 0, .vector = vectors[i].data()});
      if (deleted) {
        live.erase(names[i]);
      } else {
        live[names[i]] = vectors[i];
      }
    }
    std::vector<WriteOutcome> outcomes(records.size());
    shard.upsert_if_newer(records, WriteMode::kInsertOrUpdate, outcomes);
  }
  void churn() {
    std::set<std::size_t> written, erased;
    for (int i = 0; i < 60; ++i) written.insert(random() % 400);
    for (int i = 0; i < 20; ++i) erased.insert(random() % 400);
    write({written.begin(), written.end()}, false);
    write({erased.begin(), erased.end()}, true);
  }
  bool exact() const { return spec.factory == "Flat"; }
  std::map<std::string, Vector> stored() const {
    std::map<std::string, Vector> vectors;
    for (const auto& [key, written] : live) {
      Vector vector(static_cast<Eigen::Index>(kDimension));
      EXPECT_TRUE(shard.get(key, std::span(vector.data(), kDimension)).found);
      vectors[key] = vector;
    }
    return vectors;
  }

  // All rows are found once; the primary ones are those of `arcs`; vectors and distances are those of the group's own index.
  void expect_groups(const ArcSet& arcs) {
    const Vector query = random_vector(kDimension, random);
    const auto all = all_of(shard, RowGroups::kAll, query);
    const auto primary = all_of(shard, RowGroups::kPrimary, query);
    ASSERT_EQ(all.size(), live.size());
    std::size_t primaries = 0;
    std::vector<RefineItem> items;
    for (const auto& [key, vector] : live) {
      const auto found = all.find(key);
      ASSERT_NE(found, all.end()) << key;
      const float expected = distance(Metric::kL2, query.data(), vector.data(), kDimension);
      if (exact()) {
        ASSERT_EQ(found->second, expected);
      }
      const bool is_primary = arcs.contains(token_of_key(key));
      ASSERT_EQ(primary.contains(key), is_primary) << key;
      primaries += is_primary ? 1 : 0;
      Vector held(static_cast<Eigen::Index>(kDimension));
      ASSERT_TRUE(shard.get(key, std::span(held.data(), kDimension)).found);
      if (shard.lossless()) {
        ASSERT_EQ(held, vector) << key;
      }
      items.push_back({0, key, 0});
    }
    ASSERT_EQ(primary.size(), primaries);
    std::vector<float> refined(items.size());
    shard.refine(query, items, refined);
    for (std::size_t i = 0; i < items.size() && shard.lossless(); ++i) {
      ASSERT_EQ(refined[i], distance(Metric::kL2, query.data(), live.at(std::string(items[i].key)).data(), kDimension));
    }
    const KeyFilter even = [](KeyView key) { return (key.back() - '0') % 2 == 0; };
    for (const auto& [key, far] : all_of(shard, RowGroups::kAll, query, &even)) ASSERT_TRUE(even(key));
  }

  const IndexSpec spec = spec_of(GetParam(), kDimension);
  VectorShard shard{"s", spec};
  std::map<std::string, Vector> live;
  std::mt19937_64 random{7};
  std::uint64_t clock = 0;
};

INSTANTIATE_TEST_SUITE_P(Indexes, Grouped, ::testing::Values("Flat", "IVF4,Flat", "IVF4,SQ8", "IVF4,PQ2"), [](const auto& instance) {
  std::string name = instance.param;
  std::erase(name, ',');
  return name;
});

TEST_P(Grouped, PrimaryRowsAreThoseOfThePrimaryArcsThroughAllChanges) {
  churn();
  ASSERT_NO_FATAL_FAILURE(expect_groups(ArcSet::whole())) << "at first every row is primary";
  for (int round = 0; round < 40; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const ArcSet arcs = random_arcs(random);
    shard.set_primary_arcs(arcs);
    ASSERT_NO_FATAL_FAILURE(expect_groups(arcs));
    churn();
    ASSERT_NO_FATAL_FAILURE(expect_groups(arcs));
  }
}

TEST_P(Grouped, RowsThatChangeTheirGroupKeepTheirRecordsDigestsAndVectors) {
  for (int i = 0; i < 8; ++i) churn();
  const Arc whole{0, 0};
  const auto digests = shard.digest(std::span(&whole, 1));
  const auto vectors = stored();
  for (int round = 0; round < 10; ++round) {
    shard.set_primary_arcs(random_arcs(random));
    ASSERT_EQ(shard.digest(std::span(&whole, 1)), digests);
    ASSERT_EQ(shard.stats().live, live.size());
    ASSERT_EQ(stored(), vectors) << "codes move as they are";
  }
  const std::uint64_t dropped = shard.drop(std::span(&whole, 1));
  EXPECT_EQ(dropped, live.size());
  live.clear();
  ASSERT_NO_FATAL_FAILURE(expect_groups(ArcSet()));
}

TEST_P(Grouped, TheNearestOfBothGroupsAreThoseOfOneIndex) {
  for (int i = 0; i < 8; ++i) churn();
  std::vector<std::pair<Vector, std::vector<std::pair<std::string, float>>>> answers;
  const auto ask = [&](const Vector& query) {
    const QueryBatch batch(spec, query, {.nprobe = 4});
    CandidateLists lists;
    shard.candidates({.queries = batch, .k = 15}, lists);
    std::vector<std::pair<std::string, float>> found;
    for (const auto& entry : lists.of(0)) found.emplace_back(lists.key(entry), entry.distance);
    return found;
  };
  for (int i = 0; i < 10; ++i) {
    const Vector query = random_vector(kDimension, random);
    answers.emplace_back(query, ask(query));
  }
  shard.set_primary_arcs(ArcSet({{0, Token{1} << 63}}));
  for (const auto& [query, expected] : answers) {
    if (exact()) {
      EXPECT_EQ(ask(query), expected);
    } else {
      EXPECT_EQ(ask(query).size(), expected.size());
    }
  }
}

TEST(GroupsOfAGraph, AreOne) {
  VectorShard shard("s", spec_of("HNSW8", kDimension));
  std::mt19937_64 random(1);
  const Vector vector = random_vector(kDimension, random);
  const RecordView record{.key = "a", .version = {1, 0}, .vector_hash = 1, .vector = vector.data()};
  WriteOutcome outcome;
  shard.upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
  shard.set_primary_arcs(ArcSet());
  EXPECT_EQ(all_of(shard, RowGroups::kPrimary, vector).size(), 1u);
  EXPECT_EQ(all_of(shard, RowGroups::kAll, vector).size(), 1u);
}

// ---- clusters

/// Of each live key, how many up members hold it in their primary group.
std::map<std::string, int> primary_copies(const TestCluster& cluster, const Vector& query) {
  std::map<std::string, int> copies;
  const SnapshotPtr snapshot = cluster.router.control().pin();
  for (const Member& member : snapshot->members()) {
    for (const auto& [key, far] : all_of(*member.shard, RowGroups::kPrimary, query)) ++copies[key];
  }
  return copies;
}

class ReplicasOf : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Indexes, ReplicasOf, ::testing::Values("Flat", "IVF8,Flat"), [](const auto& instance) {
  std::string name = instance.param;
  std::erase(name, ',');
  return name;
});

TEST_P(ReplicasOf, CostASearchNothingWithEveryShardUp) {
  constexpr std::size_t kKeys = 1500;
  std::map<std::size_t, std::uint64_t> distances;
  for (const std::size_t replicas : {1u, 2u, 3u}) {
    TestCluster cluster(8, router_options(replicas, spec_of(GetParam())));
    cluster.fill(kKeys);
    const Matrix queries = random_matrix(40, kDimension, 5);
    const SearchResult result = cluster.router.search(queries, 10, {.params = {.nprobe = 3}});
    EXPECT_EQ(result.coverage, 1.0);
    distances[replicas] = result.distances;
    const auto copies = primary_copies(cluster, random_vector(kDimension, cluster.random));
    EXPECT_EQ(copies.size(), kKeys);
    for (const auto& [key, count] : copies) EXPECT_EQ(count, 1) << key;
    EXPECT_EQ(result.shards_asked, 8u);
  }
  if (std::string(GetParam()) == "Flat") {
    EXPECT_EQ(distances[1], kKeys * 40);
    EXPECT_EQ(distances[2], distances[1]);
    EXPECT_EQ(distances[3], distances[1]);
  } else {
    // the same rows in the same lists, but for re-ranking and the padding of blocks
    EXPECT_LT(static_cast<double>(distances[2]), 1.02 * static_cast<double>(distances[1]));
    EXPECT_LT(static_cast<double>(distances[3]), 1.02 * static_cast<double>(distances[1]));
  }
}

TEST(ReplicasOfAFlatCluster, AreSearchedWhereAPrimaryIsGone) {
  TestCluster cluster(5, router_options(2));
  cluster.fill(500);
  const auto cost = [&] { return cluster.router.search(random_matrix(1, kDimension, 1), 10).distances; };
  EXPECT_EQ(cost(), 500u);
  cluster.router.mark_down("s2");
  ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(500));
  EXPECT_GT(cost(), 500u);
  EXPECT_LE(cost(), 1000u);
  cluster.fill(100, 450);
  ASSERT_TRUE(cluster.router.bring_up("s2").up);
  ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(550));
  EXPECT_EQ(cost(), 550u) << "back, and told what it is the primary of";
  cluster["s3"].fail({Call::kCandidates});
  ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(0));
  const SearchResult result = cluster.router.search(random_matrix(1, kDimension, 1), 10);
  EXPECT_EQ(result.coverage, 1.0);
  EXPECT_EQ(result.errors.size(), 1u);
}

TEST(ReplicasOfAFlatCluster, OfAShardThatWasNotToldAreSearchedWholeUntilItIs) {
  TestCluster cluster(4, router_options(2));
  cluster["s1"].fail({Call::kSetPrimaryArcs});
  cluster.fill(400);
  EXPECT_EQ(cluster["s1"].failed(), 1u);
  EXPECT_EQ(cluster.router.health("s1"), ShardHealth::kUp) << "it has missed nothing";
  const auto cost = [&] { return cluster.router.search(random_matrix(1, kDimension, 1), 10).distances; };
  EXPECT_GT(cost(), 400u);
  ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(400));
  cluster["s1"].heal();
  cluster.router.synchronise_all();
  EXPECT_EQ(cost(), 400u);
  ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(400));
}

TEST(ReplicasOfAFlatCluster, OfAShardThatCannotBeToldStayBehindUntilItCan) {
  TestCluster cluster(4, router_options(2));
  cluster["s1"].fail({Call::kSetPrimaryArcs});
  cluster.router.mark_down("s1");
  cluster.fill(200);
  const SyncReport report = cluster.router.bring_up("s1");
  EXPECT_FALSE(report.up);
  EXPECT_THAT(report.waits_for, ::testing::HasSubstr("s1"));
  ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(200));
  cluster["s1"].heal();
  EXPECT_TRUE(cluster.router.synchronise_all().front().up);
  EXPECT_EQ(cluster.router.search(random_matrix(1, kDimension, 1), 10).distances, 200u);
  ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(200));
}

}  // namespace
}  // namespace annulus::testing
