// Internal: (distance, number) as one integer, to be sorted fast.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace annulus {

/// Keys are in the order of (distance, number). The distance is not NaN.
inline std::uint64_t distance_key(float distance, std::uint32_t number) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(distance);
  const std::uint32_t ordered = bits ^ ((bits >> 31) != 0 ? 0xFFFFFFFFU : 0x80000000U);
  return std::uint64_t{ordered} << 32 | number;
}

inline float key_distance(std::uint64_t key) noexcept {
  const auto ordered = static_cast<std::uint32_t>(key >> 32);
  return std::bit_cast<float>(ordered ^ ((ordered >> 31) != 0 ? 0x80000000U : 0xFFFFFFFFU));
}

inline std::uint32_t key_number(std::uint64_t key) noexcept { return static_cast<std::uint32_t>(key); }

/// Moves the `most` smallest to the front, sorted. most <= keys.size().
inline void sort_smallest(std::span<std::uint64_t> keys, std::size_t most) {
  const auto end = keys.begin() + static_cast<std::ptrdiff_t>(most);
  if (most < keys.size()) std::nth_element(keys.begin(), end, keys.end());
  std::sort(keys.begin(), end);
}

}  // namespace annulus
