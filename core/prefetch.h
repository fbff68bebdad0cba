// Asking for memory before it is read.
#pragma once

namespace annulus {

// GCC takes a function that does nothing but prefetch for one without effects, and leaves out its calls: the empty statement that
// must be kept prevents that, and costs nothing.

/// Asks for the cache line at `address`, which may be any.
inline void prefetch(const void* address) noexcept {
  __builtin_prefetch(address);
  asm volatile("");
}

/// The same into the second cache: the first has too few misses under way at once for whole lists.
inline void prefetch_far(const void* address) noexcept {
  __builtin_prefetch(address, 0, 2);
  asm volatile("");
}

}  // namespace annulus
