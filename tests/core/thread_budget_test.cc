#include "core/thread_budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace annulus {
namespace {

TEST(ThreadBudget, IsTheProcessorsOfTheProcessUntilItIsSet) {
  set_thread_budget(0);
  const std::size_t usual = thread_budget();
  EXPECT_GE(usual, 1U);
  EXPECT_LE(usual, std::max(1U, std::thread::hardware_concurrency()));
  set_thread_budget(7);
  EXPECT_EQ(thread_budget(), 7U);
  std::thread([] { EXPECT_EQ(thread_budget(), 7U); }).join();
  set_thread_budget(0);
  EXPECT_EQ(thread_budget(), usual);
}

TEST(ThreadLease, SharesTheBudgetAndLeavesEachCallerItsOwnThread) {
  set_thread_budget(4);
  {
    const ThreadLease first(3);
    EXPECT_EQ(first.threads(), 3U);
    {
      const ThreadLease second(3);
      EXPECT_EQ(second.threads(), 1U) << "what is left of the budget";
      EXPECT_EQ(ThreadLease(3).threads(), 1U) << "nothing is left, but a caller has itself";
    }
    EXPECT_EQ(ThreadLease(3).threads(), 1U);
  }
  EXPECT_EQ(ThreadLease(100).threads(), 4U) << "all was given back";
  EXPECT_EQ(ThreadLease(0).threads(), 1U);
  set_thread_budget(0);
}

TEST(ThreadLease, OfManyThreadsNeverExceedsTheBudgetAndOneForEach) {
  set_thread_budget(8);
  constexpr std::size_t kCallers = 4;
  std::atomic<std::size_t> held{0};
  std::atomic<std::size_t> most{0};
  std::vector<std::thread> callers;
  for (std::size_t c = 0; c < kCallers; ++c) {
    callers.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        const ThreadLease lease(5);
        const std::size_t now = held.fetch_add(lease.threads()) + lease.threads();
        for (std::size_t seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        held.fetch_sub(lease.threads());
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_LE(most, 8 + kCallers);
  EXPECT_EQ(ThreadLease(100).threads(), 8U) << "all was given back";
  set_thread_budget(0);
}

}  // namespace
}  // namespace annulus
