// A young cluster is flat; when it has keys enough it trains and converts, beside reads and writes.
#include <atomic>
#include <thread>

#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kD = 8;

RouterOptions young_options(const std::string& factory, std::size_t train_at, std::size_t replicas = 2) {
  RouterOptions options = router_options(replicas, spec_of(factory, kD));
  options.train_at = train_at;
  return options;
}

std::vector<std::shared_ptr<FaultyShard>> attach_shards(VectorRouter& router, std::size_t count) {
  std::vector<std::shared_ptr<FaultyShard>> shards;
  for (std::size_t i = 0; i < count; ++i) {
    shards.push_back(std::make_shared<FaultyShard>(std::make_shared<VectorShard>("s" + std::to_string(i), router.options().index)));
    router.attach_node(shards.back());
  }
  return shards;
}

void write(VectorRouter& router, const Matrix& rows, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    const std::string key = "key" + std::to_string(i);
    (void)router.upsert(key, rows.row(static_cast<Eigen::Index>(i)));
  }
}

/// The nearest key of each row is its own, however the shards search, if they look at every list.
void expect_every_key_found(const VectorRouter& router, const Matrix& rows, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const SearchResult result = router.search(rows.row(static_cast<Eigen::Index>(i)), 1, {.params = {.ef = 200, .nprobe = 64}});
    ASSERT_EQ(result[0].size(), 1U);
    EXPECT_EQ(result[0][0].key, "key" + std::to_string(i));
    EXPECT_EQ(result.coverage, 1.0);
  }
}

class AutomaticTrainingOfEach : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Factories, AutomaticTrainingOfEach, ::testing::Values("IVF4,Flat", "IVF4,SQ8", "HNSW8,SQ8", "IVF4_HNSW4,PQ8"),
                         [](const auto& factory) {
                           std::string name = factory.param;
                           std::replace(name.begin(), name.end(), ',', '_');
                           return name;
                         });

TEST_P(AutomaticTrainingOfEach, StartsWhenThereAreKeysEnoughAndConvertsEveryShard) {
  VectorRouter router(young_options(GetParam(), 600));
  const auto shards = attach_shards(router, 3);
  const Matrix rows = random_matrix(700, kD, 1);
  write(router, rows, 0, 590);
  EXPECT_EQ(router.training().stage, TrainingStage::kFlat);
  EXPECT_EQ(router.codec(), nullptr);
  EXPECT_TRUE(shards[0]->candidates_are_exact());
  EXPECT_TRUE(shards[0]->lossless()) << "a young shard keeps the floats";
  const SearchResult flat = router.search(rows.topRows(20), 5);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(flat[i][0].key, "key" + std::to_string(i));

  write(router, rows, 590, 700);
  router.wait_for_training();
  ASSERT_EQ(router.training().stage, TrainingStage::kTrained) << router.training().error;
  ASSERT_NE(router.codec(), nullptr);
  EXPECT_EQ(router.size(), 700U);
  for (const auto& shard : shards) EXPECT_EQ(shard->count(Call::kAttachCodec), 1U);
  expect_every_key_found(router, rows, 700);
  // what is written from now on is in codes too, and a later shard gets the codec when it joins
  write(router, rows, 0, 50);
  EXPECT_EQ(router.size(), 700U);
  const auto late = std::make_shared<FaultyShard>(std::make_shared<VectorShard>("late", router.options().index));
  router.attach_node(late);
  EXPECT_EQ(late->count(Call::kAttachCodec), 1U);
}

TEST(AutomaticTraining, GoesOnBesideWritesErasesAndSearches) {
  VectorRouter router(young_options("IVF8,Flat", 500));
  attach_shards(router, 3);
  const Matrix rows = random_matrix(3000, kD, 2);
  write(router, rows, 0, 100);
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::thread searching([&] {
    // keys 0 to 99 are there all the time
    for (std::size_t i = 0; !done; i = (i + 1) % 100) {
      const SearchResult result = router.search(rows.row(static_cast<Eigen::Index>(i)), 1, {.params = {.nprobe = 8}});
      if (result[0].empty() || result[0][0].key != "key" + std::to_string(i)) ++wrong;
    }
  });
  write(router, rows, 100, 3000);
  for (std::size_t i = 2000; i < 3000; i += 2) (void)router.erase("key" + std::to_string(i));
  router.wait_for_training();
  done = true;
  searching.join();
  EXPECT_EQ(wrong, 0);
  ASSERT_EQ(router.training().stage, TrainingStage::kTrained) << router.training().error;
  EXPECT_EQ(router.size(), 2500U);
  for (std::size_t i = 0; i < 3000; ++i) {
    const std::string key = "key" + std::to_string(i);
    const auto held = router.get(key);
    ASSERT_EQ(held.has_value(), i < 2000 || i % 2 == 1) << key;
    if (held) {
      EXPECT_EQ(*held, Vector(rows.row(static_cast<Eigen::Index>(i)))) << key;
    }
  }
}

TEST(AutomaticTraining, NeverStartsWhenItIsSwitchedOffAndTrainConvertsWhatIsThere) {
  VectorRouter router(young_options("IVF4,Flat", 0));
  attach_shards(router, 2);
  const Matrix rows = random_matrix(800, kD, 3);
  write(router, rows, 0, 800);
  router.wait_for_training();
  EXPECT_EQ(router.training().stage, TrainingStage::kFlat);
  router.train(rows.topRows(400));
  EXPECT_EQ(router.training().stage, TrainingStage::kTrained);
  expect_every_key_found(router, rows, 800);
}

TEST(AutomaticTraining, IsNoneForAnIndexWithoutACodec) {
  VectorRouter router(young_options("Flat", 10));
  attach_shards(router, 2);
  write(router, random_matrix(50, kD, 4), 0, 50);
  EXPECT_EQ(router.training().stage, TrainingStage::kNotNeeded);
}

TEST(AutomaticTraining, PassesOverAShardThatCannotBeReachedWhichIsConvertedWhenItIsBack) {
  VectorRouter router(young_options("IVF4,Flat", 300));
  const auto shards = attach_shards(router, 3);
  const Matrix rows = random_matrix(400, kD, 5);
  write(router, rows, 0, 200);
  shards[1]->fail({Call::kAttachCodec});
  write(router, rows, 200, 400);
  router.wait_for_training();
  ASSERT_EQ(router.training().stage, TrainingStage::kTrained) << router.training().error;
  EXPECT_TRUE(shards[1]->candidates_are_exact()) << "flat still";
  expect_every_key_found(router, rows, 400);
  shards[1]->heal();
  router.mark_down("s1");
  EXPECT_TRUE(router.bring_up("s1").up);
  EXPECT_EQ(shards[1]->count(Call::kAttachCodec), 2U);
  expect_every_key_found(router, rows, 400);
}

TEST(AutomaticTraining, ThatFailsSaysWhyAndTheClusterStaysFlat) {
  VectorRouter router(young_options("IVF4,Flat", 300));
  const auto shards = attach_shards(router, 2);
  const Matrix rows = random_matrix(1000, kD, 6);
  for (const auto& shard : shards) shard->fail({Call::kScan});
  write(router, rows, 0, 400);
  router.wait_for_training();
  EXPECT_EQ(router.training().stage, TrainingStage::kFlat);
  EXPECT_NE(router.training().error, "");
  expect_every_key_found(router, rows, 400);
  for (const auto& shard : shards) shard->heal();
  write(router, rows, 400, 1000);
  router.wait_for_training();
  EXPECT_EQ(router.training().stage, TrainingStage::kTrained) << "tried again with twice the keys";
  expect_every_key_found(router, rows, 1000);
}

}  // namespace
}  // namespace annulus::testing
