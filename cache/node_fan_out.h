// Private to cache/: calls to several nodes, side by side where they wait for a network.
#pragma once

#include <cstddef>
#include <functional>

namespace annulus::internal {

/// Calls run(i) for i in [0, tasks): with `side_by_side` on as many threads as the budget allows (OpenMP). `run` must not throw.
void call_nodes(std::size_t tasks, bool side_by_side, const std::function<void(std::size_t)>& run);

}  // namespace annulus::internal
