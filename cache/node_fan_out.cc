#include "cache/node_fan_out.h"

#include "core/thread_budget.h"

namespace annulus::internal {

void call_nodes(std::size_t tasks, bool side_by_side, const std::function<void(std::size_t)>& run) {
  const ThreadLease lease(side_by_side ? tasks : 1);
  if (tasks <= 1 || lease.threads() <= 1) {
    for (std::size_t i = 0; i < tasks; ++i) run(i);
    return;
  }
  const int team = static_cast<int>(lease.threads());
#pragma omp parallel for schedule(dynamic) num_threads(team)
  for (std::size_t i = 0; i < tasks; ++i) run(i);
}

}  // namespace annulus::internal
