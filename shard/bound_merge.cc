#include "shard/bound_merge.h"

#include <cmath>

namespace annulus {

std::size_t most_in_a_share(std::size_t wanted, double share) {
  const double mean = static_cast<double>(wanted) * share;
  const double most = std::ceil(mean + 4.5 * std::sqrt(mean * (1 - share)) + 2);
  return most < static_cast<double>(wanted) ? static_cast<std::size_t>(most) : wanted;
}

void merge_distances(std::span<const CandidateLists::Entry> found, std::size_t wanted, std::vector<float>& nearest) {
  std::size_t from = found.size();
  if (nearest.size() == wanted) {
    while (from > 0 && found[from - 1].distance >= nearest.back()) --from;
  }
  std::size_t known = nearest.size();
  nearest.resize(known + from);
  for (float* to = nearest.data() + nearest.size(); known > 0 && from > 0;) {
    // no branch: nothing would foretell it
    const bool takes_known = nearest[known - 1] > found[from - 1].distance;
    *--to = takes_known ? nearest[known - 1] : found[from - 1].distance;
    known -= static_cast<std::size_t>(takes_known);
    from -= static_cast<std::size_t>(!takes_known);
  }
  while (from > 0) {
    --from;
    nearest[from] = found[from].distance;
  }
  if (nearest.size() > wanted) nearest.resize(wanted);
}

}  // namespace annulus
