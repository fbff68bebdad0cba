#include "shard/cluster_control.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "shard/fan_out.h"
#include "core/thread_budget.h"
#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

std::shared_ptr<Shard> shard(const std::string& id) { return std::make_shared<VectorShard>(id, spec_of("Flat")); }

class Control : public ::testing::Test {
 protected:
  void found(int shards) {
    for (int i = 0; i < shards; ++i) control.attach(shard("s" + std::to_string(i)), 1, "");
    control.start_running();
  }
  std::vector<std::string> serving() const {
    std::vector<std::string> ids;
    for (const Node& node : control.pin()->placement().serving->ring.nodes()) ids.push_back(node.id);
    return ids;
  }
  std::vector<std::string> members() const {
    std::vector<std::string> ids;
    for (const auto& member : control.shards()) ids.push_back(member->id());
    return ids;
  }
  void expect_wrong_stage(const std::string& stage, const std::function<void()>& call) {
    const std::uint64_t epoch = control.pin()->epoch();
    expect_error(ErrorCode::kFailedPrecondition, {"'" + stage + "'"}, call);
    EXPECT_EQ(control.pin()->epoch(), epoch) << "nothing was published";
  }

  ClusterControl control{{.virtual_nodes_per_weight = 8}, 2, IndexFamily::kFlat};
};

using Ids = std::vector<std::string>;

TEST_F(Control, LetsDeclarationsHoldAtOnceBeforeTheFirstWrite) {
  control.attach(shard("a"), 1, "");
  control.attach(shard("b"), 2, "zone");
  control.set_weight("a", 3);
  control.set_replicas(1);
  EXPECT_EQ(serving(), (Ids{"a", "b"}));
  EXPECT_EQ(control.pin()->placement().serving->replicas, 1u);
  EXPECT_EQ(control.pin()->placement().serving->ring.nodes()[0].weight, 3);
  control.detach("a");
  EXPECT_EQ(serving(), (Ids{"b"}));
  EXPECT_EQ(members(), (Ids{"b"}));
  EXPECT_FALSE(control.begin_resize()) << "nothing is left to do";
}

TEST_F(Control, OnlyDeclaresAfterTheFirstWrite) {
  found(2);
  control.attach(shard("s9"), 1, "");
  EXPECT_EQ(serving(), (Ids{"s0", "s1"}));
  EXPECT_EQ(control.declared_ring().num_nodes(), 3u);
  EXPECT_EQ(members(), (Ids{"s0", "s1", "s9"}));
  EXPECT_FALSE(control.pin()->find("s9")) << "it waits for its resize";
  control.detach("s9");  // it never served: gone at once
  EXPECT_EQ(members(), (Ids{"s0", "s1"}));
  control.detach("s0");  // it serves until the resize
  EXPECT_EQ(members(), (Ids{"s0", "s1"}));
  expect_error(ErrorCode::kAlreadyExists, {"'s0'", "until the resize"}, [&] { control.attach(shard("s0"), 1, ""); });
}

TEST_F(Control, TakesShardsAtOnceWhenAWriteFoundNone) {
  control.start_running();  // a write came too early, and failed: there was nobody to take it
  control.attach(shard("a"), 1, "");
  EXPECT_EQ(serving(), (Ids{"a"}));
  control.attach(shard("b"), 1, "");
  EXPECT_EQ(serving(), (Ids{"a"})) << "now somebody may hold something";
}

TEST_F(Control, RefusesBadDeclarations) {
  found(2);
  expect_error(ErrorCode::kInvalidArgument, {"null"}, [&] { control.attach(nullptr, 1, ""); });
  expect_error(ErrorCode::kAlreadyExists, {"'s0'"}, [&] { control.attach(shard("s0"), 1, ""); });
  for (const double weight : {0.0, -1.0, 1e300, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW(control.attach(shard("s5"), weight, ""), Error) << weight;
    EXPECT_THROW(control.set_weight("s0", weight), Error) << weight;
  }
  expect_error(ErrorCode::kNotFound, {"nobody"}, [&] { control.detach("nobody"); });
  expect_error(ErrorCode::kNotFound, {"nobody"}, [&] { control.set_weight("nobody", 1); });
  expect_error(ErrorCode::kInvalidArgument, {"0 replicas"}, [&] { control.set_replicas(0); });
  expect_error(ErrorCode::kNotFound, {"nobody"}, [&] { (void)control.health("nobody"); });
  expect_error(ErrorCode::kNotFound, {"nobody"}, [&] { control.mark_down("nobody"); });
  expect_error(ErrorCode::kNotFound, {"nobody"}, [&] { control.mark_returned("nobody"); });
  expect_error(ErrorCode::kNotFound, {"nobody"}, [&] { (void)control.mark_up("nobody", *control.pin()); });
  EXPECT_EQ(members(), (Ids{"s0", "s1"}));
  EXPECT_EQ(control.declared_ring().num_nodes(), 2u);
  control.attach(shard("s5"), 1, "");
  EXPECT_EQ(members().size(), 3u);
}

TEST_F(Control, GoesThroughTheStagesOfAResize) {
  found(2);
  control.attach(shard("s2"), 1, "");
  control.detach("s0");
  EXPECT_TRUE(control.begin_resize());
  EXPECT_EQ(control.stage(), ResizeStage::kCopying);
  EXPECT_EQ(serving(), (Ids{"s0", "s1"}));
  EXPECT_EQ(control.pin()->placement().target->ring.num_nodes(), 2u);
  EXPECT_EQ(control.pin()->members().size(), 3u);
  ClusterSnapshot::Owners owners;
  control.pin()->owners_of(1, owners);
  EXPECT_EQ(owners.required.size(), 3u) << "writes go to the union";
  EXPECT_TRUE(owners.former.empty());

  const Ids gaining = {"s2"};
  EXPECT_TRUE(control.publish_target(gaining));
  EXPECT_EQ(control.stage(), ResizeStage::kRetiring);
  EXPECT_EQ(serving(), (Ids{"s1", "s2"}));
  control.pin()->owners_of(1, owners);
  EXPECT_EQ(owners.required.size(), 2u);
  EXPECT_EQ(owners.former, (std::vector<MemberIndex>{0})) << "the old owner follows what it still holds";

  control.finish();
  EXPECT_EQ(control.stage(), ResizeStage::kNone);
  EXPECT_EQ(members(), (Ids{"s1", "s2"}));
  EXPECT_EQ(control.pin()->retiring().layout, nullptr);
}

TEST_F(Control, TakesAResizeBack) {
  found(2);
  control.attach(shard("s2"), 1, "");
  control.set_replicas(1);
  control.begin_resize();
  control.begin_abort();
  EXPECT_EQ(control.stage(), ResizeStage::kAborting);
  EXPECT_EQ(serving(), (Ids{"s0", "s1"}));
  EXPECT_EQ(control.declared_ring().num_nodes(), 2u) << "what serves is declared again";
  EXPECT_EQ(control.declared_replicas(), 2u);
  ClusterSnapshot::Owners owners;
  bool follows = false;
  for (const Token token : control.pin()->placement().retiring->ring.tokens()) {
    control.pin()->owners_of(token, owners);
    EXPECT_EQ(owners.required.size(), 2u);
    follows |= !owners.former.empty();
  }
  EXPECT_TRUE(follows) << "the target's owners follow what they hold";
  control.finish();
  EXPECT_EQ(members(), (Ids{"s0", "s1"}));
  EXPECT_FALSE(control.begin_resize());
}

TEST_F(Control, RefusesStepsOfAnotherStage) {
  found(2);
  const Ids nobody;
  expect_wrong_stage("none", [&] { control.publish_target(nobody); });
  expect_wrong_stage("none", [&] { control.begin_abort(); });
  expect_wrong_stage("none", [&] { control.finish(); });
  control.attach(shard("s2"), 1, "");
  control.begin_resize();
  const auto declarations = [&](const std::string& stage) {
    expect_wrong_stage(stage, [&] { control.attach(shard("s3"), 1, ""); });
    expect_wrong_stage(stage, [&] { control.detach("s0"); });
    expect_wrong_stage(stage, [&] { control.set_weight("s0", 2); });
    expect_wrong_stage(stage, [&] { control.set_replicas(1); });
  };
  declarations("copying");
  expect_wrong_stage("copying", [&] { control.begin_resize(); });
  expect_wrong_stage("copying", [&] { control.finish(); });
  EXPECT_TRUE(control.publish_target(nobody));
  declarations("retiring");
  expect_wrong_stage("retiring", [&] { control.begin_resize(); });
  expect_wrong_stage("retiring", [&] { control.publish_target(nobody); });
  expect_wrong_stage("retiring", [&] { control.begin_abort(); });
  control.finish();
  control.set_replicas(1);
  control.begin_resize();
  control.begin_abort();
  declarations("aborting");
  expect_wrong_stage("aborting", [&] { control.begin_abort(); });
  control.finish();
}

TEST_F(Control, PublishesTheTargetOnlyWhenAllWhoGainAreUp) {
  found(2);
  control.attach(shard("s2"), 1, "");
  control.begin_resize();
  const Ids gaining = {"s2"};
  control.mark_down("s2");
  EXPECT_FALSE(control.publish_target(gaining));
  EXPECT_EQ(control.stage(), ResizeStage::kCopying);
  control.mark_returned("s2");
  EXPECT_FALSE(control.publish_target(gaining)) << "it is behind";
  EXPECT_TRUE(control.mark_up("s2", *control.pin()));
  EXPECT_TRUE(control.publish_target(gaining));
}

TEST_F(Control, KeepsAMissedWriteFromBeingForgottenBySynchronisation) {
  found(3);
  const Ids missed = {"s1", "nobody"};
  control.mark_missed(missed);
  EXPECT_EQ(control.health("s1"), ShardHealth::kBehind);
  {
    const SnapshotPtr seen = control.pin();
    control.mark_missed(missed);  // again, while it was being synchronised
    EXPECT_FALSE(control.mark_up("s1", *seen));
    EXPECT_EQ(control.health("s1"), ShardHealth::kBehind);
  }
  EXPECT_TRUE(control.mark_up("s1", *control.pin()));
  EXPECT_EQ(control.health("s1"), ShardHealth::kUp);
  EXPECT_FALSE(control.mark_up("s1", *control.pin())) << "it is up already";
}

TEST_F(Control, DoesNotBringUpAShardThatWasSynchronisedForOtherLayouts) {
  found(2);
  const Ids missed = {"s1"};
  control.mark_missed(missed);
  SnapshotPtr seen = control.pin();
  control.attach(shard("s2"), 1, "");
  std::thread resize([&] { control.begin_resize(); });
  while (control.pin()->placement().serving == control.pin()->placement().target) std::this_thread::yield();
  EXPECT_FALSE(control.mark_up("s1", *seen));
  seen.reset();
  resize.join();
  EXPECT_TRUE(control.mark_up("s1", *control.pin()));
}

TEST_F(Control, DoesNotBringUpAShardThatWasDownSinceItWasSynchronised) {
  found(2);
  const Ids missed = {"s1"};
  control.mark_missed(missed);
  SnapshotPtr seen = control.pin();  // of the synchronisation
  control.mark_down("s1");           // writes pass it over
  std::thread returning([&] { control.mark_returned("s1"); });
  while (control.health("s1") != ShardHealth::kBehind) std::this_thread::yield();
  EXPECT_FALSE(control.mark_up("s1", *seen));
  seen.reset();
  returning.join();
  EXPECT_TRUE(control.mark_up("s1", *control.pin()));
}

TEST_F(Control, LeavesAShardDownWhateverItMisses) {
  found(2);
  control.mark_down("s0");
  const Ids missed = {"s0"};
  control.mark_missed(missed);
  EXPECT_EQ(control.health("s0"), ShardHealth::kDown);
  EXPECT_FALSE(control.mark_up("s0", *control.pin()));
  control.mark_returned("s0");
  EXPECT_EQ(control.health("s0"), ShardHealth::kBehind);
  control.mark_returned("s0");  // it is back already
  EXPECT_EQ(control.health("s0"), ShardHealth::kBehind);
}

TEST_F(Control, RemembersTheHealthOfAShardThatWaitsForItsResize) {
  found(2);
  control.attach(shard("s2"), 1, "");
  control.mark_down("s2");
  EXPECT_EQ(control.health("s2"), ShardHealth::kDown);
  control.begin_resize();
  const SnapshotPtr now = control.pin();
  EXPECT_EQ(now->members()[*now->find("s2")].health, ShardHealth::kDown);
}

// Each call that drains must not return while an older snapshot is held.
TEST_F(Control, DrainsOperationsThatHoldAnOlderSnapshot) {
  found(2);
  const auto expect_waits = [&](const char* what, const std::function<void()>& call) {
    SnapshotPtr held = control.pin();
    const std::uint64_t epoch = held->epoch();
    std::atomic<bool> returned{false};
    std::thread caller([&] {
      call();
      returned.store(true);
    });
    while (control.pin()->epoch() == epoch) std::this_thread::yield();  // it has published
    for (int i = 0; i < 1000; ++i) {
      std::this_thread::yield();
      ASSERT_FALSE(returned.load()) << what;
    }
    held.reset();
    caller.join();
  };
  const Ids nobody;
  expect_waits("drain", [&] { control.drain(); });
  control.attach(shard("s2"), 1, "");
  expect_waits("begin_resize", [&] { control.begin_resize(); });
  expect_waits("publish_target", [&] { control.publish_target(nobody); });
  expect_waits("finish", [&] { control.finish(); });
  control.detach("s2");
  control.begin_resize();
  expect_waits("begin_abort", [&] { control.begin_abort(); });
  control.finish();
  control.mark_down("s0");
  expect_waits("mark_returned", [&] { control.mark_returned("s0"); });
}

TEST_F(Control, DoesNotWaitForNewerSnapshots) {
  found(2);
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop.load()) (void)control.pin()->epoch();
  });
  for (int i = 0; i < 200; ++i) control.drain();
  const SnapshotPtr held = control.pin();
  control.mark_down("s0");  // does not drain
  stop.store(true);
  reader.join();
  EXPECT_EQ(held->members()[0].health, ShardHealth::kUp) << "a snapshot stays as it is";
}

TEST_F(Control, KeepsStagesFromChangingWhileLayoutsAreFrozen) {
  found(2);
  control.attach(shard("s2"), 1, "");
  std::atomic<bool> begun{false};
  std::thread resize;
  control.with_layouts_frozen([&](const ClusterSnapshot& now) {
    resize = std::thread([&] {
      control.begin_resize();
      begun.store(true);
    });
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    EXPECT_EQ(now.placement().serving, control.pin()->placement().target);
    EXPECT_FALSE(begun.load());
  });
  resize.join();
  EXPECT_EQ(control.stage(), ResizeStage::kCopying);
}

TEST(Names, SayStageAndHealth) {
  EXPECT_EQ(to_string(ResizeStage::kNone), "none");
  EXPECT_EQ(to_string(ResizeStage::kCopying), "copying");
  EXPECT_EQ(to_string(ResizeStage::kRetiring), "retiring");
  EXPECT_EQ(to_string(ResizeStage::kAborting), "aborting");
  EXPECT_EQ(to_string(ShardHealth::kUp), "up");
  EXPECT_EQ(to_string(ShardHealth::kDown), "down");
  EXPECT_EQ(to_string(ShardHealth::kBehind), "behind");
}

TEST(FanOut, RunsEveryTaskWhateverSomeThrow) {
  for (const std::size_t threads : {std::size_t{1}, std::size_t{4}}) {
    set_thread_budget(4);
    std::vector<std::atomic<int>> runs(50);
    const auto failures = fan_out(runs.size(), threads, [&](std::size_t i) {
      ++runs[i];
      if (i % 7 == 0) throw Error(ErrorCode::kNotFound, "task " + std::to_string(i));
      if (i == 11) throw std::runtime_error("plain");
    });
    ASSERT_EQ(failures.size(), 50u);
    for (std::size_t i = 0; i < runs.size(); ++i) {
      EXPECT_EQ(runs[i].load(), 1);
      EXPECT_EQ(failures[i] != nullptr, i % 7 == 0 || i == 11);
    }
    const ShardError error = describe_failure("s", failures[7]);
    EXPECT_EQ(error.shard, "s");
    EXPECT_EQ(error.code, ErrorCode::kNotFound);
    EXPECT_EQ(error.message, "task 7");
    EXPECT_EQ(describe_failure("s", failures[11]).code, ErrorCode::kInternal);
    EXPECT_EQ(describe_failure("s", std::make_exception_ptr(std::bad_alloc())).code, ErrorCode::kResourceExhausted);
    set_thread_budget(0);
  }
  EXPECT_TRUE(fan_out(0, 4, [](std::size_t) { FAIL(); }).empty());
  EXPECT_TRUE(fan_out(9, 4, [](std::size_t) {}).empty()) << "nothing was thrown";
}

}  // namespace
}  // namespace annulus::testing
