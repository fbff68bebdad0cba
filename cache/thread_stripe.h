// Private to cache/: counters that threads do not share a cache line for.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace annulus::internal {

inline constexpr std::size_t kStripes = 32;

/// A number below kStripes that stays a thread's own as long as it lives; the first kStripes threads get different ones.
inline std::size_t stripe_of_this_thread() noexcept {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t mine = next.fetch_add(1, std::memory_order_relaxed) % kStripes;
  return mine;
}

/// `kCounters` counters, added to by many threads and summed up seldom.
template <std::size_t kCounters>
class StripedCounters {
 public:
  void add(std::size_t counter, std::uint64_t count = 1) noexcept {
    stripes_[stripe_of_this_thread()].counts[counter].fetch_add(count, std::memory_order_relaxed);
  }
  std::uint64_t sum(std::size_t counter) const noexcept {
    std::uint64_t sum = 0;
    for (const Stripe& stripe : stripes_) sum += stripe.counts[counter].load(std::memory_order_relaxed);
    return sum;
  }

 private:
  struct alignas(128) Stripe {
    std::array<std::atomic<std::uint64_t>, kCounters> counts{};
  };
  std::array<Stripe, kStripes> stripes_{};
};

}  // namespace annulus::internal
