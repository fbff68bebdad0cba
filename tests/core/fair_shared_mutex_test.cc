#include "core/fair_shared_mutex.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <shared_mutex>
#include <thread>
#include <vector>

namespace annulus {
namespace {

TEST(FairSharedMutex, AWriterIsAloneAndReadersAreNot) {
  FairSharedMutex mutex;
  std::size_t written = 0;  // not atomic: the lock is what orders it
  std::atomic<int> reading{0};
  std::atomic<bool> writing{false};
  std::atomic<bool> wrong{false};
  std::vector<std::thread> threads;
  for (int writer = 0; writer < 2; ++writer) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        std::unique_lock lock(mutex);
        if (writing.exchange(true) || reading != 0) wrong = true;
        ++written;
        writing = false;
      }
    });
  }
  for (int reader = 0; reader < 4; ++reader) {
    threads.emplace_back([&] {
      std::size_t seen = 0;
      for (int i = 0; i < 2000; ++i) {
        std::shared_lock lock(mutex);
        ++reading;
        if (writing || written < seen) wrong = true;
        seen = written;
        --reading;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(wrong);
  EXPECT_EQ(written, 4000U);
}

TEST(FairSharedMutex, AWriterGetsInBetweenReadersThatOverlapForEver) {
  FairSharedMutex mutex;
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!done) {
        std::shared_lock lock(mutex);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    std::unique_lock lock(mutex);
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
}

TEST(FairSharedMutex, WaitsForLongerThanItLooks) {
  FairSharedMutex mutex;
  std::unique_lock held(mutex);
  std::atomic<bool> entered{false};
  std::thread reader([&] {
    std::shared_lock lock(mutex);
    entered = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(entered);
  held.unlock();
  reader.join();
  EXPECT_TRUE(entered);
}

}  // namespace
}  // namespace annulus
