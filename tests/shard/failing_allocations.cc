#include "tests/shard/failing_allocations.h"

#include <cstdlib>
#include <new>

namespace annulus::testing {

thread_local long allocations_left = -1;
thread_local long allocations_made = 0;

}  // namespace annulus::testing

namespace {

void count_allocation() {
  ++annulus::testing::allocations_made;
  long& left = annulus::testing::allocations_left;
  if (left >= 0 && left-- == 0) throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) {
  count_allocation();
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  count_allocation();
  const auto align = static_cast<std::size_t>(alignment);
  void* memory = std::aligned_alloc(align, (size + align - 1) / align * align);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
