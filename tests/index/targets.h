// Each instruction set that kernels are compiled for, forced one by one.
#pragma once

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace annulus::testing {

/// Makes `target` the only one, as if the processor had no other.
inline void force_target(std::int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(target);
}

inline void force_nothing() {
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

/// The instruction sets of this processor for which the kernels that `name_in_use` speaks of are compiled, the plain fallback
/// included.
inline std::vector<std::pair<std::string, std::int64_t>> targets(const char* (*name_in_use)() noexcept) {
  std::vector<std::pair<std::string, std::int64_t>> found;
  std::optional<std::int64_t> fallback;
  for (std::int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
    const std::int64_t target = left & -left;
    force_target(target);
    if (std::string(name_in_use()) == hwy::TargetName(target)) {
      found.emplace_back(name_in_use(), target);
    } else {
      fallback = target;  // the kernels are not compiled for it
    }
  }
  if (fallback) {
    force_target(*fallback);
    const bool known = std::any_of(found.begin(), found.end(), [&](const auto& each) { return each.first == name_in_use(); });
    if (!known) found.emplace_back(name_in_use(), *fallback);
  }
  force_nothing();
  return found;
}

}  // namespace annulus::testing
