// Internal: what the parts of searches under filters do cost, beside what filter_plan.cc's constants say.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace annulus {

/// A part of such a search.
enum class FilterPart : std::uint8_t {
  kAsk,      ///< finding the accepted rows: the filter is asked about all
  kList,     ///< ... or lists them
  kCompare,  ///< comparing them
  kWalk,     ///< walking a graph, by what was compared and asked
  kForeseen, ///< what walks came to, by that, over what was foreseen
  kVisit,    ///< visiting the lists of an IVF, or the rows of a flat index in their order
};

/// For each part how many times its estimate it takes.
struct PartFactors {
  double ask = 1;
  double list = 1;
  double compare = 1;
  double walk = 1;
  double foreseen = 1;
  double visit = 1;
};

/// What one index has learnt about that from its searches of late: the processor, its memory, and how the rows lie make a
/// difference of several times. Searches alone and in batches are told apart, and how much the filter accepts. What has not been
/// seen yet is taken to be as much dearer as the same part under other filters, or else as all that has been seen: a slow machine
/// is slow in everything; and somewhat cheaper than that, so that it is seen before long.
/// Thread safety: any calls at once; races lose an observation, which does no harm.
class FilterCosts {
 public:
  PartFactors factors(double selectivity, std::size_t queries) const noexcept;

  /// Whether a search of one query should go as it is planned, which is not to scan: false where such searches took longer of late
  /// than scans did, be it that they gave up or that the estimates are wrong in another way. Now and then true all the same.
  /// `listed`: the filter has a list, with which scans are another matter.
  bool plan_pays(double selectivity, bool listed) noexcept;

  /// A whole search of one query took `took_ns`, where a scan of all accepted rows should take `scan_ns`; it was no more than that
  /// scan, or went as planned.
  void learn_whole(bool scanned, double selectivity, bool listed, double scan_ns, double took_ns) noexcept;

  /// Whether indexes learn, from now on. Off for tests that count what searches do, and want no clock to have a say.
  static void set_learning(bool on) noexcept { learning().store(on, std::memory_order_relaxed); }

  /// A part took `took_ns`, where the constants say `estimated_ns`. What is too short for the clock is passed over.
  void learn(FilterPart part, double selectivity, std::size_t queries, double estimated_ns, double took_ns) noexcept;

 private:
  static constexpr std::size_t kParts = 6;
  static constexpr std::size_t kDecades = 4;  // of selectivities

  struct Learnt {
    std::atomic<float> logarithm{0};  ///< of the factor
    std::atomic<std::uint32_t> seen{0};
  };

  /// Of searches alone, of small batches, and of large ones.
  using Kind = std::array<std::array<Learnt, kDecades>, kParts>;

  static std::atomic<bool>& learning() noexcept {
    static std::atomic<bool> on{true};
    return on;
  }
  /// The mean goes towards the logarithm of `factor`, or of `most` or 1 / most.
  static void learn(Learnt& learnt, double factor, double most) noexcept;
  static std::size_t kind_of(std::size_t queries) noexcept;
  static std::size_t decade(double selectivity) noexcept;

  std::array<Kind, 3> kinds_;
  /// Whole searches, over scans by estimate.
  struct Ways {
    Learnt planned;
    Learnt scanned;
    std::atomic<std::uint32_t> kept_from_plan{0};  ///< searches, since one went as planned
  };
  Ways& ways(double selectivity, bool listed) noexcept { return ways_[listed ? 1 : 0][decade(selectivity)]; }

  std::array<std::array<Ways, kDecades>, 2> ways_;
};

}  // namespace annulus
