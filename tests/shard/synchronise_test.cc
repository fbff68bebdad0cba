// Shards that were away: what they missed comes, what they should not have goes, and nothing that was erased comes back.
#include <gtest/gtest.h>

#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

class Synchronise : public ::testing::TestWithParam<const char*> {
 protected:
  Synchronise() : cluster(3, router_options(2, spec_of(GetParam()))) { cluster.fill(80); }

  // Overwrites, erases and new keys, as far as owners take them.
  void write_more() {
    for (std::size_t number = 0; number < 80; number += 3) cluster.put(number);
    for (std::size_t number = 1; number < 80; number += 4) cluster.erase(number);
    for (std::size_t number = 80; number < 100; ++number) cluster.put(number);
  }
  // Replicas hold the same: the digest of each arc is that of its other owner.
  void expect_equal_replicas() {
    const Placement placement = cluster.router.placement();
    const auto tokens = placement.serving->ring.tokens();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const Arc arc{tokens[(i + tokens.size() - 1) % tokens.size()], tokens[i]};
      std::optional<ArcDigest> first;
      for (const NodeIndex node : placement.serving->table->row(i)) {
        const ArcDigest digest = cluster[placement.serving->ring.node(node).id].inner().digest(std::span(&arc, 1)).front();
        if (!first) first = digest;
        ASSERT_EQ(digest, *first) << "arc " << i;
      }
    }
  }
  void expect_whole() {
    for (const auto& state : cluster.router.shard_states()) ASSERT_EQ(state.health, ShardHealth::kUp) << state.id;
    expect_equal_replicas();
    cluster.expect_agreement(110);
  }

  TestCluster cluster;
};

INSTANTIATE_TEST_SUITE_P(Indexes, Synchronise, ::testing::Values("Flat", "HNSW8", "IVF4,SQ8"), [](const auto& instance) {
  std::string name = instance.param;
  std::erase(name, ',');
  return name;
});

TEST_P(Synchronise, BringsWhatAShardMissedAndServesItNoSooner) {
  cluster.router.mark_down("s1");
  write_more();
  cluster.expect_agreement(110);
  const SyncReport report = cluster.router.bring_up("s1");
  EXPECT_TRUE(report.up) << report.waits_for;
  EXPECT_EQ(report.shard, "s1");
  EXPECT_EQ(report.rounds, 1);
  EXPECT_GT(report.copy.copied, 0u);
  EXPECT_GT(report.copy.copied_tombstones, 0u);
  EXPECT_GT(report.arcs_differing, 0u);
  EXPECT_GE(report.arcs_checked, report.arcs_differing);
  EXPECT_GT(report.copy.bytes, 0u);
  expect_whole();
}

TEST_P(Synchronise, HasNothingToCopyWhenNothingWasMissed) {
  cluster.router.mark_down("s1");
  const SyncReport report = cluster.router.bring_up("s1");
  EXPECT_TRUE(report.up);
  EXPECT_GT(report.arcs_checked, 0u);
  EXPECT_EQ(report.arcs_differing, 0u);
  EXPECT_EQ(report.copy.copied, 0u);
  EXPECT_EQ(report.dropped, 0u);
  const SyncReport again = cluster.router.bring_up("s1");
  EXPECT_TRUE(again.up);
  EXPECT_EQ(again.arcs_checked, 0u) << "a shard that is up is left alone";
}

TEST_P(Synchronise, RestoresAShardThatLostEverything) {
  cluster.router.mark_down("s1");
  const Arc whole{0, 0};
  const std::uint64_t held = cluster["s1"].inner().drop(std::span(&whole, 1));
  const SyncReport report = cluster.router.bring_up("s1");
  EXPECT_EQ(report.copy.copied, held);
  expect_whole();
}

TEST_P(Synchronise, DropsStrangers) {
  cluster.router.mark_down("s1");
  // a row of an arc that only others own
  std::string stranger;
  for (int i = 0; stranger.empty(); ++i) {
    const std::string key = "stranger" + std::to_string(i);
    const auto owners = cluster.router.placement().serving->table->replicas(token_of_key(key));
    if (std::find(owners.begin(), owners.end(), NodeIndex{1}) == owners.end()) stranger = key;
  }
  const Vector v = Vector::Zero(4);
  const RecordView record{.key = stranger, .version = {1, 0}, .vector = v.data()};
  WriteOutcome outcome;
  cluster["s1"].inner().upsert_if_newer(std::span(&record, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
  const SyncReport report = cluster.router.bring_up("s1");
  EXPECT_EQ(report.dropped, 1u);
  EXPECT_FALSE(cluster["s1"].inner().contains(stranger));
  expect_whole();
}

// Both replicas of some keys are down one after the other, so that each has writes which the other missed.
TEST_P(Synchronise, MergesReplicasThatWereDownOneAfterTheOther) {
  for (const bool first_comes_first : {true, false}) {
    SCOPED_TRACE(first_comes_first);
    cluster.router.mark_down("s0");
    write_more();
    cluster.router.mark_down("s1");
    write_more();  // what s0 and s1 own is refused
    const char* const first = first_comes_first ? "s0" : "s1";
    const char* const second = first_comes_first ? "s1" : "s0";
    const SyncReport waits = cluster.router.bring_up(first);
    EXPECT_FALSE(waits.up);
    EXPECT_THAT(waits.waits_for, ::testing::HasSubstr(std::string("'") + second + "' is down"));
    EXPECT_EQ(cluster.router.health(first), ShardHealth::kBehind);
    EXPECT_TRUE(cluster.router.bring_up(second).up);
    for (const SyncReport& report : cluster.router.synchronise_all()) EXPECT_TRUE(report.up) << report.waits_for;
    expect_whole();
  }
}

TEST_P(Synchronise, GivesUpWhatOnlyAShardThatIsDownHoldsWhenToldTo) {
  cluster.router.mark_down("s0");
  write_more();
  cluster.router.mark_down("s1");
  EXPECT_FALSE(cluster.router.bring_up("s0").up);
  EXPECT_TRUE(synchronise(cluster.router.control(), "s0", UnreachablePolicy::kForget).up);
  // the cluster answers for everything again, some of it older
  EXPECT_EQ(cluster.router.search(Vector::Zero(4), 5).coverage, 1.0);
  for (std::size_t number = 0; number < 110; ++number) EXPECT_NO_THROW((void)cluster.router.get(cluster.key(number)));
  // when the other one is back after all, its records count again: the newest wins on both
  EXPECT_TRUE(cluster.router.bring_up("s1").up);
  expect_whole();
}

TEST_P(Synchronise, SpreadsAWriteThatOneOwnerAppliedAndNobodyAcknowledged) {
  // its owner applied it, and the answer was lost; the other owner failed: the caller hears an error
  const std::string key = cluster.key(3);
  const Placement placement = cluster.router.placement();
  const auto owners = placement.serving->table->replicas(token_of_key(key));
  FaultyShard& applied = cluster[placement.serving->ring.node(owners[0]).id];
  FaultyShard& failed = cluster[placement.serving->ring.node(owners[1]).id];
  applied.set_fault({.calls = {Call::kUpsert}, .once_done = true});
  failed.fail({Call::kUpsert});
  EXPECT_FALSE(cluster.erase(3));
  applied.heal();
  failed.heal();
  cluster.router.mark_down(applied.id());
  EXPECT_TRUE(cluster.router.bring_up(applied.id()).up);
  expect_equal_replicas();
}

TEST_P(Synchronise, ReportsAShardThatFailsMeanwhile) {
  for (const Call call : {Call::kDigest, Call::kUpsert, Call::kDrop}) {
    cluster.router.mark_down("s1");
    for (std::size_t number = 0; number < 80; number += 3) cluster.put(number);
    cluster["s1"].fail({call});
    const SyncReport report = cluster.router.bring_up("s1");
    EXPECT_FALSE(report.up);
    EXPECT_THAT(report.waits_for, ::testing::HasSubstr("told to fail"));
    EXPECT_EQ(cluster.router.health("s1"), ShardHealth::kBehind);
    cluster["s1"].heal();
    EXPECT_TRUE(cluster.router.synchronise_all().at(0).up);
    expect_whole();
  }
}

TEST_P(Synchronise, DoesNotTouchAShardThatIsDown) {
  cluster.router.mark_down("s1");
  const SyncReport report = synchronise(cluster.router.control(), "s1");
  EXPECT_FALSE(report.up);
  EXPECT_THAT(report.waits_for, ::testing::HasSubstr("'s1' is down"));
  EXPECT_TRUE(cluster.router.synchronise_all().empty());
}

TEST_P(Synchronise, WaitsForTheResizeOfAShardThatOwnsNothingYet) {
  FaultyShard& late = cluster.attach();
  cluster.router.mark_down(late.id());
  const SyncReport report = cluster.router.bring_up(late.id());
  EXPECT_FALSE(report.up);
  EXPECT_THAT(report.waits_for, ::testing::HasSubstr("resize"));
}

TEST_P(Synchronise, GoesRoundAgainWhenAWriteIsMissedMeanwhile) {
  cluster.router.mark_down("s1");
  cluster.put(0);
  // While s1 is synchronised it misses one write more: its first upsert (the write's) fails, and the rest succeed.
  std::string missed;
  for (std::size_t number = 0; missed.empty(); ++number) {
    const auto owners = cluster.router.placement().serving->table->replicas(token_of_key(cluster.key(number)));
    if (std::find(owners.begin(), owners.end(), NodeIndex{1}) != owners.end()) missed = std::to_string(number);
  }
  cluster["s1"].on_each(Call::kDigest, [&, done = false]() mutable {
    if (std::exchange(done, true)) return;
    cluster["s1"].set_fault({.calls = {Call::kUpsert}, .after = 0, .times = 1});
    EXPECT_TRUE(cluster.put(std::stoul(missed)));
  });
  const SyncReport report = cluster.router.bring_up("s1");
  EXPECT_TRUE(report.up) << report.waits_for;
  EXPECT_EQ(report.rounds, 2);
  expect_whole();
}

TEST_P(Synchronise, GivesUpOnAShardThatKeepsMissingWrites) {
  cluster.router.mark_down("s1");
  cluster["s1"].on_each(Call::kDigest, [&] {
    const std::vector<std::string> ids = {"s1"};
    cluster.router.control().mark_missed(ids);
  });
  const SyncReport report = cluster.router.bring_up("s1");
  EXPECT_FALSE(report.up);
  EXPECT_THAT(report.waits_for, ::testing::HasSubstr("keeps missing writes"));
  cluster["s1"].on_each(Call::kDigest, nullptr);
  EXPECT_TRUE(cluster.router.synchronise_all().at(0).up);
  expect_whole();
}

TEST_P(Synchronise, NeverBringsBackWhatWasErasedWhileTombstonesAreCollected) {
  cluster.router.mark_down("s1");
  for (std::size_t number = 0; number < 80; number += 2) cluster.erase(number);
  EXPECT_THROW((void)cluster.router.collect_tombstones(), Error);
  EXPECT_TRUE(cluster.router.bring_up("s1").up);
  EXPECT_GT(cluster.router.collect_tombstones(), 0u);
  expect_whole();
  cluster.router.mark_down("s2");
  EXPECT_TRUE(cluster.router.bring_up("s2").up);
  expect_whole();
}

}  // namespace
}  // namespace annulus::testing
