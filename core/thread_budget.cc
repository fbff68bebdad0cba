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
std::atomic<std::size_t> leased{0};
thread_local bool is_leased = false;

}  // namespace

std::size_t thread_budget() noexcept {
  const std::size_t set = budget.load(std::memory_order_relaxed);
  if (set != 0) return set;
  static const std::size_t available = processors();
  return available;
}

void set_thread_budget(std::size_t threads) noexcept { budget.store(threads, std::memory_order_relaxed); }

ThreadLease::ThreadLease(std::size_t wanted) noexcept : threads_(1), taken_(0) {
  const std::size_t most = thread_budget();
  const std::size_t own = is_leased ? 1 : 0;  // counted already
  std::size_t taken = leased.load(std::memory_order_relaxed);
  do {
    const std::size_t left = (most > taken ? most - taken : 0) + own;
    threads_ = std::max<std::size_t>(1, std::min(wanted, left));
    taken_ = threads_ - own;
  } while (!leased.compare_exchange_weak(taken, taken + taken_, std::memory_order_relaxed));
}

ThreadLease::~ThreadLease() { leased.fetch_sub(taken_, std::memory_order_relaxed); }

LeasedThread::LeasedThread() noexcept : before_(is_leased) { is_leased = true; }

LeasedThread::~LeasedThread() { is_leased = before_; }

}  // namespace annulus
