#include "core/thread_budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

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

}  // namespace
}  // namespace annulus
