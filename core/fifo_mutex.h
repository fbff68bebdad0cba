// A mutex that serves in the order of arrival.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace annulus {

/// std::mutex lets the thread that has just unlocked it lock it again before those that wait: a bulk copy that takes it block by
/// block can hold off a single write for seconds. Here each waits for its turn. For sections of microseconds and more.
class FifoMutex {
 public:
  void lock() {
    std::unique_lock lock(mutex_);
    const std::uint64_t ticket = next_++;
    turn_.wait(lock, [&] { return serving_ == ticket; });
  }
  /// Takes it if nobody holds it or waits for it.
  bool try_lock() {
    std::lock_guard lock(mutex_);
    if (serving_ != next_) return false;
    ++next_;
    return true;
  }
  void unlock() {
    {
      std::lock_guard lock(mutex_);
      ++serving_;
    }
    turn_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable turn_;
  std::uint64_t next_ = 0;
  std::uint64_t serving_ = 0;
};

}  // namespace annulus
