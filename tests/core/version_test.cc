#include "core/version.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

namespace annulus {
namespace {

TEST(Version, IsOrderedByClockAndThenByWriter) {
  EXPECT_LT((Version{1, 9}), (Version{2, 0}));
  EXPECT_LT((Version{2, 0}), (Version{2, 1}));
  EXPECT_EQ((Version{2, 1}), (Version{2, 1}));
  EXPECT_LT(Version{}, (VersionClock(0).next()));
}

TEST(VersionClock, GivesVersionsThatOnlyGrow) {
  VersionClock clock(3);
  Version last = clock.next();
  EXPECT_EQ(last.writer, 3u);
  for (int i = 0; i < 10000; ++i) {
    const Version next = clock.next();
    ASSERT_LT(last, next);
    last = next;
  }
  EXPECT_EQ(clock.last(), last);
}

TEST(VersionClock, IsAboutMicrosecondsSince1970Times4096) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto micros = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
  const std::uint64_t given = VersionClock(0).next().clock;
  EXPECT_GE(given, micros << 12);
  EXPECT_LT(given, (micros + 3'600'000'000u) << 12);
}

TEST(VersionClock, GrowsFromItsFloorWhenTheSystemsClockIsBehindIt) {
  const std::uint64_t future = VersionClock(0).next().clock * 2;  // as after a step back
  VersionClock clock(1, future);
  EXPECT_EQ(clock.next(), (Version{future + 1, 1}));
  EXPECT_EQ(clock.next(), (Version{future + 2, 1}));
}

TEST(VersionClock, ReservesVersionsThatFollowEachOther) {
  const std::uint64_t future = VersionClock(0).next().clock * 2;
  VersionClock clock(1, future);
  EXPECT_EQ(clock.next(100).clock, future + 1);
  EXPECT_EQ(clock.last().clock, future + 100);
  EXPECT_EQ(clock.next().clock, future + 101);
}

TEST(VersionClock, IsNewerThanWhatItObservedAndIgnoresWhatIsOld) {
  VersionClock clock(1);
  const Version far{clock.next().clock * 2, 7};
  clock.observe(far);
  EXPECT_EQ(clock.last().clock, far.clock);
  EXPECT_LT(far, clock.next());
  const Version last = clock.last();
  clock.observe({1, 7});
  EXPECT_EQ(clock.last(), last);
}

TEST(VersionClock, GivesNoVersionTwiceToManyThreads) {
  VersionClock clock(0, VersionClock(0).next().clock * 2);  // ahead of time: nothing but the counter keeps them apart
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kEach = 5000;
  std::vector<std::vector<std::uint64_t>> given(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : given) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < kEach; ++i) {
        if (i % 100 == 0) clock.observe({clock.last().clock + 3, 9});
        mine.push_back(clock.next(2).clock);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<std::uint64_t> all;
  for (const auto& mine : given) {
    EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
    all.insert(all.end(), mine.begin(), mine.end());
  }
  std::sort(all.begin(), all.end());
  for (std::size_t i = 1; i < all.size(); ++i) ASSERT_GE(all[i] - all[i - 1], 2u);
}

}  // namespace
}  // namespace annulus
