// Makes the main thread OpenMP's first, for tests under ThreadSanitizer. With a tool (Archer) loaded, libomp 14 reads the
// state of its first thread whenever any thread leaves a critical section, and crashes if that thread has ended.
#include <omp.h>

namespace {
[[maybe_unused]] const int kMainThreadIsFirst = omp_get_max_threads();
}
