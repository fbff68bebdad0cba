// Internal: growing an array that searches are reading.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "index/aligned_buffer.h"
#include "index/vector_index.h"

namespace annulus {

/// The capacity for an array that must hold `needed` elements and holds `capacity`: half as much again at least.
inline std::size_t grown_capacity(std::size_t needed, std::size_t capacity) noexcept {
  return std::max(needed, capacity + capacity / 2);
}

/// Makes room for `needed` elements in `array`, whose elements stay where they are until the grown copy takes their place under
/// `alone`. The caller is the only one who changes the array. Throws std::bad_alloc before anything changes.
template <class T>
void grow_aside(std::vector<T>& array, std::size_t needed, const WhileAlone& alone) {
  if (needed <= array.capacity()) return;
  std::vector<T> grown;
  grown.reserve(grown_capacity(needed, array.capacity()));
  give_back_pages(grown.data(), grown.capacity() * sizeof(T));
  advise_huge_pages(grown.data(), 0, array.size() * sizeof(T));
  grown.assign(array.begin(), array.end());
  alone([&] { array.swap(grown); });
}

/// Asks for huge pages behind what was appended since the array had `before` elements.
template <class T>
void advise_appended(std::vector<T>& array, std::size_t before) noexcept {
  advise_huge_pages(array.data(), before * sizeof(T), array.size() * sizeof(T));
}

}  // namespace annulus
