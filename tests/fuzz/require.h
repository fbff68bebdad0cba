// An assertion in every build type, that a fuzzer takes for a crash.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace annulus::fuzz {

inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz target: %s\n", what);
  std::abort();
}

}  // namespace annulus::fuzz
