// How many threads the process may use for our work. One number for all; our OpenMP loops ask for it.
#pragma once

#include <cstddef>

namespace annulus {

/// Threads that a fan-out may use: what was set, or else the number of processors of this process. At least 1.
std::size_t thread_budget() noexcept;

/// Sets the budget for the process; 0 restores the default. Any thread, any time; loops already running keep theirs.
void set_thread_budget(std::size_t threads) noexcept;

/// A share of the budget for one fan-out, given back at the end of its life. Callers that come while others work get fewer
/// threads, at least 1 (their own): N calling threads never start more than about budget + N threads in all.
class ThreadLease {
 public:
  explicit ThreadLease(std::size_t wanted) noexcept;
  ~ThreadLease();
  ThreadLease(const ThreadLease&) = delete;
  ThreadLease& operator=(const ThreadLease&) = delete;
  std::size_t threads() const noexcept { return threads_; }

 private:
  std::size_t threads_;
  std::size_t taken_;
};

/// While it lives, the calling thread is one of those that a ThreadLease has been given: a lease that it takes in turn, for a part
/// of its own work, counts it once.
class LeasedThread {
 public:
  LeasedThread() noexcept;
  ~LeasedThread();
  LeasedThread(const LeasedThread&) = delete;
  LeasedThread& operator=(const LeasedThread&) = delete;

 private:
  bool before_;
};

}  // namespace annulus
