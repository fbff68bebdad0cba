// Counts allocations, and lets one of this thread's fail. An executable with this in it has another operator new, and malloc.
#pragma once

#include <atomic>

namespace annulus::testing {

/// Allocations by operator new that still succeed in this thread before one fails; negative: none fails.
extern thread_local long allocations_left;

/// Allocations of all threads: of every library's, by malloc and what calls it; under a sanitizer, by operator new alone.
extern std::atomic<long> allocations_made;

}  // namespace annulus::testing
