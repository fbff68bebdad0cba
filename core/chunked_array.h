// An array that grows without moving its elements.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <type_traits>

#include "core/pages.h"

namespace annulus {

/// Where elements are in chunks of first, first, 2 first, 4 first, ... of them; `first` is a power of two.
struct ChunkLayout {
  std::size_t first;

  static constexpr std::size_t kMostChunks = 40;  // more elements than memory

  constexpr std::size_t chunk_of(std::size_t i) const noexcept { return static_cast<std::size_t>(std::bit_width(i / first)); }
  constexpr std::size_t offset_of(std::size_t i) const noexcept { return i < first ? i : i - std::bit_floor(i); }
  /// Of so many chunks together.
  constexpr std::size_t capacity(std::size_t chunks) const noexcept { return chunks == 0 ? 0 : first << (chunks - 1); }
  /// Of one chunk.
  constexpr std::size_t size_of(std::size_t chunk) const noexcept { return chunk == 0 ? first : capacity(chunk); }
};

/// Elements in chunks of kFirst, kFirst, 2 kFirst, 4 kFirst, ...: to grow is to allocate a chunk, which touches no memory, and an
/// element stays where it is until it is popped. Access costs a shift and two loads.
///
/// Thread safety: one writer; operator[] const may run beside it for elements that were published to the reader (by a release and
/// an acquire of their number, or under a lock). All else is the writer's.  A moved-from array may only be destroyed or assigned
/// to.
template <typename T>
class ChunkedArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_default_constructible_v<T>);

 public:
  static constexpr std::size_t kFirst = 1024;

  std::size_t size() const noexcept { return size_; }
  std::size_t capacity() const noexcept { return kLayout.capacity(chunks_); }

  T& operator[](std::size_t i) noexcept { return chunk_[kLayout.chunk_of(i)][kLayout.offset_of(i)]; }
  const T& operator[](std::size_t i) const noexcept { return chunk_[kLayout.chunk_of(i)][kLayout.offset_of(i)]; }
  T& back() noexcept { return (*this)[size_ - 1]; }

  /// Makes room for `count` elements in all: growing to that size cannot throw. If it throws, nothing has changed.
  void reserve(std::size_t count) {
    while (capacity() < count) {
      const std::size_t size = kLayout.size_of(chunks_);
      chunk_[chunks_] = std::make_unique_for_overwrite<T[]>(size);
      give_back_pages(chunk_[chunks_].get(), size * sizeof(T));
      ++chunks_;
    }
  }
  void push_back(const T& value) {
    const T copy = value;
    reserve(size_ + 1);
    (*this)[size_] = copy;
    set_size(size_ + 1);
  }
  void pop_back() noexcept { --size_; }
  /// Grows with copies of `value`, or shrinks.
  void resize(std::size_t size, T value) {
    reserve(size);
    for (std::size_t i = size_; i < size; ++i) (*this)[i] = value;
    set_size(size);
  }

  /// Growing in two steps: all the work, beside readers of what is there; then the change of size, in O(1).
  void prepare(std::size_t size, T value) {
    reserve(size);
    for (std::size_t i = size_; i < size; ++i) (*this)[i] = value;
  }
  void grow_to_prepared(std::size_t size) noexcept { set_size(size); }

  /// Bytes that were ever written to: what was not is no memory of the process yet.
  std::size_t memory_bytes() const noexcept { return touched_ * sizeof(T); }

 private:
  static constexpr ChunkLayout kLayout{kFirst};

  void set_size(std::size_t size) noexcept {
    size_ = size;
    touched_ = std::max(touched_, size);
  }

  std::array<std::unique_ptr<T[]>, ChunkLayout::kMostChunks> chunk_;
  std::size_t chunks_ = 0;
  std::size_t size_ = 0;
  std::size_t touched_ = 0;
};

}  // namespace annulus
