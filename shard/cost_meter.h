// How many threads a fan-out is worth, by what its parts took of late.
#pragma once

#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace annulus {

/// Processor time of the calling thread: what the clock on the wall shows on a busy machine says nothing about the work.
inline std::uint64_t thread_nanoseconds() noexcept {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

/// A running mean of the cost of a unit of work (one query at one shard, one row at one shard). Thread-safe: races lose an
/// observation, which does no harm.
class CostMeter {
 public:
  /// Threads for `units` units: one for each quarter of a millisecond. A start and a barrier cost microseconds on an idle machine,
  /// and a time slice on a busy one. Until something was learnt: one.
  std::size_t threads_for(std::size_t units) const noexcept {
    constexpr std::uint64_t kThreadWorthNs = 250'000;
    return static_cast<std::size_t>(std::max<std::uint64_t>(1, mean_ns_.load(std::memory_order_relaxed) * units / kThreadWorthNs));
  }

  /// Which of `parts` parts that go on at once should be measured, each in turn: to ask for a thread's time is a call of the
  /// kernel, which is dear beside a search. parts > 0.
  std::size_t measured_of(std::size_t parts) noexcept { return turn_.fetch_add(1, std::memory_order_relaxed) % parts; }

  /// `units` units took `nanoseconds` of processor time. The mean is over about eight observations.
  void learn(std::uint64_t nanoseconds, std::size_t units) noexcept {
    if (units == 0) return;
    const std::uint64_t seen = nanoseconds / units;
    const std::uint64_t known = mean_ns_.load(std::memory_order_relaxed);
    mean_ns_.store(known == 0 ? seen : (7 * known + seen) / 8, std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> mean_ns_{0};
  std::atomic<std::size_t> turn_{0};
};

}  // namespace annulus
