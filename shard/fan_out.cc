#include "shard/fan_out.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>

#include "core/reused.h"
#include "core/thread_budget.h"

namespace annulus {

ShardError describe_failure(const std::string& shard, const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::bad_alloc&) {
    return {shard, ErrorCode::kResourceExhausted, "shard '" + shard + "' ran out of memory"};
  } catch (const Error& error) {
    return {shard, error.code(), error.what()};
  } catch (const std::exception& error) {
    return {shard, ErrorCode::kInternal, error.what()};
  }
}

std::vector<std::exception_ptr> fan_out(std::size_t tasks, std::size_t threads, const std::function<void(std::size_t)>& run) {
  const Reused<std::vector<std::exception_ptr>> failures;  // made before anything fails: then there may be no memory
  failures->assign(tasks, nullptr);
  std::atomic<bool> failed{false};
  const auto guarded = [&](std::size_t i) {
    const LeasedThread leased;
    try {
      run(i);
    } catch (...) {
      (*failures)[i] = std::current_exception();
      failed = true;
    }
  };
  const ThreadLease lease(std::min(threads, tasks));
  if (lease.threads() <= 1) {
    for (std::size_t i = 0; i < tasks; ++i) guarded(i);
  } else {
    const int team = static_cast<int>(lease.threads());
#pragma omp parallel for schedule(dynamic) num_threads(team)
    for (std::size_t i = 0; i < tasks; ++i) guarded(i);
  }
  if (!failed) return {};
  return std::move(*failures);
}

}  // namespace annulus
