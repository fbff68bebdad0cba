// A reader-writer lock that starves nobody.
#pragma once

#include <mutex>
#include <shared_mutex>

namespace annulus {

/// std::shared_mutex behind a turnstile. glibc's rwlock lets new readers overtake a waiting writer, so that a few
/// searching threads can hold off an upsert for ever; here readers queue behind a writer that waits. Not recursive.
/// Usable with std::unique_lock and std::shared_lock.
class FairSharedMutex {
 public:
  void lock() {
    std::lock_guard turn(turnstile_);
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }
  void lock_shared() {
    std::lock_guard turn(turnstile_);
    mutex_.lock_shared();
  }
  void unlock_shared() { mutex_.unlock_shared(); }

 private:
  std::mutex turnstile_;
  std::shared_mutex mutex_;
};

}  // namespace annulus
