// What every read may answer, known from the writes alone: the judge of the stress test.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/matrix.h"
#include "index/index_spec.h"
#include "shard/vector_router.h"

namespace annulus::stress {

/// A logical clock: what ended before something began has a smaller tick.
using Tick = std::uint64_t;

/// The history of every key. Each key has one writer at a time; readers are judged by the writes that had been acknowledged when
/// they began, and by those that overlap them. Thread-safe.
class Oracle {
 public:
  Oracle(std::size_t keys, std::size_t dimension, Metric metric, std::uint64_t seed);

  std::size_t keys() const noexcept { return histories_.size(); }
  std::string key(std::size_t number) const { return "key-" + std::to_string(number); }
  Tick now() noexcept { return tick_.fetch_add(1) + 1; }

  /// The vector of write `sequence` of a key: coordinates are small integers, so that distances tie often.
  Vector vector_of(std::size_t number, std::uint64_t sequence) const;
  Vector random_query(std::uint64_t random) const { return vector_of(keys() + 1, random); }

  /// A write begins: returns its sequence number, from which its vector follows.
  std::uint64_t begin_write(std::size_t number, bool erase);
  /// It ended; `acknowledged` false: it may have happened or not.
  void end_write(std::size_t number, std::uint64_t sequence, bool acknowledged);

  /// Empty if an answer of `get`, begun at `from`, is one that it may give; else what is wrong.
  std::string check_get(std::size_t number, const std::optional<Vector>& answer, Tick from) const;

  /// Which keys a search's filter accepts, by their numbers; empty: all.
  using Accepts = std::function<bool(std::size_t number)>;

  /// The same for a search for the k nearest, sharded exactly (Flat): each answer is a state of its key, none is doubled, they
  /// are in order, and no key is missing that must be nearer than the last.
  std::string check_search(const Vector& query, std::size_t k, std::span<const Neighbor> answer, Tick from,
                           const Accepts& accepts = {}) const;

  /// How much of what an exact search must answer, an approximate one did.
  struct Recall {
    std::size_t wanted = 0;
    std::size_t found = 0;
  };
  /// check_search for indexes that may miss keys: what is missing is no error, and is counted in `recall`. Only keys count that no
  /// write overlaps, and that are nearer than the last of an exact answer, where ties are.
  std::string check_approximate_search(const Vector& query, std::size_t k, std::span<const Neighbor> answer, Tick from, Recall& recall,
                                       const Accepts& accepts = {}) const;

 private:
  struct Write {
    std::uint64_t sequence;
    Tick end;  // kPending until it ends
    bool erase;
    bool acknowledged;
  };
  static constexpr Tick kPending = std::numeric_limits<Tick>::max();
  struct History {
    mutable std::mutex mutex;
    std::vector<Write> writes;
  };
  struct State {
    bool live;
    std::uint64_t sequence;
  };

  // The states that a read from `from` until now may see of a key.
  std::vector<State> states(std::size_t number, Tick from) const;
  // The library's distance of what a search answers, smaller is nearer.
  float library_distance(const Neighbor& neighbor) const { return metric_ == Metric::kL2 ? neighbor.distance : -neighbor.distance; }
  // What is wrong with the order of an answer, whatever the states.
  std::string check_order(std::span<const Neighbor> answer) const;
  std::string describe(std::size_t number, const std::vector<State>& states) const;

  std::size_t dimension_;
  Metric metric_;
  std::uint64_t seed_;
  std::atomic<Tick> tick_{0};
  std::vector<History> histories_;
};

}  // namespace annulus::stress
