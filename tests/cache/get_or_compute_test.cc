#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <stdexcept>
#include <thread>

#include "tests/cache/test_cache.h"
#include "tests/core/expect_error.h"

namespace annulus {
namespace {

using std::chrono::seconds;
using testing::expect_error;
using testing::NodeCall;
using testing::TestCache;

std::string never() { throw std::logic_error("nobody should compute this"); }

TEST(GetOrCompute, ComputesOnceAndKeepsTheValueForItsTtl) {
  TestCache test(3, 2);
  EXPECT_EQ(test.cache.get_or_compute(
                "k", [] { return std::string("v"); }, seconds(5)),
            "v");
  EXPECT_EQ(test.cache.get_or_compute("k", never), "v");
  EXPECT_EQ(test.get("k"), "v");
  EXPECT_EQ(TestCache::held(test.owner("k", 1), "k"), "v");
  test.time->now += seconds(5);
  EXPECT_EQ(test.cache.get_or_compute("k", [] { return std::string("w"); }), "w");
  const auto stats = test.cache.stats();
  EXPECT_EQ(stats.computations, 2u);
  EXPECT_EQ(stats.hits, 2u);
  EXPECT_EQ(stats.misses, 2u);
  EXPECT_EQ(stats.joined, 0u);
}

TEST(GetOrCompute, OneComputationServesAllThreadsThatAskMeanwhile) {
  TestCache test(2);
  constexpr std::size_t kThreads = 8;
  std::atomic<int> computations{0};
  std::vector<std::string> values(kThreads);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      values[i] = test.cache.get_or_compute("k", [&] {
        ++computations;
        // until all others have missed, and so wait or will: none of them can find a value before this returns
        while (test.cache.stats().misses < kThreads) std::this_thread::yield();
        return std::string("v");
      });
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(computations.load(), 1);
  for (const std::string& value : values) EXPECT_EQ(value, "v");
  EXPECT_EQ(test.cache.stats().computations, 1u);
}

TEST(GetOrCompute, AnExceptionGoesToEverybodyAndNothingIsKept) {
  TestCache test(2);
  std::atomic<int> caught{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      try {
        test.cache.get_or_compute("k", [&]() -> std::string {
          while (test.cache.stats().misses < 4) std::this_thread::yield();
          throw std::runtime_error("no model answers");
        });
      } catch (const std::runtime_error& error) {
        if (std::string(error.what()) == "no model answers") ++caught;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(caught.load(), 4);
  EXPECT_EQ(test.get("k"), "-");
  EXPECT_EQ(test.cache.get_or_compute("k", [] { return std::string("v"); }), "v");
}

TEST(GetOrCompute, AComputationThatAsksForItsOwnKeyIsAnError) {
  TestCache test(2);
  expect_error(ErrorCode::kFailedPrecondition, {"'k'", "its own key"},
               [&] { test.cache.get_or_compute("k", [&] { return test.cache.get_or_compute("k", never); }); });
  EXPECT_EQ(test.cache.get_or_compute("k", [&] { return test.cache.get_or_compute("l", [] { return std::string("v"); }); }), "v");
}

TEST(GetOrCompute, ComputationsThatWaitForEachOtherAreAnErrorAndNoDeadlock) {
  TestCache test(2);
  std::latch both_compute(2);
  std::atomic<int> errors{0};
  const auto ask = [&](const char* own, const char* other) {
    try {
      test.cache.get_or_compute(own, [&] {
        both_compute.arrive_and_wait();
        return test.cache.get_or_compute(other, never);
      });
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kFailedPrecondition) ++errors;
    }
  };
  std::thread first([&] { ask("a", "b"); });
  std::thread second([&] { ask("b", "a"); });
  first.join();
  second.join();
  EXPECT_EQ(errors.load(), 2) << "one finds the circle, and its error is the other's";
}

TEST(GetOrCompute, AnEraseDuringAComputationWins) {
  TestCache test(3, 2);
  EXPECT_EQ(test.cache.get_or_compute("k",
                                      [&] {
                                        test.cache.erase("k");
                                        return std::string("from before the erase");
                                      }),
            "from before the erase");
  EXPECT_EQ(test.get("k"), "-");
}

TEST(GetOrCompute, APutDuringAComputationWins) {
  TestCache test(3, 2);
  const CacheItem items[] = {{.key = "l", .value = "put"}};
  test.cache.get_or_compute("k", [&] {
    test.cache.put("k", "put");
    return std::string("computed");
  });
  test.cache.get_or_compute("l", [&] {
    test.cache.put(items);
    return std::string("computed");
  });
  EXPECT_EQ(test.get("k"), "put");
  EXPECT_EQ(test.get("l"), "put");
}

TEST(GetOrCompute, WhoAsksAfterAnEraseGetsANewComputation) {
  TestCache test(2);
  EXPECT_EQ(test.cache.get_or_compute("k",
                                      [&] {
                                        test.cache.erase("k");
                                        EXPECT_EQ(test.cache.get_or_compute("k", [] { return std::string("after"); }), "after");
                                        return std::string("before");
                                      }),
            "before");
  EXPECT_EQ(test.get("k"), "after");
  const KeyView keys[] = {"l"};
  test.cache.get_or_compute("l", [&] {
    test.cache.erase(keys);
    EXPECT_EQ(test.cache.get_or_compute("l", [] { return std::string("after"); }), "after");
    return std::string("before");
  });
  EXPECT_EQ(test.get("l"), "after");
}

TEST(GetOrCompute, AnEraseThatANodeMissedDuringAComputationWinsToo) {
  TestCache test(1);
  test.cache.get_or_compute("k", [&] {
    test.node("n0").set_down(true);
    test.cache.erase("k");
    test.node("n0").set_down(false);
    EXPECT_TRUE(test.cache.usable("n0"));
    return std::string("from before the erase");
  });
  EXPECT_EQ(test.get("k"), "-");
}

TEST(GetOrCompute, AValueComputedWhileTheRingChangedIsReturnedAndNotKept) {
  for (const bool moves : {false, true}) {
    TestCache test(2);
    ConsistentHasher joined = test.cache.ring();
    joined.add_node({.id = "n9"});
    const std::string key = TestCache::key_where(
        [&](const std::string& k) { return (test.cache.placement_with_ring(k, joined) != test.cache.placement(k)) == moves; });
    const auto compute = [&] {
      test.attach("n9");
      return std::string("v");
    };
    EXPECT_EQ(test.cache.get_or_compute(key, compute), "v");
    for (const auto& [id, node] : test.nodes()) EXPECT_EQ(TestCache::held(*node, key), "-") << id;
  }
}

TEST(GetOrCompute, AFlightThatHasJustLandedIsFoundInTheCache) {
  TestCache test(1);
  // The second caller has missed, and asks for the flight when the first one has landed: its look before is held up.
  std::atomic<bool> once{true};
  test.node("n0").after(NodeCall::kGet, [&] {
    if (!once.exchange(false)) return;
    test.cache.get_or_compute("k", [] { return std::string("first"); });
  });
  EXPECT_EQ(test.cache.get_or_compute("k", never), "first");
  EXPECT_EQ(test.cache.stats().computations, 1u);
}

TEST(GetOrCompute, AComputedValueThatIsTooLargeIsAnError) {
  TestCache test(1);
  expect_error(ErrorCode::kInvalidArgument, {"'k'", "268435457"},
               [&] { test.cache.get_or_compute("k", [] { return std::string(kMaxCacheValueBytes + 1, 'x'); }); });
}

}  // namespace
}  // namespace annulus
