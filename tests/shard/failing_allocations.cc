#include "tests/shard/failing_allocations.h"

#include <cstdlib>
#include <new>

namespace annulus::testing {

thread_local long allocations_left = -1;

}  // namespace annulus::testing

void* operator new(std::size_t size) {
  long& left = annulus::testing::allocations_left;
  if (left >= 0 && left-- == 0) throw std::bad_alloc();
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
