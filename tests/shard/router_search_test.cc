#include <gtest/gtest.h>

#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

struct Shape {
  std::size_t shards;
  std::size_t replicas;
  Metric metric;
  KeyKind kind;
};

class FlatSearch : public ::testing::TestWithParam<Shape> {
 protected:
  FlatSearch() : cluster(GetParam().shards, router_options(GetParam().replicas, spec_of("Flat", 5, GetParam().metric), GetParam().kind)) {}

  void expect_exact(std::size_t k, const KeyFilter& filter = {}) {
    const Vector query = random_vector(5, cluster.random);
    SearchOptions options;
    if (filter) options.filter = &filter;
    const SearchResult result = cluster.router.search(query, k, options);
    ASSERT_EQ(hits_of(result), cluster.oracle.nearest(query, k, filter));
    ASSERT_EQ(result.coverage, 1.0);
    ASSERT_TRUE(result.errors.empty());
  }

  TestCluster cluster;
};

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine}) {
    for (const KeyKind kind : {KeyKind::kBytes, KeyKind::kId}) {
      for (std::size_t shards = 1; shards <= 6; ++shards) {
        for (std::size_t replicas = 1; replicas <= 3; ++replicas) all.push_back({shards, replicas, metric, kind});
      }
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Shapes, FlatSearch, ::testing::ValuesIn(shapes()), [](const auto& instance) {
  const Shape& shape = instance.param;
  return std::string(to_string(shape.metric)) + (shape.kind == KeyKind::kId ? "_ids" : "_bytes") + "_s" + std::to_string(shape.shards) +
         "_r" + std::to_string(shape.replicas);
});

TEST_P(FlatSearch, EqualsBruteForceBitForBit) {
  cluster.fill(150);
  for (int i = 0; i < 5; ++i) expect_exact(10);
  // overwritten and erased
  for (std::size_t number = 0; number < 150; number += 3) cluster.put(number);
  for (std::size_t number = 1; number < 150; number += 4) cluster.erase(number);
  for (int i = 0; i < 5; ++i) expect_exact(10);
  expect_exact(1);
  expect_exact(1000);
  expect_exact(static_cast<std::size_t>(-1));
  expect_exact(7, [](KeyView key) { return key.front() % 2 == 0 || key.back() % 2 == 0; });
  expect_exact(7, [](KeyView) { return false; });
  EXPECT_EQ(cluster.router.size(), cluster.oracle.live().size());
}

TEST_P(FlatSearch, AnswersLargeBatchesAsItAnswersOneByOne) {
  cluster.fill(100);
  const Matrix queries = random_matrix(77, 5, 8);
  SearchResult result;
  cluster.router.search(random_matrix(90, 5, 9), 20, {}, result);  // a result is reused
  cluster.router.search(queries, 6, {}, result);
  ASSERT_EQ(result.queries(), 77u);
  EXPECT_GE(result.distances, 77u * 100 / GetParam().shards);
  for (Eigen::Index i = 0; i < queries.rows(); ++i) {
    ASSERT_EQ(hits_of(result, static_cast<std::size_t>(i)), cluster.oracle.nearest(queries.row(i), 6)) << i;
  }
}

TEST_P(FlatSearch, OrdersTiesByKey) {
  const Vector twin = Vector::Constant(5, 0.5f);
  for (std::size_t number : {300, 1, 256, 65536, 2, 12, 9}) {
    const std::string name = cluster.key(number);
    (void)cluster.router.upsert(name, twin);
    cluster.oracle.put(name, twin);
  }
  for (std::size_t k = 1; k <= 8; ++k) expect_exact(k);
}

TEST(RouterSearch, FindsAllWhereOneShardHoldsMoreOfTheNearestThanItsShare) {
  TestCluster cluster(6, router_options(1));
  std::size_t near = 0;
  for (int i = 0; i < 600; ++i) {
    const std::string key = "k" + std::to_string(i);
    const auto owner = cluster.router.placement().serving->table->replicas(token_of_key(key))[0];
    const bool is_near = owner == 2 && near < 60;
    near += is_near ? 1 : 0;
    const Vector vector = random_vector(4, cluster.random) * 0.1F + Vector::Constant(4, is_near ? 0.0F : 9.0F);
    (void)cluster.router.upsert(key, vector);
    cluster.oracle.put(key, vector);
  }
  ASSERT_EQ(near, 60U);
  const Matrix queries = Matrix::Zero(40, 4);
  std::uint64_t before = 0;
  for (int i = 0; i < 3; ++i) {
    const SearchResult result = cluster.router.search(queries, 50);
    for (std::size_t q = 0; q < 40; ++q) ASSERT_EQ(hits_of(result, q), cluster.oracle.nearest(queries.row(0), 50));
    if (i == 1) {
      EXPECT_LT(result.distances, before) << "the router knows by now that shares do not tell";
    }
    before = result.distances;
  }
}

TEST(RouterSearch, AsksAgainWhereThoseAskedFirstHoldAllThatIsNear) {
  // each of two shards holds too few of the near rows for its list to be cut, both together enough for a bound that is too low
  for (std::size_t first = 0; first < 8; ++first) {
    TestCluster cluster(8, router_options(1));
    std::vector<std::size_t> held(8, 0);
    for (int i = 0; i < 4000; ++i) {
      const std::string key = "k" + std::to_string(i);
      const std::size_t owner = cluster.router.placement().serving->table->replicas(token_of_key(key))[0];
      const bool is_near = owner == first || owner == (first + 1) % 8;
      if (++held[owner] > (is_near ? 14U : 12U)) continue;
      const Vector vector = random_vector(4, cluster.random) * 0.1F + Vector::Constant(4, is_near ? 0.0F : 9.0F);
      (void)cluster.router.upsert(key, vector);
      cluster.oracle.put(key, vector);
    }
    const Vector query = Vector::Zero(4);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(hits_of(cluster.router.search(query, 40)), cluster.oracle.nearest(query, 40)) << first;
  }
}

TEST(RouterSearch, AsksOnceWhereShardsAreDown) {
  TestCluster cluster(8, router_options(1, spec_of("Flat", 5)));
  cluster.fill(2000);
  for (const char* down : {"s1", "s3", "s4", "s6"}) cluster.router.mark_down(down);
  const Matrix queries = Matrix::Random(50, 5);
  const SearchResult result = cluster.router.search(queries, 40);
  std::uint64_t held = 0;
  for (const char* up : {"s0", "s2", "s5", "s7"}) held += cluster[up].inner().stats().live;
  EXPECT_LT(result.coverage, 0.8);
  EXPECT_EQ(hits_of(result, 0).size(), 40U);
  EXPECT_EQ(result.distances, 50 * held) << "a query that is asked twice compares all rows twice";
}

RouterOptions graph(std::size_t replicas) { return router_options(replicas, spec_of("HNSW8", 6)); }

TEST(RouterSearch, IsExactWhereShardsHoldWhatIsNotTheirs) {
  TestCluster cluster(4, router_options(1));
  cluster.fill(300);
  const Arc whole{0, 0};
  RecordPage page(cluster.dimension());
  ScanPosition position;
  cluster["s0"].inner().scan(std::span(&whole, 1), position, 1000, ScanContents::kVectors, page);
  for (const char* other : {"s1", "s2", "s3"}) {
    std::vector<WriteOutcome> outcomes(page.size());
    cluster[other].inner().upsert_if_newer(page.views(), WriteMode::kInsertOrUpdate, outcomes);
  }
  ASSERT_GT(cluster["s1"].inner().stats().live, page.size());
  for (int i = 0; i < 50; ++i) {
    const Vector query = random_vector(cluster.dimension(), cluster.random);
    ASSERT_EQ(hits_of(cluster.router.search(query, 20)), cluster.oracle.nearest(query, 20)) << "query " << i;
  }
}

TEST(RouterSearch, OverGraphsFindsNearlyAllOfTheNearest) {
  TestCluster cluster(4, graph(2));
  cluster.fill(400);
  std::size_t found = 0;
  for (int i = 0; i < 20; ++i) {
    const Vector query = random_vector(6, cluster.random);
    const SearchResult result = cluster.router.search(query, 10, {.params = {.ef = 100, .nprobe = {}}});
    EXPECT_EQ(result.shards_asked, 3u);
    const auto truth = cluster.oracle.nearest(query, 10);
    for (const Hit& hit : hits_of(result)) found += static_cast<std::size_t>(std::count(truth.begin(), truth.end(), hit));
  }
  EXPECT_GE(found, 190u);
}

TEST(RouterSearch, OverInvertedListsIsExactWhenAllAreVisited) {
  TestCluster cluster(4, router_options(2, spec_of("IVF4,Flat")));
  cluster.fill(200);
  for (int i = 0; i < 5; ++i) {
    const Vector query = random_vector(4, cluster.random);
    EXPECT_EQ(hits_of(cluster.router.search(query, 10, {.params = {.ef = {}, .nprobe = 4}})), cluster.oracle.nearest(query, 10));
  }
}

TEST(RouterSearch, RefinesCandidatesWhoseDistancesAreNotExact) {
  for (const std::size_t replicas : {1, 2}) {
    TestCluster cluster(4, router_options(replicas));
    cluster.fill(200);
    float error = 0;
    for (const auto& shard : cluster.shards) shard->distort(error += 0.15f);  // each shard lies by another factor
    for (int i = 0; i < 5; ++i) {
      const Vector query = random_vector(4, cluster.random);
      const auto hits = hits_of(cluster.router.search(query, 10));
      const auto truth = cluster.oracle.nearest(query, 10);
      // twice as many candidates are refined: the nearest is among them, and every distance is the exact one
      ASSERT_EQ(hits.size(), 10u);
      EXPECT_EQ(hits.front(), truth.front());
      for (const Hit& hit : hits) {
        const Vector& held = cluster.oracle.live().at(hit.key);
        EXPECT_EQ(hit.distance, l2_squared(query.data(), held.data(), 4));
      }
    }
    EXPECT_GT(cluster.shards[0]->count(Call::kRefine) + cluster.shards[1]->count(Call::kRefine), 0u);
  }
}

// Of what all shards together return, as many as the cut keeps get an exact distance, each once.
TEST(RouterSearch, RefinesOnceAndOnlyWhatTheCutOfAllShardsKeeps) {
  constexpr std::size_t kQueries = 20;
  for (const char* factory : {"Flat", "IVF4,Flat"}) {
    for (const std::size_t shards : {1, 5}) {
      for (const std::size_t replicas : {1, 2}) {
        TestCluster cluster(shards, router_options(std::min(replicas, shards), spec_of(factory, 8)));
        cluster.fill(1000);
        if (std::string_view(factory) == "Flat") {
          for (const auto& shard : cluster.shards) shard->distort(0.01F);
        }
        const Matrix queries = random_matrix(kQueries, 8, 3);
        SearchOptions options;
        options.params.nprobe = 4;
        const SearchResult result = cluster.router.search(queries, 10, options);
        std::uint64_t refined = 0;
        for (const auto& shard : cluster.shards) {
          refined += shard->refined();
          EXPECT_LE(shard->count(Call::kRefine), 1U) << "once for a batch";
        }
        EXPECT_EQ(refined, kQueries * default_rerank(10)) << factory << ' ' << shards << ' ' << replicas;
        for (std::size_t i = 0; i < kQueries; ++i) ASSERT_EQ(result[i].size(), 10U);
      }
    }
  }
}

// Each query is compared with the centroids once, however many shards there are.
TEST(RouterSearch, AssignsQueriesToListsOnceForAllShards) {
  constexpr std::size_t kQueries = 20;
  constexpr std::size_t kLists = 16;
  for (const std::size_t shards : {1, 2, 8}) {
    TestCluster cluster(shards, router_options(1, spec_of("IVF16,Flat", 8)));
    cluster.fill(1000);
    const SearchResult result = cluster.router.search(random_matrix(kQueries, 8, 3), 10);
    std::uint64_t in_shards = 0;
    for (const auto& shard : cluster.shards) in_shards += shard->stats().distances;
    EXPECT_GT(in_shards, 0U);
    EXPECT_EQ(result.distances - in_shards, kQueries * kLists) << shards << " shards";
  }
}

TEST(RouterSearch, ReportsAShardThatFailsAndAsksTheOthers) {
  TestCluster cluster(4, router_options(2));
  cluster.fill(200);
  cluster["s1"].fail({Call::kCandidates});
  for (int i = 0; i < 8; ++i) {
    const Vector query = random_vector(4, cluster.random);
    const SearchResult result = cluster.router.search(query, 10);
    EXPECT_EQ(result.coverage, 1.0);
    EXPECT_EQ(hits_of(result), cluster.oracle.nearest(query, 10));
    for (const ShardError& error : result.errors) {
      EXPECT_EQ(error.shard, "s1");
      EXPECT_EQ(error.code, ErrorCode::kUnavailable);
      EXPECT_THAT(error.message, ::testing::HasSubstr("told to fail"));
    }
    EXPECT_LE(result.errors.size(), 1u);
  }
  EXPECT_GT(cluster["s1"].failed(), 0u);
  EXPECT_EQ(cluster.router.health("s1"), ShardHealth::kUp) << "a read that fails makes nobody behind";
}

TEST(RouterSearch, ReportsAShardThatFailsToRefineAndAsksTheOthers) {
  TestCluster cluster(4, router_options(2));
  cluster.fill(200);
  for (const auto& shard : cluster.shards) shard->distort(0.01f);
  cluster["s1"].fail({Call::kRefine});
  std::size_t reported = 0;
  for (int i = 0; i < 8; ++i) {
    const Matrix queries = random_matrix(40, 4, static_cast<std::uint64_t>(i));
    const SearchResult result = cluster.router.search(queries, 3);
    EXPECT_EQ(result.coverage, 1.0);
    reported += result.errors.size();
    for (std::size_t q = 0; q < 40; ++q) {
      ASSERT_EQ(hits_of(result, q), cluster.oracle.nearest(queries.row(static_cast<Eigen::Index>(q)), 3));
    }
  }
  EXPECT_GT(reported, 0u);
}

TEST(RouterSearch, StatesItsCoverageWhenAFailureLeavesAHole) {
  TestCluster cluster(3, router_options(1));
  cluster.fill(150);
  cluster["s2"].fail({Call::kCandidates});
  const Vector query = random_vector(4, cluster.random);
  const SearchResult result = cluster.router.search(query, 150);
  const double gone = cluster.router.placement().serving->table->arcs_of(2).fraction();
  EXPECT_NEAR(result.coverage, 1 - gone, 1e-12);
  EXPECT_LT(result.coverage, 1.0);
  ASSERT_EQ(result.errors.size(), 1u);
  EXPECT_EQ(result.errors[0].shard, "s2");
  // what it found is right
  auto hits = hits_of(result);
  auto truth = cluster.oracle.nearest(query, 150);
  std::erase_if(truth, [&](const Hit& hit) { return cluster["s2"].inner().contains(hit.key); });
  EXPECT_EQ(hits, truth);
  for (const auto& shard : cluster.shards) shard->fail({Call::kCandidates});
  expect_error(ErrorCode::kUnavailable, {"no shard", "3", "told to fail"}, [&] { (void)cluster.router.search(query, 1); });
  for (const auto& shard : cluster.shards) shard->heal();
  EXPECT_EQ(hits_of(cluster.router.search(query, 5)), cluster.oracle.nearest(query, 5));
}

TEST(RouterSearch, StatesItsCoverageWithShardsDown) {
  TestCluster cluster(5, router_options(2));
  cluster.fill(200);
  const Vector query = random_vector(4, cluster.random);
  cluster.router.mark_down("s0");
  SearchResult result = cluster.router.search(query, 10);
  EXPECT_EQ(result.coverage, 1.0);
  EXPECT_EQ(hits_of(result), cluster.oracle.nearest(query, 10));
  EXPECT_TRUE(result.errors.empty());
  cluster.router.mark_down("s1");
  result = cluster.router.search(query, 10);
  EXPECT_LT(result.coverage, 1.0);
  EXPECT_GT(result.coverage, 0.5);
  for (const char* id : {"s2", "s3", "s4"}) cluster.router.mark_down(id);
  expect_error(ErrorCode::kUnavailable, {"no shard is up", "5"}, [&] { (void)cluster.router.search(query, 10); });
}

TEST(RouterSearch, AsksAgainWhenAnOldVersionPushedARowOutOfTheCut) {
  // of graphs every cover costs about the same: all three take turns
  TestCluster cluster(3, router_options(2, spec_of("HNSW8")));
  // keys by who lacks them
  std::vector<std::vector<std::string>> without(3);
  for (int i = 0; i < 200; ++i) {
    const std::string key = "k" + std::to_string(i);
    const auto owners = cluster.router.placement().serving->table->replicas(token_of_key(key));
    without[3 - owners[0] - owners[1]].push_back(key);
  }
  const std::string x = without[2].at(0), y = without[1].at(0), w = without[1].at(1), z = without[0].at(0);
  const auto at = [](float value) { return Vector(Vector::Unit(4, 0) * value); };
  (void)cluster.router.upsert(x, at(1));
  (void)cluster.router.upsert(y, at(2));
  (void)cluster.router.upsert(w, at(3));
  (void)cluster.router.upsert(z, at(6));
  // an overwrite of x has reached s1 and not yet s0
  const Vector moved = at(5);
  const RecordView record{.key = x, .version = {VersionClock(0).next().clock * 2, 0}, .vector = moved.data()};
  WriteOutcome outcome;
  cluster["s1"].inner().upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));

  // s0 gives {x, y}, s1 {x anew, z}: the cut at 2 kept w back. The other queries meet no such thing, and are not asked again.
  Matrix queries = Matrix::Zero(40, 4);
  for (Eigen::Index i = 1; i < 40; ++i) queries(i, 0) = 100;
  std::size_t old_state = 0, new_state = 0;
  for (int i = 0; i < 6; ++i) {
    const SearchResult result = cluster.router.search(queries, 2);
    const std::vector<Hit> hits = hits_of(result);
    old_state += hits == std::vector<Hit>{{x, 1}, {y, 4}} ? 1 : 0;
    new_state += hits == std::vector<Hit>{{y, 4}, {w, 9}} ? 1 : 0;
    for (std::size_t q = 1; q < 40; ++q) {
      ASSERT_EQ(hits_of(result, q)[0], (Hit{z, 94 * 94}));
      ASSERT_EQ(hits_of(result, q), hits_of(result, 1));
    }
  }
  EXPECT_EQ(old_state, 2u) << "s0 and s2 know nothing of the write yet";
  EXPECT_EQ(new_state, 4u) << "with s1, x is where it went, and w is not missing";
}

TEST(RouterSearch, ReturnsRowsWhoseDistanceOverflows) {
  TestCluster cluster(2, router_options(1));
  const Vector huge = Vector::Constant(4, 3e38f);
  (void)cluster.router.upsert("huge", huge);
  (void)cluster.router.upsert("small", Vector::Zero(4));
  cluster.oracle.put("huge", huge);
  cluster.oracle.put("small", Vector::Zero(4));
  EXPECT_EQ(hits_of(cluster.router.search(Vector::Zero(4), 5)), cluster.oracle.nearest(Vector::Zero(4), 5));
}

TEST(RouterSearch, PassesOnWhatAFilterThrows) {
  TestCluster cluster(2, router_options(1));
  cluster.fill(20);
  const KeyFilter refusing = [](KeyView) -> bool { throw Error(ErrorCode::kInvalidArgument, "the filter refuses"); };
  SearchOptions options;
  options.filter = &refusing;
  expect_error(ErrorCode::kInvalidArgument, {"the filter refuses"}, [&] { (void)cluster.router.search(Vector::Zero(4), 5, options); });
  EXPECT_EQ(hits_of(cluster.router.search(Vector::Zero(4), 5)), cluster.oracle.nearest(Vector::Zero(4), 5));
}

TEST(RouterSearch, OfAnEmptyClusterFindsNothing) {
  TestCluster cluster(3, router_options(2));
  const SearchResult result = cluster.router.search(random_matrix(3, 4, 1), 5);
  EXPECT_EQ(result.queries(), 3u);
  EXPECT_TRUE(result[2].empty());
  EXPECT_EQ(result.coverage, 1.0);
  EXPECT_EQ(cluster.router.search(Matrix(0, 4), 5).queries(), 0u);
  TestCluster nobody(0, router_options(1));
  expect_error(ErrorCode::kUnavailable, {"attach_node"}, [&] { (void)nobody.router.search(Vector::Zero(4), 5); });
}

}  // namespace
}  // namespace annulus::testing
