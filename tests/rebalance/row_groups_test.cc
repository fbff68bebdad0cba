// Primary rows through resizes: at every step each key is a primary row where a search looks for it.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <tuple>

#include "tests/rebalance/resize_support.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kKeys = 80;
constexpr RebalanceOptions kSmallSteps{.max_bytes_per_second = 0, .page_records = 8, .chunk_arcs = 4};

RouterOptions options(std::size_t replicas, const char* factory = "Flat") {
  RouterOptions options = router_options(replicas, spec_of(factory));
  options.index.nprobe = 4;  // all lists, where there are any: answers are exact
  options.ring.virtual_nodes_per_weight = 4;
  return options;
}

/// Each live key is a primary row of the member which the serving layout makes its primary, if that is up and known to be told;
/// `once`: and of no other.
void expect_primaries(const TestCluster& cluster, bool once) {
  const SnapshotPtr snapshot = cluster.router.control().pin();
  const LayoutView& serving = snapshot->serving();
  const Vector query = Vector::Zero(static_cast<Eigen::Index>(cluster.dimension()));
  const QueryBatch batch(cluster.router.options().index, query);
  std::map<std::string, std::set<MemberIndex>> primary_at;
  for (MemberIndex m = 0; m < snapshot->members().size(); ++m) {
    CandidateLists lists;
    dynamic_cast<FaultyShard&>(*snapshot->members()[m].shard).inner().candidates({.queries = batch, .k = 1000, .groups = RowGroups::kPrimary}, lists);
    for (const auto& entry : lists.of(0)) primary_at[std::string(lists.key(entry))].insert(m);
  }
  for (const auto& [key, vector] : cluster.oracle.live()) {
    const NodeIndex primary = serving.layout->table->replicas(token_of_key(key)).front();
    const Member& member = snapshot->members()[serving.member_of[primary]];
    const auto& told = member.grouped_by;
    if (member.health != ShardHealth::kUp || std::find(told.begin(), told.end(), serving.layout) == told.end()) continue;
    ASSERT_TRUE(primary_at[key].contains(serving.member_of[primary])) << key;
    if (once) {
      ASSERT_EQ(primary_at[key].size(), 1u) << key;
    }
  }
}

/// One of the changes that a resize carries out.
struct Change {
  const char* name;
  void (*declare)(TestCluster&);
};

const Change kChanges[] = {
    {"Joins", [](TestCluster& cluster) { cluster.attach(); }},
    {"Leaves", [](TestCluster& cluster) { cluster.router.detach_node("s1"); }},
    {"JoinsWhileOneLeaves",
     [](TestCluster& cluster) {
       cluster.attach(2.0);
       cluster.router.detach_node("s0");
     }},
    {"Weighs", [](TestCluster& cluster) { cluster.router.set_weight("s2", 3.0); }},
    {"MoreReplicas", [](TestCluster& cluster) { cluster.router.set_replicas(3); }},
    {"FewerReplicas", [](TestCluster& cluster) { cluster.router.set_replicas(1); }},
    {"Zones",
     [](TestCluster& cluster) {
       cluster.attach(1.0, "east");
       cluster.attach(1.0, "west");
     }},
};

class ResizeOf : public ::testing::TestWithParam<std::tuple<Change, const char*>> {
 protected:
  static void declare(TestCluster& cluster) { std::get<Change>(GetParam()).declare(cluster); }
  static RouterOptions shape() { return options(2, std::get<const char*>(GetParam())); }

  ResizeOf() {
    cluster.fill(kKeys);
    for (std::size_t number = 0; number < kKeys; number += 9) cluster.erase(number);
  }
  // Runs `look` before every call that a resize makes of a shard, at whichever stage.
  void at_every_call(const std::function<void()>& look) {
    for (const auto& shard : cluster.shards) {
      for (const Call call : {Call::kUpsert, Call::kLookup, Call::kScan, Call::kDigest, Call::kDrop, Call::kSetPrimaryArcs}) shard->on_each(call, look);
    }
  }
  void undisturbed() { at_every_call(nullptr); }

  TestCluster cluster{4, shape()};
};

INSTANTIATE_TEST_SUITE_P(Changes, ResizeOf, ::testing::Combine(::testing::ValuesIn(kChanges), ::testing::Values("Flat", "IVF4,Flat")),
                         [](const auto& instance) {
                           const std::string factory = std::get<const char*>(instance.param);
                           return std::get<Change>(instance.param).name + factory.substr(0, factory.find(','));
                         });

TEST_P(ResizeOf, SearchesFindEverythingAtEveryStep) {
  declare(cluster);
  std::size_t looks = 0;
  at_every_call([&] {
    ++looks;
    ASSERT_NO_FATAL_FAILURE(expect_primaries(cluster, false));
    ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(0));
  });
  VectorRebalancer rebalancer(cluster.router, kSmallSteps);
  const ResizeReport report = rebalancer.execute();
  EXPECT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  undisturbed();
  EXPECT_GT(looks, 20u);
  ASSERT_NO_FATAL_FAILURE(expect_in_order(cluster, kKeys));
  ASSERT_NO_FATAL_FAILURE(expect_primaries(cluster, true));
  for (const Member& member : cluster.router.control().pin()->members()) EXPECT_EQ(member.grouped_by.size(), 1u);
}

TEST_P(ResizeOf, ThatIsAbortedLeavesThePrimariesThatWere) {
  declare(cluster);
  VectorRebalancer rebalancer(cluster.router, kSmallSteps);
  std::size_t steps = 0;
  rebalancer.set_progress([&](const MoveProgress&) {
    if (++steps == 3) rebalancer.abort();
  });
  at_every_call([&] {
    ASSERT_NO_FATAL_FAILURE(expect_primaries(cluster, false));
    ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(0));
  });
  const ResizeReport report = rebalancer.execute();
  undisturbed();
  if (report.outcome == ResizeOutcome::kAborted) {
    EXPECT_EQ(cluster.router.shard_states().size(), 4u);
  }
  ASSERT_NO_FATAL_FAILURE(expect_in_order(cluster, kKeys));
  ASSERT_NO_FATAL_FAILURE(expect_primaries(cluster, true));
}

// The n-th time that a shard is told its arcs it fails: before it does anything, or when it has done it all.
TEST_P(ResizeOf, SearchesFindEverythingWhereAShardCannotBeTold) {
  for (const char* id : {"s0", "s2"}) {
    for (const bool once_done : {false, true}) {
      bool undisturbed = false;
      for (std::uint64_t call = 0; !undisturbed; ++call) {
        SCOPED_TRACE(std::string(id) + " is not told the " + std::to_string(call) + "th time" + (once_done ? ", it says" : ""));
        ASSERT_LT(call, 20u);
        TestCluster scene(4, shape());
        scene.fill(kKeys);
        declare(scene);
        FaultyShard& failing = scene[id];
        failing.set_fault({.calls = {Call::kSetPrimaryArcs}, .after = call, .times = 1, .once_done = once_done});
        VectorRebalancer rebalancer(scene.router, kSmallSteps);
        rebalancer.set_progress([&](const MoveProgress&) {
          ASSERT_NO_FATAL_FAILURE(expect_primaries(scene, false));
          ASSERT_NO_FATAL_FAILURE(scene.expect_agreement(0));
          scene.put(scene.random() % kKeys);
        });
        const ResizeReport report = rebalancer.execute();
        rebalancer.set_progress(nullptr);
        undisturbed = failing.failed() == 0;
        ASSERT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
        ASSERT_NO_FATAL_FAILURE(expect_primaries(scene, false));
        ASSERT_NO_FATAL_FAILURE(scene.expect_agreement(kKeys));
        failing.heal();
        scene.router.synchronise_all();
        ASSERT_NO_FATAL_FAILURE(expect_in_order(scene, kKeys));
        ASSERT_NO_FATAL_FAILURE(expect_primaries(scene, true));
      }
    }
  }
}

class RowGroupsOfAResize : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Indexes, RowGroupsOfAResize, ::testing::Values("Flat", "IVF4,Flat"), [](const auto& instance) {
  const std::string factory = instance.param;
  return factory.substr(0, factory.find(','));
});

TEST_P(RowGroupsOfAResize, AreThoseOfItsTargetAlsoForAShardThatWasAway) {
  for (const char* when : {"before", "between"}) {
    SCOPED_TRACE(when);
    TestCluster cluster(5, options(3, GetParam()));
    cluster.fill(kKeys);
    cluster.router.detach_node("s1");
    VectorRebalancer rebalancer(cluster.router, kSmallSteps);
    std::size_t steps = 0;
    if (std::string(when) == "before") cluster.router.mark_down("s3");
    rebalancer.set_progress([&](const MoveProgress&) {
      if (++steps == 2) cluster.router.mark_down("s3");
      ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(0));
    });
    ResizeReport report = rebalancer.execute();
    rebalancer.set_progress(nullptr);
    ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(kKeys));
    ASSERT_TRUE(cluster.router.bring_up("s3").up);
    ASSERT_NO_FATAL_FAILURE(expect_primaries(cluster, false));
    ASSERT_NO_FATAL_FAILURE(cluster.expect_agreement(kKeys));
    if (report.outcome == ResizeOutcome::kBlocked) report = rebalancer.execute();
    ASSERT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
    cluster.router.synchronise_all();
    ASSERT_NO_FATAL_FAILURE(expect_in_order(cluster, kKeys));
    ASSERT_NO_FATAL_FAILURE(expect_primaries(cluster, true));
  }
}

}  // namespace
}  // namespace annulus::testing
