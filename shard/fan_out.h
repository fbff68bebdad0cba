// Runs the parts of one operation side by side, within the process's thread budget; exceptions come back as values.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"

namespace annulus {

/// What a shard that threw said.
struct ShardError {
  std::string shard;
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

/// Describes a caught exception as an error of `shard`: also std::bad_alloc, because one shard's write must not
/// keep the others' from being accounted for.
ShardError describe_failure(const std::string& shard, const std::exception_ptr& failure);

/// Calls run(i) for i in [0, tasks) on up to `threads` threads (OpenMP), fewer while other fan-outs use the budget; returns what
/// each threw, null for none; an empty list if nothing was thrown. All tasks are run, whatever some of them throw.
std::vector<std::exception_ptr> fan_out(std::size_t tasks, std::size_t threads, const std::function<void(std::size_t)>& run);

}  // namespace annulus
