// Tombstones outlive every write that is older than they are.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>

#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

TEST(CollectTombstones, WaitsForAnOlderWriteThatIsStillOnItsWay) {
  TestCluster cluster(2, router_options(2));
  cluster.fill(5);
  std::atomic<bool> arrived{false}, may_go{false};
  cluster["s1"].on_each(Call::kUpsert, [&, first = true]() mutable {
    if (!std::exchange(first, false)) return;
    arrived.store(true);
    while (!may_go.load()) std::this_thread::yield();
  });
  std::thread writer([&] { (void)cluster.router.upsert("late", Vector::Zero(4)); });
  while (!arrived.load()) std::this_thread::yield();
  cluster["s1"].on_each(Call::kUpsert, nullptr);
  (void)cluster.router.erase("late");  // newer than the write, which has not reached s1 yet

  std::atomic<bool> collected{false};
  std::uint64_t fell = 0;
  std::thread collector([&] {
    fell = cluster.router.collect_tombstones();
    collected.store(true);
  });
  for (int i = 0; i < 2000; ++i) std::this_thread::yield();
  EXPECT_FALSE(collected.load());
  may_go.store(true);
  writer.join();
  collector.join();
  EXPECT_EQ(fell, 2u);
  EXPECT_FALSE(cluster["s0"].inner().contains("late"));
  EXPECT_FALSE(cluster["s1"].inner().contains("late")) << "an erased key came back";
  EXPECT_EQ(cluster.router.size(), 5u);
}

}  // namespace
}  // namespace annulus::testing
