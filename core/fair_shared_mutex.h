// A reader-writer lock that starves nobody.
#pragma once

#include <chrono>
#include <mutex>
#include <shared_mutex>
#include <thread>

namespace annulus {

/// std::shared_mutex behind a turnstile. glibc's rwlock lets new readers overtake a waiting writer, so that a few
/// searching threads can hold off an upsert for ever; here readers queue behind a writer that waits. Not recursive.
/// Who has to wait looks again for 50 us before it sleeps, at the turnstile and behind it, and lets other threads have the
/// processor in between: what it waits for is mostly shorter than waking up takes.
/// Usable with std::unique_lock and std::shared_lock.
class FairSharedMutex {
 public:
  void lock() {
    acquire([this] { return turnstile_.try_lock(); }, [this] { turnstile_.lock(); });
    const std::lock_guard turn(turnstile_, std::adopt_lock);
    acquire([this] { return mutex_.try_lock(); }, [this] { mutex_.lock(); });
  }
  void unlock() { mutex_.unlock(); }
  void lock_shared() {
    acquire([this] { return turnstile_.try_lock(); }, [this] { turnstile_.lock(); });
    const std::lock_guard turn(turnstile_, std::adopt_lock);
    acquire([this] { return mutex_.try_lock_shared(); }, [this] { mutex_.lock_shared(); });
  }
  void unlock_shared() { mutex_.unlock_shared(); }

 private:
  template <class Try, class Wait>
  static void acquire(const Try& try_once, const Wait& wait) {
    if (try_once()) return;
    constexpr std::chrono::microseconds kLooks{50};
    const auto began = std::chrono::steady_clock::now();
    do {
      std::this_thread::yield();
      if (try_once()) return;
    } while (std::chrono::steady_clock::now() - began < kLooks);
    wait();
  }

  std::mutex turnstile_;
  std::shared_mutex mutex_;
};

}  // namespace annulus
