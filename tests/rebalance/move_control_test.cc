#include "rebalance/move_control.h"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <thread>
#include <vector>

#include "tests/core/expect_error.h"

namespace annulus::testing {
namespace {

TEST(MoveControl, ReportsWhatWasDone) {
  MoveControl control;
  std::vector<MoveProgress> shown;
  control.set_progress([&](const MoveProgress& progress) { shown.push_back(progress); });
  control.start();
  control.begin_stage("copying", 10);
  control.step(4, 100);
  control.step(6, 50);
  control.begin_stage("dropping", 3);
  control.step(5, 0);  // live writes may make it more than was expected
  ASSERT_EQ(shown.size(), 5u);
  EXPECT_EQ(shown[0].stage, "copying");
  EXPECT_EQ(shown[0].done, 0u);
  EXPECT_EQ(shown[0].total, 10u);
  EXPECT_EQ(shown[0].eta_seconds, 0.0) << "unknown";
  EXPECT_EQ(shown[1].done, 4u);
  EXPECT_EQ(shown[1].bytes, 100u);
  EXPECT_GE(shown[1].eta_seconds, 0.0);
  EXPECT_EQ(shown[2].done, 10u);
  EXPECT_EQ(shown[2].eta_seconds, 0.0);
  EXPECT_EQ(shown[3].stage, "dropping");
  EXPECT_EQ(shown[3].done, 0u);
  EXPECT_EQ(shown[3].bytes, 150u) << "bytes are of all stages";
  EXPECT_EQ(shown[4].done, 5u);
  EXPECT_EQ(shown[4].eta_seconds, 0.0);
  control.start();
  control.step(1, 1);
  EXPECT_EQ(shown.back().bytes, 1u) << "a new run";
}

TEST(MoveControl, StopsAMoveAtItsNextStepThatMayBeStopped) {
  MoveControl control;
  control.start();
  control.step(1, 1);
  control.abort();
  EXPECT_TRUE(control.abort_requested());
  control.step(1, 1, false);
  control.begin_stage("copying", 1);
  expect_error(ErrorCode::kAborted, {"on request"}, [&] { control.step(1, 1); });
  control.start();
  EXPECT_FALSE(control.abort_requested()) << "an old request is forgotten";
  control.step(1, 1);
}

// A move in another thread; its steps are counted when they return.
class RunningMove {
 public:
  RunningMove(MoveControl& control, std::uint64_t bytes) : thread_([this, &control, bytes] {
    try {
      for (;;) {
        ++begun_;
        control.step(1, bytes);
        ++done_;
      }
    } catch (const Error& error) {
      code_ = error.code();
    }
  }) {}
  ErrorCode join() {
    thread_.join();
    return code_;
  }
  void wait_for_begun(std::uint64_t count) const {
    while (begun_.load() < count) std::this_thread::yield();
  }
  void wait_for_done(std::uint64_t count) const {
    while (done_.load() < count) std::this_thread::yield();
  }
  std::uint64_t done() const { return done_.load(); }

 private:
  std::atomic<std::uint64_t> begun_{0};
  std::atomic<std::uint64_t> done_{0};
  ErrorCode code_ = ErrorCode::kInternal;
  std::thread thread_;
};

TEST(MoveControl, HoldsAMoveWhileItIsPaused) {
  MoveControl control;
  control.start();
  control.pause();
  RunningMove move(control, 1);
  move.wait_for_begun(1);
  for (int i = 0; i < 2000; ++i) std::this_thread::yield();
  EXPECT_EQ(move.done(), 0u);
  control.resume();
  move.wait_for_done(100);
  control.pause();
  control.abort();  // is heard in a pause too
  EXPECT_EQ(move.join(), ErrorCode::kAborted);
}

TEST(MoveControl, LetsAStepOutOfThePaceWaitUntilItIsPaidFor) {
  MoveControl control;
  control.set_max_rate(1);  // a byte a second: the first page of a megabyte is paid for in 11 days
  control.start();
  RunningMove move(control, 1'000'000);
  move.wait_for_begun(1);
  for (int i = 0; i < 2000; ++i) std::this_thread::yield();
  EXPECT_EQ(move.done(), 0u);
  control.set_max_rate(std::numeric_limits<std::uint64_t>::max());  // a new rate holds at once
  move.wait_for_done(50);
  control.set_max_rate(1);
  const std::uint64_t done = move.done();
  for (int i = 0; i < 2000; ++i) std::this_thread::yield();
  EXPECT_LE(move.done(), done + 1);
  control.set_max_rate(0);  // no limit
  move.wait_for_done(done + 50);
  control.abort();
  EXPECT_EQ(move.join(), ErrorCode::kAborted);
}

TEST(MoveControl, IsHeardWhileAStepWaitsForItsPace) {
  MoveControl control;
  control.set_max_rate(1);
  control.start();
  RunningMove move(control, 1'000'000);
  move.wait_for_begun(1);
  control.abort();
  EXPECT_EQ(move.join(), ErrorCode::kAborted);
  EXPECT_EQ(move.done(), 0u);
}

TEST(MoveControl, DoesNotLetAStageWaitForAPause) {
  MoveControl control;
  control.start();
  control.pause();
  control.begin_stage("counting", 0);  // returns
  control.abort();
  expect_error(ErrorCode::kAborted, {}, [&] { control.step(0, 0); });
}

}  // namespace
}  // namespace annulus::testing
