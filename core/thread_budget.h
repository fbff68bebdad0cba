// How many threads the process may use for our work. One number for all; our OpenMP loops ask for it.
#pragma once

#include <cstddef>

namespace annulus {

/// Threads that a fan-out may use: what was set, or else the number of processors of this process. At least 1.
std::size_t thread_budget() noexcept;

/// Sets the budget for the process; 0 restores the default. Any thread, any time; loops already running keep theirs.
void set_thread_budget(std::size_t threads) noexcept;

}  // namespace annulus
