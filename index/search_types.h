// What a search is asked and what it answers: ids, parameters, candidates, filters.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace annulus {

/// Names a vector within one index. Any value; chosen by the caller.
using VectorId = std::uint64_t;

/// How a search under a filter finds its answers.
enum class FilterMethod : std::uint8_t {
  kByCost,  ///< through the index, or by comparing all rows that the filter accepts: what is estimated to be cheaper
  kIndex,   ///< for measurements and tests: through the index, whatever it costs
  kScan,    ///< for measurements and tests: all rows that the filter accepts
};

/// Overrides of the spec's defaults for one search. Values must be > 0; a family ignores what is not its own.
struct SearchParams {
  std::optional<int> ef = {};  ///< HNSW: candidates kept; below k counts as k
  std::optional<int> nprobe =
      {};  ///< IVF: lists visited; above nlist counts as nlist. Under a filter there are more, see VectorIndex
  std::optional<int> rerank = {};  ///< IVF on int8 codes: candidates whose exact distances decide; below k counts as k
  FilterMethod filter_method = FilterMethod::kByCost;
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

/// A query of a batch and a stored vector, whose distance is wanted.
struct Pair {
  std::size_t query = 0;
  VectorId id = 0;
};

/// Says which ids a search may return. Called from the searching thread, for live ids, possibly more than once an id; of some
/// to learn what it accepts and what asking costs. What it throws reaches the caller of the search.
class Filter {
 public:
  virtual bool accept(VectorId id) const = 0;

  /// How many ids `list` gives at most; none: it has no list. No other id is accepted.
  virtual std::optional<std::size_t> listed() const { return std::nullopt; }

  /// Appends ids among which are all those that it accepts; some may not be in the index, or not be accepted.
  virtual void list(std::vector<VectorId>& out) const { static_cast<void>(out); }

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

/// The distance beyond which no candidate of one query is wanted, by what indexes have found already: as many as are wanted of all
/// of them together lie within it, or the caller guesses so and looks in the end. Others of the same codec need not return what is
/// farther. It only falls. Thread-safe.
class SharedBound {
 public:
  explicit SharedBound(std::size_t wanted = 0) noexcept : wanted_(wanted) {}
  SharedBound(const SharedBound& other) noexcept : wanted_(other.wanted_) {}  // knows nothing yet: for vectors of them

  float get() const noexcept { return value_.load(std::memory_order_relaxed); }

  /// `found` candidates lie within `distance`. Fewer than are wanted say nothing.
  void lower(float distance, std::size_t found) noexcept {
    if (found >= wanted_) lower_to(distance);
  }

  /// The caller knows that enough lie within `distance`, or will look whether they do.
  void lower_to(float distance) noexcept {
    float known = get();
    while (distance < known && !value_.compare_exchange_weak(known, distance, std::memory_order_relaxed)) {
    }
  }

 private:
  std::atomic<float> value_{std::numeric_limits<float>::infinity()};
  std::size_t wanted_;
};

/// What a search did; searches add to it.
struct SearchWork {
  std::uint64_t distances = 0;    ///< vectors compared with a query, coarse centroids and re-ranking included
  std::uint64_t exact_scans = 0;  ///< queries answered from a scan of all rows allowed: it was cheaper, or the index fell short
};

}  // namespace annulus
