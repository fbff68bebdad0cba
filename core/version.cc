#include "core/version.h"

#include <algorithm>
#include <chrono>

namespace annulus {

std::uint64_t VersionClock::advance(std::uint64_t count) noexcept {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  const auto now = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count()) << 12;
  std::uint64_t last = last_.load(std::memory_order_acquire);
  std::uint64_t first = 0;
  do {
    first = std::max(last + 1, now);
  } while (!last_.compare_exchange_weak(last, first + count - 1, std::memory_order_acq_rel));
  return first;
}

void VersionClock::observe(const Version& seen) noexcept {
  std::uint64_t last = last_.load(std::memory_order_acquire);
  while (last < seen.clock && !last_.compare_exchange_weak(last, seen.clock, std::memory_order_acq_rel)) {
  }
}

}  // namespace annulus
