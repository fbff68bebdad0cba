// Each public call of the router refuses bad input with a clear error, and the router works afterwards.
#include <gtest/gtest.h>

#include <limits>

#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class RouterBadInput : public ::testing::TestWithParam<Metric> {
 protected:
  RouterBadInput() : cluster(3, router_options(2, spec_of("Flat", 3, GetParam()))) { cluster.fill(10); }
  ~RouterBadInput() override {
    EXPECT_EQ(cluster.router.size(), 10u) << "nothing was written";
    cluster.put(10);
    cluster.expect_agreement(12);
  }
  VectorRouter& router() { return cluster.router; }
  static Vector good() { return Vector::Constant(3, 1.0f); }

  TestCluster cluster;
};

INSTANTIATE_TEST_SUITE_P(Metrics, RouterBadInput, ::testing::Values(Metric::kL2, Metric::kInnerProduct, Metric::kCosine),
                         [](const auto& instance) { return std::string(to_string(instance.param)); });

TEST_P(RouterBadInput, Upsert) {
  expect_error(ErrorCode::kInvalidArgument, {"2", "3"}, [&] { (void)router().upsert("k", Vector::Constant(2, 1.0f)); });
  expect_error(ErrorCode::kInvalidArgument, {"0", "3"}, [&] { (void)router().upsert("k", Vector()); });
  const std::vector<KeyView> keys = {"a", "b", "c"};
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    Matrix vectors = random_matrix(3, 3, 1);
    vectors(1, 2) = bad;
    expect_error(ErrorCode::kInvalidArgument, {"1", "upsert"}, [&] { (void)router().upsert(keys, vectors); });
  }
  if (GetParam() == Metric::kCosine) {
    Matrix vectors = random_matrix(3, 3, 1);
    vectors.row(2).setZero();
    expect_error(ErrorCode::kInvalidArgument, {"2", "zero"}, [&] { (void)router().upsert(keys, vectors); });
  }
  expect_error(ErrorCode::kInvalidArgument, {"3 keys", "2 vectors"}, [&] { (void)router().upsert(keys, random_matrix(2, 3, 1)); });
  expect_error(ErrorCode::kInvalidArgument, {"row 0", "empty"}, [&] { (void)router().upsert("", good()); });
  const std::string longest(kMaxKeyBytes + 1, 'x');
  const std::vector<KeyView> too_long = {"a", longest};
  expect_error(ErrorCode::kInvalidArgument, {"row 1", "1025", "1024"}, [&] { (void)router().upsert(too_long, random_matrix(2, 3, 1)); });
  const std::string full(kMaxKeyBytes, 'x');
  (void)router().upsert(full, good());
  (void)router().erase(full);
}

TEST_P(RouterBadInput, Erase) {
  expect_error(ErrorCode::kInvalidArgument, {"empty"}, [&] { (void)router().erase(""); });
  const std::vector<KeyView> keys = {cluster.oracle.live().begin()->first, ""};
  expect_error(ErrorCode::kInvalidArgument, {"row 1", "empty"}, [&] { (void)router().erase(keys); });
}

TEST_P(RouterBadInput, GetAndContains) {
  const std::string longest(5000, 'x');
  expect_error(ErrorCode::kInvalidArgument, {"empty"}, [&] { (void)router().get(""); });
  expect_error(ErrorCode::kInvalidArgument, {"5000"}, [&] { (void)router().get(longest); });
  expect_error(ErrorCode::kInvalidArgument, {"empty"}, [&] { (void)router().contains(""); });
  Matrix vectors;
  std::vector<bool> found;
  const std::vector<KeyView> keys = {"a", "b", ""};
  expect_error(ErrorCode::kInvalidArgument, {"row 2", "empty"}, [&] { (void)router().get(keys, vectors, found); });
}

TEST_P(RouterBadInput, Search) {
  expect_error(ErrorCode::kInvalidArgument, {"k is 0"}, [&] { (void)router().search(good(), 0); });
  expect_error(ErrorCode::kInvalidArgument, {"4", "3"}, [&] { (void)router().search(Vector::Constant(4, 1.0f), 1); });
  for (const float bad : {kNan, kInfinity}) {
    Matrix queries = random_matrix(3, 3, 1);
    queries(2, 0) = bad;
    expect_error(ErrorCode::kInvalidArgument, {"2", "quer"}, [&] { (void)router().search(queries, 1); });
  }
  if (GetParam() == Metric::kCosine) {
    expect_error(ErrorCode::kInvalidArgument, {"zero"}, [&] { (void)router().search(Vector::Zero(3), 1); });
  }
  for (const int bad : {0, -5}) {
    expect_error(ErrorCode::kInvalidArgument, {"ef", "nprobe"}, [&] { (void)router().search(good(), 1, {.params = {.ef = bad, .nprobe = {}}}); });
    expect_error(ErrorCode::kInvalidArgument, {"ef", "nprobe"}, [&] { (void)router().search(good(), 1, {.params = {.ef = {}, .nprobe = bad}}); });
  }
  const KeyFilter empty;
  SearchOptions options;
  options.filter = &empty;
  expect_error(ErrorCode::kInvalidArgument, {"filter"}, [&] { (void)router().search(good(), 1, options); });
  EXPECT_EQ(hits_of(router().search(good(), 1000)).size(), 10u);
}

TEST_P(RouterBadInput, AttachNode) {
  const IndexSpec spec = spec_of("Flat", 3, GetParam());
  expect_error(ErrorCode::kInvalidArgument, {"null"}, [&] { router().attach_node(nullptr); });
  expect_error(ErrorCode::kAlreadyExists, {"'s1'"}, [&] { router().attach_node(std::make_shared<VectorShard>("s1", spec)); });
  expect_error(ErrorCode::kAlreadyExists, {"'s1'"}, [&] { router().attach_node(cluster.shards[1]); });
  const auto refuse = [&](const IndexSpec& other, KeyKind kind, const std::vector<std::string>& parts) {
    expect_error(ErrorCode::kInvalidArgument, parts, [&] { router().attach_node(std::make_shared<VectorShard>("n", other, kind)); });
  };
  refuse(spec_of("Flat", 4, GetParam()), KeyKind::kBytes, {"'n'", "4 x", "3 x"});
  refuse(spec_of("HNSW8", 3, GetParam()), KeyKind::kBytes, {"HNSW8", "Flat"});
  refuse(spec_of("Flat", 3, GetParam() == Metric::kL2 ? Metric::kCosine : Metric::kL2), KeyKind::kBytes, {"l2"});
  refuse(spec, KeyKind::kId, {"'n'", "of ids", "of byte keys"});
  const auto full = std::make_shared<VectorShard>("full", spec);
  const RecordView record{.key = "k", .version = {1, 0}, .deleted = true};
  WriteOutcome outcome;
  full->upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
  expect_error(ErrorCode::kFailedPrecondition, {"'full'", "1 records"}, [&] { router().attach_node(full); });
  for (const double weight : {0.0, -1.0, 1e300, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    expect_error(ErrorCode::kInvalidArgument, {"weight"}, [&] { router().attach_node(std::make_shared<VectorShard>("n", spec), weight); });
  }
  expect_error(ErrorCode::kInvalidArgument, {"zone"},
               [&] { router().attach_node(std::make_shared<VectorShard>("n", spec), 1, std::string(kMaxZoneBytes + 1, 'z')); });
  EXPECT_EQ(router().ring().num_nodes(), 3u);
}

TEST_P(RouterBadInput, OtherMembership) {
  expect_error(ErrorCode::kNotFound, {"nobody"}, [&] { router().detach_node("nobody"); });
  expect_error(ErrorCode::kNotFound, {"nobody"}, [&] { router().set_weight("nobody", 1); });
  for (const double weight : {0.0, -2.0, 1e300, std::numeric_limits<double>::quiet_NaN()}) {
    expect_error(ErrorCode::kInvalidArgument, {"weight"}, [&] { router().set_weight("s0", weight); });
  }
  expect_error(ErrorCode::kInvalidArgument, {"0 replicas"}, [&] { router().set_replicas(0); });
  expect_error(ErrorCode::kNotFound, {"nobody"}, [&] { (void)router().health("nobody"); });
  expect_error(ErrorCode::kNotFound, {"nobody"}, [&] { router().mark_down("nobody"); });
  expect_error(ErrorCode::kNotFound, {"nobody"}, [&] { (void)router().bring_up("nobody"); });
  expect_error(ErrorCode::kNotFound, {"nobody"}, [&] { (void)synchronise(router().control(), "nobody"); });
  expect_error(ErrorCode::kFailedPrecondition, {}, [&] { router().train(random_matrix(600, 3, 1)); });
}

TEST(RouterOptions, AreCheckedByTheConstructor) {
  expect_error(ErrorCode::kInvalidArgument, {"0 replicas"}, [] { VectorRouter router(router_options(0)); });
  expect_error(ErrorCode::kInvalidArgument, {"dimension"}, [] { VectorRouter router(router_options(1, spec_of("Flat", 0))); });
  expect_error(ErrorCode::kUnimplemented, {"NSG"}, [] { VectorRouter router(router_options(1, spec_of("NSG16"))); });
  RouterOptions probes = router_options(1);
  probes.ring.probes = 4;
  expect_error(ErrorCode::kUnimplemented, {"probes"}, [&] { VectorRouter router(probes); });
  RouterOptions tokens = router_options(1);
  tokens.ring.virtual_nodes_per_weight = 0;
  expect_error(ErrorCode::kInvalidArgument, {"virtual"}, [&] { VectorRouter router(tokens); });
}

TEST(RouterOptions, MayAskForMoreReplicasThanThereWillEverBe) {
  TestCluster cluster(2, router_options(static_cast<std::size_t>(-1)));
  cluster.fill(20);
  cluster.expect_agreement(25);
  EXPECT_EQ(cluster.shards[0]->inner().stats().live, 20u);
  EXPECT_EQ(cluster.shards[1]->inner().stats().live, 20u);
}

TEST(RouterIds, AreEightBytes) {
  TestCluster cluster(2, router_options(1, spec_of("Flat"), KeyKind::kId));
  cluster.fill(5);
  expect_error(ErrorCode::kInvalidArgument, {"8"}, [&] { (void)cluster.router.upsert("seven..", Vector::Zero(4)); });
  expect_error(ErrorCode::kInvalidArgument, {"8"}, [&] { (void)cluster.router.get("a longer key"); });
  cluster.expect_agreement(7);
}

TEST(RouterCodec, IsTrainedOnGoodSamplesAlone) {
  VectorRouter router(router_options(1, spec_of("IVF4,Flat")));
  router.attach_node(std::make_shared<VectorShard>("s", router.options().index));
  expect_error(ErrorCode::kInvalidArgument, {"3", "4"}, [&] { router.train(random_matrix(600, 3, 1)); });
  expect_error(ErrorCode::kInvalidArgument, {"2"}, [&] { router.train(random_matrix(2, 4, 1)); });
  Matrix broken = random_matrix(600, 4, 1);
  broken(17, 0) = kNan;
  expect_error(ErrorCode::kInvalidArgument, {"17"}, [&] { router.train(broken); });
  EXPECT_EQ(router.codec(), nullptr);
  (void)router.upsert("k", Vector::Zero(4));
  router.train(random_matrix(600, 4, 1));
  EXPECT_TRUE(router.contains("k"));
}

}  // namespace
}  // namespace annulus::testing
