#include "ring/resize_stages.h"

#include <gtest/gtest.h>

#include "tests/core/expect_error.h"

namespace annulus {
namespace {

ResizeStages three_nodes() {
  ResizeStages stages({}, 2);
  for (const char* id : {"a", "b", "c"}) stages.add_node({.id = id});
  stages.settle();
  return stages;
}

TEST(ResizeStages, ADeclarationHoldsOnlyWhenItIsSettled) {
  ResizeStages stages = three_nodes();
  stages.add_node({.id = "d"});
  EXPECT_FALSE(stages.holds("d"));
  EXPECT_TRUE(stages.names("d"));
  EXPECT_EQ(stages.placement().serving->ring.num_nodes(), 3u);
  stages.settle();
  EXPECT_TRUE(stages.holds("d"));
  EXPECT_EQ(stages.placement().serving, stages.placement().target);
}

TEST(ResizeStages, AResizeServesTheOldLayoutUntilTheTargetIsPublished) {
  ResizeStages stages = three_nodes();
  const auto old = stages.placement().serving;
  stages.remove_node("a");
  stages.set_replicas(1);
  ASSERT_TRUE(stages.begin());
  const auto target = stages.placement().target;
  EXPECT_EQ(stages.stage(), ResizeStage::kCopying);
  EXPECT_EQ(stages.placement().serving, old);
  EXPECT_EQ(target->replicas, 1u);
  stages.publish_target();
  EXPECT_EQ(stages.stage(), ResizeStage::kRetiring);
  EXPECT_EQ(stages.placement().serving, target);
  EXPECT_EQ(stages.placement().retiring, old);
  EXPECT_TRUE(stages.holds("a"));
  stages.finish();
  EXPECT_EQ(stages.stage(), ResizeStage::kNone);
  EXPECT_FALSE(stages.names("a"));
}

TEST(ResizeStages, AnAbortDeclaresTheServingLayoutAgain) {
  ResizeStages stages = three_nodes();
  const auto old = stages.placement().serving;
  stages.add_node({.id = "d"});
  stages.set_replicas(3);
  ASSERT_TRUE(stages.begin());
  const auto target = stages.placement().target;
  stages.begin_abort();
  EXPECT_EQ(stages.stage(), ResizeStage::kAborting);
  EXPECT_EQ(stages.placement().serving, old);
  EXPECT_EQ(stages.placement().target, old);
  EXPECT_EQ(stages.placement().retiring, target);
  EXPECT_EQ(stages.declared_ring().fingerprint(), old->ring.fingerprint());
  EXPECT_EQ(stages.declared_replicas(), 2u);
  stages.finish();
  EXPECT_FALSE(stages.names("d"));
}

TEST(ResizeStages, NothingBeginsIfWhatIsDeclaredServes) {
  ResizeStages stages = three_nodes();
  EXPECT_FALSE(stages.begin());
  stages.set_weight("a", 2.0);
  stages.set_weight("a", 1.0);
  EXPECT_FALSE(stages.begin());
  EXPECT_EQ(stages.stage(), ResizeStage::kNone);
}

TEST(ResizeStages, AStaleDeclarationIsNotBegun) {
  ResizeStages stages = three_nodes();
  stages.add_node({.id = "d"});
  const ConsistentHasher planned = stages.declared_ring();
  stages.add_node({.id = "e"});
  testing::expect_error(ErrorCode::kFailedPrecondition, {"plan again"}, [&] { stages.begin(planned, 2); });
  stages.remove_node("e");
  testing::expect_error(ErrorCode::kFailedPrecondition, {"plan again"}, [&] { stages.begin(planned, 3); });
  EXPECT_TRUE(stages.begin(planned, 2));
}

TEST(ResizeStages, StepsOutOfTheirStageAreRefusedAndChangeNothing) {
  ResizeStages stages = three_nodes();
  const auto refused = [&](auto step, const char* in_message) {
    const ResizeStage before = stages.stage();
    const auto serving = stages.placement().serving;
    testing::expect_error(ErrorCode::kFailedPrecondition, {in_message}, [&] { step(); });
    EXPECT_EQ(stages.stage(), before);
    EXPECT_EQ(stages.placement().serving, serving);
  };
  refused([&] { stages.publish_target(); }, "'none'");
  refused([&] { stages.begin_abort(); }, "'none'");
  refused([&] { stages.finish(); }, "'none'");
  stages.remove_node("c");
  ASSERT_TRUE(stages.begin());
  refused([&] { stages.begin(); }, "'copying'");
  refused([&] { stages.finish(); }, "'copying'");
  refused([&] { stages.add_node({.id = "x"}); }, "attach_node");
  refused([&] { stages.remove_node("a"); }, "detach_node");
  refused([&] { stages.set_weight("a", 2); }, "set_weight");
  refused([&] { stages.set_replicas(1); }, "set_replicas");
  stages.publish_target();
  refused([&] { stages.publish_target(); }, "'retiring'");
  refused([&] { stages.begin_abort(); }, "'retiring'");
  testing::expect_error(ErrorCode::kInvalidArgument, {"0 replicas"}, [&] { three_nodes().set_replicas(0); });
}

}  // namespace
}  // namespace annulus
