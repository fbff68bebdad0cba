// Memory that a block has room for and does not use yet.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace annulus {

/// Gives the whole pages of `bytes` bytes at `data` back to the system: they are zero, or anything else, when they are next read.
/// A block that has just been allocated may be made of pages that somebody used before: after this, only what is written to it
/// takes memory. Not worth a call for a few pages.
inline void give_back_pages(void* data, std::size_t bytes) noexcept {
  constexpr std::size_t kPage = 4096;
  constexpr std::size_t kLeast = 16 * kPage;
  const auto begin = (reinterpret_cast<std::uintptr_t>(data) + kPage - 1) / kPage * kPage;
  const auto end = (reinterpret_cast<std::uintptr_t>(data) + bytes) / kPage * kPage;
  if (begin + kLeast <= end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace annulus
