#include "core/thread_budget.h"

#include <sched.h>

#include <algorithm>
#include <atomic>

namespace annulus {
namespace {

std::size_t processors() noexcept {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max<std::size_t>(1, static_cast<std::size_t>(CPU_COUNT(&set)));
}

std::atomic<std::size_t> budget{0};

}  // namespace

std::size_t thread_budget() noexcept {
  const std::size_t set = budget.load(std::memory_order_relaxed);
  if (set != 0) return set;
  static const std::size_t available = processors();
  return available;
}

void set_thread_budget(std::size_t threads) noexcept { budget.store(threads, std::memory_order_relaxed); }

}  // namespace annulus
