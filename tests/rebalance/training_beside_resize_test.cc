// A young cluster trains and converts in the middle of a resize: some rows have moved as vectors, others move as codes.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/rebalance/resize_support.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kD = 8;
constexpr std::size_t kBefore = 1400;  // keys, too few to train
constexpr std::size_t kAfter = 2200;

class TrainingBesideResize : public ::testing::TestWithParam<const char*> {
 protected:
  static RouterOptions options() {
    IndexSpec spec = spec_of("IVF8,Flat", kD);
    spec.nprobe = 8;
    RouterOptions options = router_options(2, spec);
    options.train_at = 1500;
    return options;
  }

  TrainingBesideResize() : router_(options()), rows_(random_matrix(kAfter, kD, 3)) {
    for (const char* id : {"a", "b", "c"}) attach(id);
    write(0, kBefore);
  }

  void attach(const std::string& id) { router_.attach_node(std::make_shared<VectorShard>(id, router_.options().index)); }

  void write(std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      (void)router_.upsert("key" + std::to_string(i), rows_.row(static_cast<Eigen::Index>(i)));
    }
  }

  VectorRouter router_;
  Matrix rows_;
};

INSTANTIATE_TEST_SUITE_P(Stages, TrainingBesideResize, ::testing::Values("counting", "copying", "dropping"),
                         [](const auto& stage) { return std::string(stage.param); });

TEST_P(TrainingBesideResize, LosesNothingAndConvertsEveryShard) {
  const std::string_view stage = GetParam();
  attach("d");
  VectorRebalancer rebalancer(router_, {.max_bytes_per_second = 0, .page_records = 32, .chunk_arcs = 8});
  std::atomic<bool> reached{false};
  rebalancer.set_progress([&](const MoveProgress& progress) {
    if (progress.stage != stage || (stage == "copying" && progress.done == 0)) return;
    if (!reached.exchange(true)) rebalancer.pause();
  });
  std::atomic<bool> over{false};
  bool in_the_middle = false;
  std::thread meanwhile([&] {
    while (!reached && !over) std::this_thread::yield();
    write(kBefore, kAfter);  // which makes it train
    for (std::size_t i = 0; i < 200; ++i) rows_.row(static_cast<Eigen::Index>(i)) *= -1;
    write(0, 200);
    for (std::size_t i = 200; i < 300; ++i) (void)router_.erase("key" + std::to_string(i));
    router_.wait_for_training();
    in_the_middle = router_.training().stage == TrainingStage::kTrained && router_.control().stage() != ResizeStage::kNone;
    rebalancer.resume();
  });
  const ResizeReport report = rebalancer.execute();
  over = true;
  meanwhile.join();
  EXPECT_TRUE(in_the_middle) << router_.training().error;
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.lost, 0U);
  const VerifyReport verified = verify_cluster(router_);
  EXPECT_TRUE(verified.ok()) << describe(verified);
  EXPECT_EQ(router_.size(), kAfter - 100);
  for (std::size_t i = 0; i < kAfter; ++i) {
    const std::string key = "key" + std::to_string(i);
    const Vector row = rows_.row(static_cast<Eigen::Index>(i));
    const auto held = router_.get(key);
    ASSERT_EQ(held.has_value(), i < 200 || i >= 300) << key;
    if (!held) continue;
    ASSERT_EQ(*held, row) << key;
    const SearchResult found = router_.search(row, 1);
    ASSERT_EQ(found[0].size(), 1U);
    ASSERT_EQ(found[0][0].key, key);
  }
}

}  // namespace
}  // namespace annulus::testing
