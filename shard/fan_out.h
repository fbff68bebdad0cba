// Runs the parts of one operation side by side, within the process's thread budget; exceptions come back as values.
#pragma once

#include <cstddef>
#include <exception>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/thread_budget.h"

namespace annulus {

/// What a shard that threw said.
struct ShardError {
  std::string shard;
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

/// Describes a caught exception as an error of `shard`. Rethrows std::bad_alloc.
ShardError describe_failure(const std::string& shard, const std::exception_ptr& failure);

/// Calls run(i) for i in [0, tasks) on up to `threads` threads (OpenMP); returns what each threw, null for none. All tasks are
/// run, whatever some of them throw.
template <typename Run>
std::vector<std::exception_ptr> fan_out(std::size_t tasks, std::size_t threads, Run&& run) {
  std::vector<std::exception_ptr> failures(tasks);
  const auto guarded = [&](std::size_t i) {
    try {
      run(i);
    } catch (...) {
      failures[i] = std::current_exception();
    }
  };
  const ThreadLease lease(threads < tasks ? threads : tasks);
  if (lease.threads() <= 1) {
    for (std::size_t i = 0; i < tasks; ++i) guarded(i);
    return failures;
  }
  const int team = static_cast<int>(lease.threads());
#pragma omp parallel for schedule(dynamic) num_threads(team)
  for (std::size_t i = 0; i < tasks; ++i) guarded(i);
  return failures;
}

}  // namespace annulus
