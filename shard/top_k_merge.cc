#include "shard/top_k_merge.h"

#include <algorithm>
#include <bit>

#include "ring/token.h"

namespace annulus {

bool TopKMerge::merge(std::span<const CandidateLists> lists, std::size_t query, std::size_t asked, std::size_t k, KeyKind kind,
                      std::vector<MergedHit>& hits, const MergeBound& bound) {
  const auto nearer = [kind](const MergedHit& a, const MergedHit& b) {
    return a.distance != b.distance ? a.distance < b.distance : compare_keys(a.key, b.key, kind) < 0;
  };
  hits.clear();
  std::size_t total = 0;
  for (const CandidateLists& list : lists) total += list.of(query).size();
  const std::size_t mask = std::bit_ceil(2 * total + 1) - 1;
  table_.assign(mask + 1, 0);
  bool superseded = false;
  bool repeated = false;
  for (std::uint32_t number = 0; number < lists.size(); ++number) {
    const CandidateLists& list = lists[number];
    for (const CandidateLists::Entry& entry : list.of(query)) {
      if (entry.distance > bound.distance) break;
      const MergedHit hit{list.key(entry), entry.version, entry.distance, number, entry.handle};
      std::size_t bucket = token_of_key(hit.key) & mask;
      while (table_[bucket] != 0 && hits[table_[bucket] - 1].key != hit.key) bucket = (bucket + 1) & mask;
      if (table_[bucket] == 0) {
        hits.push_back(hit);
        table_[bucket] = static_cast<std::uint32_t>(hits.size());
        continue;
      }
      repeated = true;
      MergedHit& known = hits[table_[bucket] - 1];
      superseded |= known.version != hit.version;
      if (known.version < hit.version) known = hit;
    }
  }
  const std::size_t kept = std::min(k, hits.size());
  std::partial_sort(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(kept), hits.end(), nearer);
  hits.resize(kept);
  if (kept < k && bound.distance < std::numeric_limits<float>::infinity()) return false;
  if (superseded || (repeated && bound.merged)) {
    // A list under a shared bound may lack any row: the bound was that of rows which have fallen now.
    const bool bounded = bound.distance < std::numeric_limits<float>::infinity() ||
                         std::ranges::any_of(lists, [](const CandidateLists& list) { return list.bounded; });
    if (bounded) return false;
  }
  if (!superseded && asked >= k) return true;
  // Every row that a cut list did not return is farther than the list's last entry. The answer is whole if it ends before.
  return std::none_of(lists.begin(), lists.end(), [&](const CandidateLists& list) {
    if (!list.cut(query, asked)) return false;
    const CandidateLists::Entry& last = list.of(query).back();
    const MergedHit end{list.key(last), last.version, last.distance, 0, 0};
    return kept < k || nearer(end, hits.back());
  });
}

}  // namespace annulus
