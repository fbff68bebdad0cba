// Changes of the ring: who serves, who is still written to, what is copied and dropped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <stdexcept>
#include <thread>

#include "tests/cache/test_cache.h"
#include "tests/core/expect_error.h"

namespace annulus {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::expect_error;
using testing::FaultyCacheNode;
using testing::NodeCall;
using testing::TestCache;

std::vector<std::string> put_many(TestCache& test, std::size_t count) {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < count; ++i) {
    keys.push_back("k" + std::to_string(i));
    test.cache.put(keys.back(), "old");
  }
  return keys;
}

/// A key that `id` gains by joining as it is now.
std::string key_gained_by(TestCache& test, const std::string& id) {
  ConsistentHasher joined = test.cache.ring();
  joined.add_node({.id = id});
  return TestCache::key_where([&](const std::string& key) { return test.cache.placement_with_ring(key, joined).front() == id; });
}

TEST(CacheMembership, AChangeHoldsAtOnce) {
  TestCache test(3);
  const std::string key = key_gained_by(test, "n9");
  test.cache.put(key, "old");
  const std::string former = test.cache.placement(key).front();
  test.attach("n9");
  EXPECT_THAT(test.cache.placement(key), ElementsAre("n9"));
  EXPECT_EQ(test.get(key), "-") << "the new owner is cold";
  test.cache.put(key, "new");
  EXPECT_EQ(TestCache::held(test.node("n9"), key), "new");
  EXPECT_EQ(TestCache::held(test.node(former), key), "-") << "writes reach the former owner as erases";
  test.cache.detach_node("n9");
  EXPECT_THAT(test.cache.placement(key), ElementsAre(former));
  EXPECT_EQ(test.get(key), "-");
  test.cache.set_replicas(2);
  EXPECT_EQ(test.cache.placement(key).size(), 2u);
  EXPECT_EQ(test.cache.replicas(), 2u);
  test.cache.set_weight("n1", 3.0);
  EXPECT_EQ(test.cache.ring().node(*test.cache.ring().index_of("n1")).weight, 3.0);
}

TEST(CacheMembership, ANodeAttachedAgainWhileItIsAMemberContinuesWithWhatItHolds) {
  TestCache test(3);
  const auto keys = put_many(test, 200);
  test.cache.detach_node("n1");
  test.cache.put("k7", "new");
  test.cache.erase("k8");
  test.cache.attach_node(test.shared_node("n1"));
  std::size_t hits = 0;
  for (const std::string& key : keys) {
    const std::string value = test.get(key);
    EXPECT_TRUE(key != "k7" || value == "new" || value == "-") << value;
    EXPECT_TRUE(key != "k8" || value == "-") << value;
    if (value == "old") ++hits;
  }
  EXPECT_GE(hits, keys.size() - 2) << "it kept its entries";
}

TEST(CacheMembership, ANodeThatLeftForGoodComesBackEmpty) {
  TestCache test(2);
  const std::string key = TestCache::key_where([&](const std::string& k) { return test.cache.placement(k).front() == "n1"; });
  test.cache.put(key, "old");
  test.cache.detach_node("n1");
  EXPECT_EQ(test.cache.drop_former(), 1u);
  EXPECT_EQ(test.cache.node("n1"), nullptr);
  EXPECT_EQ(TestCache::held(test.node("n1"), key), "-");
  test.cache.put(key, "new");
  test.cache.attach_node(test.shared_node("n1"));
  EXPECT_EQ(test.get(key), "-");
}

TEST(CacheMembership, ANodeThatLeftOutOfReachIsInvalidatedWhenItComesBack) {
  TestCache test(2);
  const std::string key = TestCache::key_where([&](const std::string& k) { return test.cache.placement(k).front() == "n1"; });
  test.cache.put(key, "old");
  test.cache.detach_node("n1");
  test.node("n1").set_down(true);
  test.cache.put(key, "new");
  EXPECT_EQ(test.cache.drop_former(), 0u);
  EXPECT_EQ(test.cache.node("n1"), nullptr);
  test.node("n1").set_down(false);
  EXPECT_EQ(TestCache::held(test.node("n1"), key), "old") << "nobody could tell it";
  test.cache.attach_node(test.shared_node("n1"));
  EXPECT_EQ(test.get(key), "-");
}

TEST(CacheMembership, ANodeThatHoldsEntriesStartsAnewUnlessTheyAreToBeBelieved) {
  TestCache test(1);
  auto old = test.make("n9");
  old->inner().write({.key = "old", .value = "v", .version = {5, 0}});
  test.cache.attach_node(old, 1e3);
  ASSERT_THAT(test.cache.placement("old"), ElementsAre("n9"));
  EXPECT_EQ(test.get("old"), "-");
  EXPECT_EQ(old->count(NodeCall::kInvalidate), 1u);
}

TEST(CacheMembership, ANodeThatJoinsBeforeTheFirstWriteIsTakenAsItIs) {
  TestCache test(1, 1, nullptr, CacheStart::kWarm);
  auto warm = test.make("n9");
  warm->inner().write({.key = "warm", .value = "v", .version = {5, 0}});
  test.cache.attach_node(warm, 1e3);
  ASSERT_THAT(test.cache.placement("warm"), ElementsAre("n9"));
  EXPECT_EQ(test.get("warm"), "v");
}

TEST(CacheMembership, ANodeThatJoinsLaterMayHaveMissedWritesAndIsInvalidated) {
  TestCache test(1, 1, nullptr, CacheStart::kWarm);
  test.cache.erase("warm");
  auto warm = test.make("n9");
  warm->inner().write({.key = "warm", .value = "erased since", .version = {5, 0}});
  test.cache.attach_node(warm, 1e3);
  ASSERT_THAT(test.cache.placement("warm"), ElementsAre("n9"));
  EXPECT_EQ(test.get("warm"), "-");
}

TEST(CacheMembership, AFirstWriteThatRunsBesideAJoinIsNotForgotten) {
  TestCache test(1, 1, nullptr, CacheStart::kWarm);
  auto warm = test.make("n9");
  warm->inner().write({.key = "warm", .value = "overwritten since", .version = {5, 0}});
  std::thread joining;
  auto& node = test.node("n0");
  node.before(NodeCall::kWrite, [&] {
    node.before(NodeCall::kWrite, nullptr);
    joining = std::thread([&] { test.cache.attach_node(warm, 1e3); });
  });
  test.cache.put("warm", "new");
  joining.join();
  EXPECT_THAT(test.get("warm"), ::testing::AnyOf("-", "new"));
}

/// A put that holds its snapshot already, and has not drawn its version yet, until it is let go on.
class HeldPut {
 public:
  HeldPut(TestCache& test, FaultyCacheNode& owner, const std::string& key, const std::string& value) {
    owner.after(NodeCall::kGeneration, [&] {
      owner.after(NodeCall::kGeneration, nullptr);
      held_.count_down();
      go_on_.wait();
    });
    thread_ = std::thread([&test, key, value] { test.cache.put(key, value); });
    held_.wait();
  }
  void finish() {
    go_on_.count_down();
    thread_.join();
  }

 private:
  std::latch held_{1};
  std::latch go_on_{1};
  std::thread thread_;
};

/// Yields until `holds` does, or for a while if it never will.
template <typename Condition>
void give_time_until(Condition&& holds) {
  for (int i = 0; i < 5000 && !holds(); ++i) std::this_thread::yield();
}

TEST(CacheMembership, AWriterThatKnowsTheOldLayoutOnlyIsWaitedForBeforeTheNewOneServes) {
  TestCache test(1);
  const std::string key = key_gained_by(test, "n9");
  test.cache.put(key, "old");
  auto joiner = test.make("n9");
  HeldPut held(test, test.node("n0"), key, "late");
  std::thread change([&] { test.cache.attach_node(joiner); });
  give_time_until([&] { return test.cache.placement(key).front() == "n9"; });
  test.cache.put(key, "early");
  held.finish();
  change.join();
  // "late" has the newer version; its writer does not know n9, so "early" must not be there
  EXPECT_EQ(test.get(key), "-");
}

TEST(CacheMembership, AWriterThatIsHeldBetweenTheStepsErasesAtTheNewOwner) {
  TestCache test(1);
  const std::string key = key_gained_by(test, "n9");
  const std::string other = TestCache::key_where([&](const std::string& k) { return k != key; });
  test.cache.put(key, "old");
  auto joiner = test.make("n9");
  // A change waits in two turns, the second one for who came during the first.
  HeldPut first(test, test.node("n0"), other, "holds up the first turn");
  std::thread change([&] { test.cache.attach_node(joiner); });
  give_time_until([] { return false; });
  HeldPut second(test, test.node("n0"), other, "holds up the second");
  first.finish();
  give_time_until([] { return false; });
  HeldPut held(test, test.node("n0"), key, "late");
  second.finish();
  give_time_until([&] { return test.cache.placement(key).front() == "n9"; });
  test.cache.put(key, "early");
  held.finish();
  change.join();
  EXPECT_THAT(test.get(key), ::testing::AnyOf("-", "late"));
}

TEST(CacheMembership, NothingIsFormerBeforeTheFirstOperation) {
  TestCache test(4);
  EXPECT_TRUE(test.cache.former_layouts().empty());
  test.cache.detach_node("n0");
  EXPECT_TRUE(test.cache.former_layouts().empty());
  EXPECT_EQ(test.cache.node("n0"), nullptr);
  test.cache.get("k");
  const auto before = test.cache.layout();
  test.attach("n9");
  EXPECT_THAT(test.cache.former_layouts(), ElementsAre(before));
}

TEST(CacheMembership, DropFormerLeavesEachNodeWithWhatItOwns) {
  TestCache test(3, 2);
  const auto keys = put_many(test, 2000);
  test.attach("n8");
  test.attach("n9");
  test.cache.set_weight("n0", 0.5);
  test.cache.detach_node("n1");
  EXPECT_EQ(test.cache.former_layouts().size(), 4u);
  std::size_t unwanted = 0;
  for (const std::string& key : keys) {
    const auto owners = test.cache.placement(key);
    for (const auto& [id, node] : test.nodes()) {
      const bool owns = std::find(owners.begin(), owners.end(), id) != owners.end();
      if (!owns && TestCache::held(*node, key) != "-") ++unwanted;
    }
  }
  std::uint64_t reported = 0;
  EXPECT_EQ(test.cache.drop_former([&](std::uint64_t dropped) { reported += dropped; }), unwanted);
  EXPECT_EQ(reported, unwanted);
  EXPECT_GT(unwanted, 0u);
  EXPECT_TRUE(test.cache.former_layouts().empty());
  for (const std::string& key : keys) {
    const auto owners = test.cache.placement(key);
    for (const auto& [id, node] : test.nodes()) {
      const bool owns = std::find(owners.begin(), owners.end(), id) != owners.end();
      EXPECT_TRUE(owns || TestCache::held(*node, key) == "-") << key << " at " << id;
    }
  }
  EXPECT_EQ(test.cache.stats().nodes.size(), 4u);
}

TEST(CacheMembership, DropFormerAlsoCleansWhatANodeBroughtWithIt) {
  TestCache test(1, 1, nullptr, CacheStart::kWarm);
  auto warm = test.make("n9");
  for (int i = 0; i < 100; ++i) warm->inner().write({.key = "k" + std::to_string(i), .value = "v", .version = {5, 0}});
  test.cache.attach_node(warm);
  std::size_t owned = 0;
  for (int i = 0; i < 100; ++i) owned += test.cache.placement("k" + std::to_string(i)).front() == "n9" ? 1 : 0;
  EXPECT_EQ(test.cache.drop_former(), 100 - owned);
  EXPECT_EQ(warm->inner().stats().items, owned);
}

TEST(CacheMembership, MoreThanTheMostFormerLayoutsDropTheOldest) {
  TestCache test(3);
  const auto keys = put_many(test, 500);
  test.attach("n9");
  for (std::size_t i = 1; i < DistributedCache::kMaxFormerLayouts; ++i) test.cache.set_weight("n9", 1.0 + static_cast<double>(i));
  const auto second = test.cache.former_layouts().at(1);
  const std::string left_behind = TestCache::key_where([&](const std::string& key) {
    return test.cache.placement(key).front() == "n9" && test.cache.placement_with_ring(key, second->ring).front() == "n9";
  });
  const std::string oldest_owner = test.cache.placement_with_ring(left_behind, test.cache.former_layouts().front()->ring).front();
  EXPECT_EQ(TestCache::held(test.node(oldest_owner), left_behind), "old");
  test.cache.set_weight("n9", 9.0);
  EXPECT_EQ(test.cache.former_layouts().size(), DistributedCache::kMaxFormerLayouts);
  EXPECT_EQ(test.cache.former_layouts().front(), second);
  EXPECT_EQ(TestCache::held(test.node(oldest_owner), left_behind), "-");
}

TEST(CacheMembership, ANodeThatCannotBeCleanedIsInvalidatedBeforeItIsUsed) {
  TestCache test(2);
  const std::string key = key_gained_by(test, "n9");
  test.cache.put(key, "old");
  const std::string former = test.cache.placement(key).front();
  test.attach("n9");
  test.node(former).set_down(true);
  test.cache.drop_former();
  EXPECT_TRUE(test.cache.former_layouts().empty());
  EXPECT_GT(test.cache.stats().node_failures, 0u);
  test.node(former).set_down(false);
  test.cache.put(key, "new");  // by n9's ring, which the former owner does not hear of
  test.cache.detach_node("n9");
  EXPECT_THAT(test.cache.placement(key), ElementsAre(former));
  EXPECT_EQ(test.get(key), "-");
}

TEST(CacheMembership, ADropKeepsWhatANodeGainsMeanwhile) {
  TestCache test(2);
  const std::string key = key_gained_by(test, "n9");
  test.cache.put(key, "old");
  const std::string former = test.cache.placement(key).front();
  test.attach("n9");
  bool changed = false;
  test.cache.drop_former([&](std::uint64_t) {
    if (std::exchange(changed, true)) return;
    // the ring changes back while nodes are being cleaned
    test.cache.detach_node("n9");
    test.cache.put(key, "new");
  });
  EXPECT_TRUE(changed);
  EXPECT_THAT(test.get(key), ::testing::AnyOf("-", "new"));
  EXPECT_EQ(test.cache.former_layouts().size(), 1u) << "the layout that ended meanwhile is the next drop's";
}

TEST(CacheMembership, AProgressThatThrowsLeavesTheFormerLayoutsToBeDroppedLater) {
  TestCache test(2);
  const auto keys = put_many(test, 100);
  test.attach("n9");
  EXPECT_THROW(test.cache.drop_former([](std::uint64_t) { throw std::runtime_error("stop"); }), std::runtime_error);
  EXPECT_EQ(test.cache.former_layouts().size(), 1u);
  test.cache.drop_former();
  EXPECT_TRUE(test.cache.former_layouts().empty());
}

TEST(CacheMembership, ALeaverThatIsAttachedAgainDuringItsDropIsInvalidated) {
  TestCache test(2);
  const std::string key = TestCache::key_where([&](const std::string& k) { return test.cache.placement(k).front() == "n1"; });
  test.cache.put(key, "old");
  test.cache.detach_node("n1");
  bool changed = false;
  test.cache.drop_former([&](std::uint64_t) {
    if (!std::exchange(changed, true)) test.cache.attach_node(test.shared_node("n1"));
  });
  EXPECT_TRUE(changed);
  EXPECT_NE(test.cache.node("n1"), nullptr);
  EXPECT_TRUE(test.cache.stats().nodes.at(1).waits_for_invalidation) << "what it held was not looked through";
  EXPECT_EQ(test.get(key), "-");
}

TEST(CacheMembership, CopiesGoToOwnersOnlyAndCarryVersionAndTtl) {
  TestCache test(2);
  const std::string key = key_gained_by(test, "n9");
  test.cache.put(key, "v", seconds(10));
  const std::string former = test.cache.placement(key).front();
  const std::string other = former == "n0" ? "n1" : "n0";
  test.attach("n9");
  const KeyView keys[] = {key, "gone"};
  const std::vector<std::string> to{"n9", other, "nobody"};
  const auto first = test.cache.copy(keys, former, to);
  EXPECT_EQ(first.copied, 1u);
  EXPECT_EQ(first.already_there, 0u);
  EXPECT_EQ(first.missed, 5u);
  EXPECT_EQ(first.bytes, key.size() + 1);
  EXPECT_EQ(test.node("n9").inner().get(key), test.node(former).inner().get(key));
  EXPECT_EQ(TestCache::held(test.node(other), key), "-");
  const auto again = test.cache.copy(std::span(keys, 1), former, std::span(to).first(1));
  EXPECT_EQ(again.copied, 0u);
  EXPECT_EQ(again.already_there, 1u);
  EXPECT_EQ(again.missed, 0u);
  EXPECT_EQ(test.get(key), "v");
}

TEST(CacheMembership, CopiesFromOrToNodesOutOfReachAreMissed) {
  TestCache test(1);
  const std::string key = key_gained_by(test, "n9");
  test.cache.put(key, "v");
  test.attach("n9");
  const KeyView keys[] = {key};
  const std::vector<std::string> to{"n9"};
  EXPECT_EQ(test.cache.copy(keys, "nobody", to).missed, 1u);
  test.node("n0").set_down(true);
  EXPECT_EQ(test.cache.copy(keys, "n0", to).missed, 1u);
  test.node("n0").set_down(false);
  test.node("n9").set_down(true);
  EXPECT_EQ(test.cache.copy(keys, "n0", to).missed, 1u);
  test.node("n9").set_down(false);
  EXPECT_EQ(test.cache.copy(keys, "n0", to).copied, 1u);
}

TEST(CacheMembership, ACopyDoesNotBringBackWhatIsOverwrittenMeanwhile) {
  TestCache test(1);
  const std::string key = key_gained_by(test, "n9");
  test.cache.put(key, "old");
  auto& target = test.attach("n9");
  test.node("n0").after(NodeCall::kGet, [&] {
    test.node("n0").after(NodeCall::kGet, nullptr);
    target.set_down(true);
    test.cache.put(key, "new");  // misses the new owner
    target.set_down(false);
    EXPECT_TRUE(test.cache.usable("n9"));
  });
  const KeyView keys[] = {key};
  const std::vector<std::string> to{"n9"};
  EXPECT_EQ(test.cache.copy(keys, "n0", to).missed, 1u);
  EXPECT_EQ(test.get(key), "-");
}

TEST(CacheMembership, ACopyLeavesOutKeysThatAreBeingWritten) {
  TestCache test(1);
  const std::string key = key_gained_by(test, "n9");
  test.cache.put(key, "old");
  test.attach("n9");
  const KeyView keys[] = {key};
  const std::vector<std::string> to{"n9"};
  DistributedCache::CopyResult result;
  test.node("n9").before(NodeCall::kWrite, [&] {
    test.node("n9").before(NodeCall::kWrite, nullptr);
    result = test.cache.copy(keys, "n0", to);
  });
  test.cache.put(key, "new");
  EXPECT_EQ(result.missed, 1u);
  EXPECT_EQ(test.get(key), "new");
}

TEST(CacheMembership, RefusesWhatCannotBe) {
  TestCache test(2);
  const auto stranger = std::make_shared<InMemoryCacheNode>("n0", CacheCapacity{.items = 10, .bytes = 1000});
  expect_error(ErrorCode::kInvalidArgument, {"null"}, [&] { test.cache.attach_node(nullptr); });
  expect_error(ErrorCode::kAlreadyExists, {"'n0'", "attached already"}, [&] { test.cache.attach_node(stranger); });
  expect_error(ErrorCode::kAlreadyExists, {"'n0'"}, [&] { test.cache.attach_node(test.shared_node("n0")); });
  expect_error(ErrorCode::kNotFound, {"n7"}, [&] { test.cache.detach_node("n7"); });
  expect_error(ErrorCode::kNotFound, {"n7"}, [&] { test.cache.set_weight("n7", 1.0); });
  expect_error(ErrorCode::kInvalidArgument, {"n1", "-1"}, [&] { test.cache.set_weight("n1", -1.0); });
  expect_error(ErrorCode::kInvalidArgument, {"0 replicas"}, [&] { test.cache.set_replicas(0); });
  test.cache.put("k", "v");
  test.cache.detach_node("n0");
  expect_error(ErrorCode::kAlreadyExists, {"'n0'", "detached", "drop_former()"}, [&] { test.cache.attach_node(stranger); });
  test.cache.drop_former();
  test.cache.attach_node(stranger);
  EXPECT_EQ(test.cache.node("n0"), stranger);
  EXPECT_FALSE(test.cache.usable("n7"));
}

}  // namespace
}  // namespace annulus
