// Warms up the nodes that a change of a cache's ring made owners. Start at CacheRebalancer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cache/distributed_cache.h"
#include "core/key.h"
#include "rebalance/move_control.h"
#include "rebalance/move_report.h"
#include "rebalance/rebalance_plan.h"

namespace annulus {

/// The account of a warm-up. Pairs are (entry, node). Nothing is ever lost: what could not be copied is a miss. After several
/// changes of the ring, `lower_bound` counts an entry once for each former layout in which an owner holds it.
struct CacheMoveReport : MoveReport {
  std::uint64_t missed =
      0;  ///< keys not copied everywhere: gone from every former owner meanwhile, or a new owner was out of reach
};

/// The ring of a cache changes at once (DistributedCache::attach_node and its like); the warm-up follows: what the former owners
/// hold is copied to the nodes that own it now, with its version and the TTL that is left, and then dropped where it is not owned
/// any more. A node that fails costs misses. Gets and puts go on throughout, and win over copies.
///
/// Thread-safe: steering and abort from any thread while one executes.
class CacheRebalancer : public MoveSteering {
 public:
  explicit CacheRebalancer(DistributedCache& cache, RebalanceOptions options = {}) : MoveSteering(options), cache_(cache) {}

  /// The plan from the oldest layout whose entries are not dropped yet to the one that serves; empty if there is none.
  RebalancePlan plan() const;

  /// Warms up from every former layout, the newest first, then has leftovers dropped. kAborted after abort(): what was copied
  /// stays, and execute() goes on where it matters.
  CacheMoveReport execute();

  /// Warms up these keys alone, as far as former owners hold them: the hot ones first. Drops nothing: execute() does.
  CacheMoveReport execute(std::span<const KeyView> keys);

  /// The execution that is running stops at its next step. Does nothing if there is none.
  void abort() { control_.abort(); }

 private:
  using Layouts = std::vector<std::shared_ptr<const Layout>>;

  CacheMoveReport execute_for(std::optional<std::span<const KeyView>> keys);  // nothing: all
  std::uint64_t warm_up(const Layouts& former, const Layout& now, std::optional<std::span<const KeyView>> keys,
                        CacheMoveReport& report);

  DistributedCache& cache_;
};

}  // namespace annulus
