// Internal: a fixed block of memory for codes: aligned to cache lines, in huge pages where it is large.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

#include "core/pages.h"

namespace annulus {

/// Asks for huge pages behind bytes [begin, end) of a block at `data`: codes are read at random, and each would cost an entry of
/// the TLB. For bytes that are written, or about to be: the first that is written takes the whole page. Begins at the page that
/// holds `begin`, so that an array which grows may ask for what it has just filled.
inline void advise_huge_pages(void* data, std::size_t begin, std::size_t end) noexcept {
  constexpr std::size_t kHuge = std::size_t{2} << 20;
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const auto first = std::max((address + kHuge - 1) / kHuge, (address + begin) / kHuge) * kHuge;
  const auto last = (address + end) / kHuge * kHuge;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

/// `size` elements of T, aligned to 64 bytes, not initialised. Memory that is never touched is address space alone.
template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  AlignedBuffer() = default;

  /// Of which the first `soon` are written before long. Throws std::bad_alloc.
  AlignedBuffer(std::size_t size, std::size_t soon) : size_(size) {
    if (size == 0) return;
    const std::size_t bytes = (size * sizeof(T) + kLine - 1) / kLine * kLine;
    data_.reset(static_cast<T*>(::operator new (bytes, std::align_val_t{kLine})));
    give_back_pages(data_.get(), bytes);
    advise_huge_pages(data_.get(), 0, soon * sizeof(T));
  }
  explicit AlignedBuffer(std::size_t size) : AlignedBuffer(size, size) {}

  /// Elements [begin, end) have been written, beyond those that were announced.
  void advise(std::size_t begin, std::size_t end) noexcept {
    advise_huge_pages(data_.get(), begin * sizeof(T), end * sizeof(T));
  }

  T* data() noexcept { return data_.get(); }
  const T* data() const noexcept { return data_.get(); }
  std::size_t size() const noexcept { return size_; }

 private:
  static constexpr std::size_t kLine = 64;

  struct Free {
    void operator()(T* data) const noexcept { ::operator delete (data, std::align_val_t{kLine}); }
  };
  std::unique_ptr<T[], Free> data_;
  std::size_t size_ = 0;
};

}  // namespace annulus
