#include <gtest/gtest.h>

#include <thread>

#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

class Router : public ::testing::Test {
 protected:
  std::vector<std::string> owners(const std::string& key) {
    std::vector<std::string> ids;
    const Placement placement = cluster.router.placement();
    for (const NodeIndex node : placement.serving->table->replicas(token_of_key(key))) ids.push_back(placement.serving->ring.node(node).id);
    return ids;
  }
  Vector vector() { return random_vector(4, cluster.random); }

  TestCluster cluster{4, router_options(2)};
};

TEST_F(Router, PutsEachKeyOnExactlyItsOwners) {
  cluster.fill(100);
  for (std::size_t number = 0; number < 100; ++number) {
    const std::string key = cluster.key(number);
    const std::vector<std::string> expected = owners(key);
    for (const auto& shard : cluster.shards) {
      const bool owns = std::find(expected.begin(), expected.end(), shard->id()) != expected.end();
      ASSERT_EQ(shard->inner().contains(key), owns) << key << " on " << shard->id();
    }
  }
  EXPECT_EQ(cluster.router.size(), 100u);
  cluster.expect_agreement(120);
}

TEST_F(Router, ReportsAWriteRowByRowAndShardByShard) {
  const std::vector<KeyView> keys = {"a", "b", "c"};
  const WriteReport report = cluster.router.upsert(keys, random_matrix(3, 4, 1));
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.rows, 3u);
  EXPECT_TRUE(report.missed.empty());
  ASSERT_EQ(report.versions.size(), 3u);
  EXPECT_LT(report.versions[0], report.versions[1]);
  EXPECT_LT(report.versions[1], report.versions[2]);
  std::size_t sent = 0;
  for (const auto& part : report.shards) {
    sent += part.sent;
    EXPECT_EQ(part.sent, part.applied);
    EXPECT_FALSE(part.error);
  }
  EXPECT_EQ(sent, 6u);
  EXPECT_TRUE(std::is_sorted(report.shards.begin(), report.shards.end(), [](const auto& a, const auto& b) { return a.shard < b.shard; }));
  const SearchResult result = cluster.router.search(Vector::Zero(4), 3);
  for (const Neighbor& neighbor : result[0]) {
    EXPECT_EQ(neighbor.version, report.versions.at(static_cast<std::size_t>(neighbor.key.front() - 'a')));
  }
}

TEST_F(Router, LetsTheLastOfEqualKeysWin) {
  std::vector<KeyView> keys(40, "same");
  const Matrix vectors = random_matrix(40, 4, 2);
  EXPECT_TRUE(cluster.router.upsert(keys, vectors).ok());
  EXPECT_EQ(*cluster.router.get("same"), vectors.row(39));
  EXPECT_EQ(cluster.router.size(), 1u);
}

TEST_F(Router, GetsManyKeysAtOnce) {
  cluster.fill(20);
  cluster.erase(3);
  std::vector<std::string> names;
  for (std::size_t number = 0; number < 25; ++number) names.push_back(cluster.key(number));
  const std::vector<KeyView> keys(names.begin(), names.end());
  Matrix vectors;
  std::vector<bool> found;
  EXPECT_EQ(cluster.router.get(keys, vectors, found), 19u);
  ASSERT_EQ(vectors.rows(), 25);
  for (std::size_t i = 0; i < 25; ++i) {
    const auto expected = cluster.oracle.live().find(names[i]);
    ASSERT_EQ(found[i], expected != cluster.oracle.live().end());
    const Vector row = vectors.row(static_cast<Eigen::Index>(i));
    ASSERT_EQ(row, found[i] ? expected->second : Vector(Vector::Zero(4)));
  }
  EXPECT_EQ(cluster.router.get({}, vectors, found), 0u);
}

TEST_F(Router, ErasesWhatIsThereAndRemembersWhatIsNot) {
  cluster.fill(10);
  const WriteReport report = cluster.router.erase(cluster.key(4));
  EXPECT_TRUE(report.ok());
  EXPECT_FALSE(cluster.router.contains(cluster.key(4)));
  EXPECT_EQ(cluster.router.get(cluster.key(4)), std::nullopt);
  (void)cluster.router.erase("never written");
  EXPECT_EQ(cluster.router.size(), 9u);
  std::uint64_t tombstones = 0;
  for (const auto& state : cluster.router.shard_states()) tombstones += state.stats.tombstones;
  EXPECT_EQ(tombstones, 4u);
  const std::vector<KeyView> none;
  EXPECT_EQ(cluster.router.erase(none).rows, 0u);
  EXPECT_TRUE(cluster.router.upsert(none, Matrix(0, 4)).ok());
}

TEST_F(Router, MakesAnOwnerThatMissesAWriteBehind) {
  cluster.fill(30);
  const std::string key = cluster.key(5);
  const std::vector<std::string> holders = owners(key);
  cluster[holders[0]].fail({Call::kUpsert});
  const WriteReport report = cluster.router.upsert(key, vector());
  EXPECT_EQ(report.missed, (std::vector<std::string>{holders[0]}));
  EXPECT_TRUE(report.ok());
  bool told = false;
  for (const auto& part : report.shards) {
    EXPECT_EQ(part.error.has_value(), part.shard == holders[0]);
    told |= part.error && part.error->code == ErrorCode::kUnavailable && part.error->message.find("told to fail") != std::string::npos;
  }
  EXPECT_TRUE(told);
  EXPECT_EQ(cluster.router.health(holders[0]), ShardHealth::kBehind);
  EXPECT_EQ(cluster.router.health(holders[1]), ShardHealth::kUp);
  cluster[holders[0]].heal();
  // it takes writes and serves no reads
  const std::uint64_t upserts = cluster[holders[0]].count(Call::kUpsert);
  const std::uint64_t gets = cluster[holders[0]].count(Call::kGet);
  (void)cluster.router.upsert(key, vector());
  EXPECT_EQ(cluster[holders[0]].count(Call::kUpsert), upserts + 1);
  (void)cluster.router.get(key);
  EXPECT_EQ(cluster[holders[0]].count(Call::kGet), gets);
}

TEST_F(Router, RefusesAWriteThatNoOwnerTookAndMakesNobodyBehind) {
  cluster.fill(30);
  const std::string key = cluster.key(5);
  const std::vector<std::string> holders = owners(key);
  for (const auto& id : holders) cluster[id].fail({Call::kUpsert});
  expect_error(ErrorCode::kUnavailable, {"'" + key + "'", "told to fail", holders[0], holders[1]}, [&] { (void)cluster.router.upsert(key, vector()); });
  expect_error(ErrorCode::kUnavailable, {"'" + key + "'"}, [&] { (void)cluster.router.erase(key); });
  for (const auto& id : holders) {
    EXPECT_EQ(cluster.router.health(id), ShardHealth::kUp);
    cluster[id].heal();
  }
  cluster.expect_agreement(30);
}

TEST_F(Router, NamesTheRowsThatNoOwnerTook) {
  for (const auto& id : owners("k1")) cluster[id].fail({Call::kUpsert});
  std::vector<std::string> names;
  for (int i = 0; i < 50; ++i) names.push_back("k" + std::to_string(i));
  const std::vector<KeyView> keys(names.begin(), names.end());
  const WriteReport report = cluster.router.upsert(keys, random_matrix(50, 4, 1));
  EXPECT_FALSE(report.ok());
  std::vector<std::size_t> expected;
  for (std::size_t i = 0; i < names.size(); ++i) {
    auto ids = owners(names[i]), broken = owners("k1");
    std::sort(ids.begin(), ids.end());
    std::sort(broken.begin(), broken.end());
    if (ids == broken) expected.push_back(i);
  }
  EXPECT_EQ(report.failed_rows, expected);
  EXPECT_GT(report.failed_rows.size(), 0u);
  EXPECT_LT(report.failed_rows.size(), 50u);
}

TEST_F(Router, ReadsFromTheOtherOwnerWhenOneFails) {
  cluster.fill(30);
  cluster["s0"].fail({Call::kGet});
  cluster.expect_agreement(30);
  cluster["s1"].fail({Call::kGet});
  std::size_t failed = 0;
  for (std::size_t number = 0; number < 30; ++number) {
    const std::string key = cluster.key(number);
    std::vector<std::string> holders = owners(key);
    std::sort(holders.begin(), holders.end());
    if (holders != std::vector<std::string>{"s0", "s1"}) continue;
    ++failed;
    expect_error(ErrorCode::kUnavailable, {"'" + key + "'", "'s0'", "'s1'", "told to fail"}, [&] { (void)cluster.router.get(key); });
  }
  EXPECT_GT(failed, 0u);
}

TEST_F(Router, SaysWhoseHealthKeepsAKeyFromBeingRead) {
  cluster.fill(30);
  const std::string key = cluster.key(1);
  for (const auto& id : owners(key)) cluster.router.mark_down(id);
  expect_error(ErrorCode::kUnavailable, {"'" + key + "'", "'" + owners(key)[0] + "' is down", owners(key)[1]},
               [&] { (void)cluster.router.contains(key); });
  expect_error(ErrorCode::kUnavailable, {"is down"}, [&] { (void)cluster.router.upsert(key, vector()); });
  TestCluster nobody(0, router_options(1));
  expect_error(ErrorCode::kUnavailable, {"no shard is attached"}, [&] { (void)nobody.router.get("k"); });
  expect_error(ErrorCode::kUnavailable, {"no shard is attached"}, [&] { (void)nobody.router.upsert("k", Vector::Zero(4)); });
}

TEST_F(Router, HoldsCosineVectorsNormalised) {
  TestCluster cosine(3, router_options(2, spec_of("Flat", 4, Metric::kCosine)));
  const Vector v = Vector::Constant(4, 3.0f);
  (void)cosine.router.upsert("k", v);
  EXPECT_EQ(*cosine.router.get("k"), cosine.oracle.accepted(v));
  EXPECT_NEAR(cosine.router.get("k")->norm(), 1.0f, 1e-6f);
}

TEST_F(Router, CollectsTombstonesOfWritesThatHaveEnded) {
  cluster.fill(40);
  for (std::size_t number = 0; number < 40; number += 2) cluster.erase(number);
  EXPECT_EQ(cluster.router.collect_tombstones(), 40u) << "20 keys, 2 replicas";
  EXPECT_EQ(cluster.router.collect_tombstones(), 0u);
  cluster.expect_agreement(40);
}

TEST_F(Router, KeepsTombstonesWhileSomebodyMayNeedThem) {
  cluster.fill(40);
  cluster.erase(1);
  cluster.router.mark_down("s2");
  expect_error(ErrorCode::kFailedPrecondition, {"'s2'", "down"}, [&] { (void)cluster.router.collect_tombstones(); });
  cluster["s2"].fail({Call::kDigest});
  EXPECT_FALSE(cluster.router.bring_up("s2").up);
  expect_error(ErrorCode::kFailedPrecondition, {"'s2'", "behind"}, [&] { (void)cluster.router.collect_tombstones(); });
  cluster["s2"].heal();
  ASSERT_EQ(cluster.router.synchronise_all().size(), 1u);
  cluster.attach();
  cluster.router.control().begin_resize();
  expect_error(ErrorCode::kFailedPrecondition, {"resize"}, [&] { (void)cluster.router.collect_tombstones(); });
  cluster.router.control().begin_abort();
  cluster.router.control().finish();
  EXPECT_EQ(cluster.router.collect_tombstones(), 2u);
}

TEST_F(Router, StatesItsShardsSortedById) {
  cluster.fill(10);
  cluster.router.mark_down("s3");
  const auto states = cluster.router.shard_states();
  ASSERT_EQ(states.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(states[i].id, "s" + std::to_string(i));
  EXPECT_EQ(states[3].health, ShardHealth::kDown);
  EXPECT_EQ(states[0].health, ShardHealth::kUp);
}

TEST_F(Router, WaitsWithAnAnswerForAnOwnerThatIsSlow) {
  cluster.fill(10);
  const std::string key = cluster.key(0);
  FaultyShard& slow = cluster[owners(key)[1]];
  slow.block(Call::kUpsert);
  const Vector v = vector();
  WriteReport report;
  std::thread writer([&] { report = cluster.router.upsert(key, v); });
  slow.wait_until_blocked();
  slow.release();
  writer.join();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(*cluster.router.get(key), v);
}

TEST(RouterCodec, IsTrainedOnceAndSharedByAllShards) {
  for (const char* factory : {"IVF4,Flat", "IVF4,SQ8", "HNSW8,SQ8"}) {
    TestCluster cluster(3, router_options(2, spec_of(factory)));  // trains
    cluster.fill(100);
    cluster.expect_agreement(110);
    const auto codec = cluster.router.codec();
    ASSERT_NE(codec, nullptr);
    expect_error(ErrorCode::kFailedPrecondition, {"already"}, [&] { cluster.router.train(random_matrix(600, 4, 1)); });
    EXPECT_EQ(cluster.router.codec(), codec);
    const std::uint64_t before = cluster.shards[0]->count(Call::kAttachCodec);
    FaultyShard& late = cluster.attach();
    EXPECT_EQ(late.count(Call::kAttachCodec), 1u) << "a later shard gets it too";
    EXPECT_EQ(cluster.shards[0]->count(Call::kAttachCodec), before);
  }
}

TEST(RouterCodec, CanBeTrainedAgainAfterAShardDidNotTakeIt) {
  VectorRouter router(router_options(1, spec_of("IVF4,Flat")));
  std::vector<std::shared_ptr<FaultyShard>> shards;
  for (const char* id : {"a", "b"}) {
    shards.push_back(std::make_shared<FaultyShard>(std::make_shared<VectorShard>(id, router.options().index)));
    router.attach_node(shards.back());
  }
  shards[1]->fail({Call::kAttachCodec});
  expect_error(ErrorCode::kUnavailable, {"'b'"}, [&] { router.train(random_matrix(600, 4, 1)); });
  EXPECT_EQ(router.codec(), nullptr);
  shards[1]->heal();
  router.train(random_matrix(600, 4, 1));
  (void)router.upsert("k", Vector::Zero(4));
  EXPECT_TRUE(router.contains("k"));
}

}  // namespace
}  // namespace annulus::testing
