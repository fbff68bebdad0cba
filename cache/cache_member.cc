#include "cache/cache_member.h"

namespace annulus::internal {

bool CacheMember::recover(std::unique_lock<FifoMutex> lock) noexcept {
  if (!lock.owns_lock()) return false;
  while (is_behind()) {
    const std::uint64_t missed = missed_.load(std::memory_order_seq_cst);
    try {
      node_->invalidate();
    } catch (...) {  // still out of reach: the node says why in its stats
      return false;
    }
    answered_.store(missed, std::memory_order_seq_cst);
  }
  return true;
}

}  // namespace annulus::internal
