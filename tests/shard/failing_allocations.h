// Counts this thread's allocations, and lets one fail. An executable with this in it has another operator new.
#pragma once

namespace annulus::testing {

/// Allocations by operator new that still succeed in this thread before one fails; negative: none fails.
extern thread_local long allocations_left;

/// Allocations by operator new that this thread has made.
extern thread_local long allocations_made;

}  // namespace annulus::testing
