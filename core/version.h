// Versions of records: which of two writes is the newer one.
#pragma once

#include <atomic>
#include <compare>
#include <cstdint>

namespace annulus {

/// A hybrid logical clock's reading [1], then the writer's number: totally ordered, and newer wins everywhere.
/// [1] Kulkarni et al., "Logical Physical Clocks", OPODIS 2014.
struct Version {
  std::uint64_t clock = 0;   ///< microseconds since 1970, times 4096, plus a counter; 0 is older than any write
  std::uint32_t writer = 0;  ///< number of the process that wrote, for equal clocks

  friend auto operator<=>(const Version&, const Version&) = default;
};

/// Gives versions that only grow, also when the system's clock steps back. Thread-safe, lock-free.
class VersionClock {
 public:
  /// `floor`: every version given is newer than it (after a restart: the newest version that was ever given).
  explicit VersionClock(std::uint32_t writer, std::uint64_t floor = 0) noexcept : writer_(writer), last_(floor) {}

  Version next() noexcept { return {advance(1), writer_}; }

  /// Reserves `count` versions that follow each other; returns the first, the i-th has clock + i.
  Version next(std::uint64_t count) noexcept { return {advance(count), writer_}; }

  /// Later versions are newer than `seen`, which another writer gave.
  void observe(const Version& seen) noexcept;

  /// The newest version given or observed so far.
  Version last() const noexcept { return {last_.load(std::memory_order_acquire), writer_}; }

 private:
  std::uint64_t advance(std::uint64_t count) noexcept;

  std::uint32_t writer_;
  std::atomic<std::uint64_t> last_;
};

}  // namespace annulus
