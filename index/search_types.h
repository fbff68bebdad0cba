// What a search is asked and what it answers: ids, parameters, candidates, filters.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>

namespace annulus {

/// Names a vector within one index. Any value; chosen by the caller.
using VectorId = std::uint64_t;

/// Overrides of the spec's defaults for one search. Values must be > 0; a family ignores what is not its own.
struct SearchParams {
  std::optional<int> ef = {};      ///< HNSW: candidates kept; below k counts as k
  std::optional<int> nprobe = {};  ///< IVF: lists visited; above nlist counts as nlist
  std::optional<int> rerank = {};  ///< IVF on int8 codes: candidates whose exact distances decide; below k counts as k
};

/// Candidates that a search on codes keeps for the exact distances to decide, when SearchParams::rerank does not say.
constexpr std::size_t default_rerank(std::size_t k) noexcept {
  constexpr std::size_t kLeast = 40;
  if (k > std::numeric_limits<std::size_t>::max() / 4) return k;
  return 4 * k < kLeast ? kLeast : 4 * k;
}

/// One answer. Smaller distance is nearer, for every metric.
struct Candidate {
  VectorId id = 0;
  float distance = 0;

  friend bool operator==(const Candidate&, const Candidate&) = default;
};

/// Says which ids a search may return. Called from the searching thread, for live ids, possibly more than once an id.
class Filter {
 public:
  virtual bool accept(VectorId id) const = 0;

 protected:
  ~Filter() = default;
};

/// The order of ids at equal distance: a strict total order. Called from the searching thread.
class TieOrder {
 public:
  virtual bool less(VectorId a, VectorId b) const = 0;

 protected:
  ~TieOrder() = default;
};

/// The distance within which the k candidates of one query lie that some index has found already: others of the same codec
/// need not return what is farther. It only falls. Thread-safe.
class SharedBound {
 public:
  float get() const noexcept { return value_.load(std::memory_order_relaxed); }

  void lower(float distance) noexcept {
    float known = get();
    while (distance < known && !value_.compare_exchange_weak(known, distance, std::memory_order_relaxed)) {
    }
  }

 private:
  std::atomic<float> value_{std::numeric_limits<float>::infinity()};
};

/// What a search did; searches add to it.
struct SearchWork {
  std::uint64_t distances = 0;    ///< vectors compared with a query, coarse centroids and re-ranking included
  std::uint64_t exact_scans = 0;  ///< queries for which a graph walk fell short and all rows were scanned
};

}  // namespace annulus
