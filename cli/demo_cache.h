// The demo's cache: each word's embedding, on the nodes of the cluster.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cache/distributed_cache.h"
#include "cli/demo_data.h"
#include "rebalance/cache_rebalancer.h"

namespace annulus::cli {

/// What a change of the ring did to the cache, and to its twin that was not warmed up.
struct CacheFigures {
  CacheMoveReport report;       ///< of the warm-up
  std::uint64_t entries = 0;    ///< before the change
  std::uint64_t changed = 0;    ///< entries whose node is another one now
  std::uint64_t hits = 0;       ///< of those, right after the warm-up
  std::uint64_t twin_hits = 0;  ///< of those, right after the change, in the twin
  std::uint64_t wrong = 0;      ///< values that are not what was put

  double hit_rate() const noexcept { return rate(hits); }
  double twin_hit_rate() const noexcept { return rate(twin_hits); }
  /// Every moved entry is there, and nothing is wrong.
  bool ok() const noexcept { return report.outcome == ResizeOutcome::kCompleted && hits == changed && wrong == 0; }

 private:
  double rate(std::uint64_t found) const noexcept {
    return changed == 0 ? 1.0 : static_cast<double>(found) / static_cast<double>(changed);
  }
};

/// Two caches of one copy an entry, filled alike: after a change one is warmed up, and its twin is not.
class DemoCache {
 public:
  /// `data` must outlive this.
  explicit DemoCache(const WordVectors& data);

  void attach(const std::string& id);
  void detach(const std::string& id);
  /// Puts every embedding into both.
  void fill();
  /// Does `declare`, which attaches or detaches; warms up; looks at every entry that moved; fills the twin again.
  CacheFigures change(const std::function<void()>& declare);

 private:
  std::string value(std::size_t word) const;
  void fill(DistributedCache& cache) const;
  std::uint64_t hits(DistributedCache& cache, const KeyPlan& moved, std::uint64_t& wrong) const;

  const WordVectors& data_;
  std::vector<KeyView> keys_;
  DistributedCache warm_;
  DistributedCache twin_;
};

}  // namespace annulus::cli
