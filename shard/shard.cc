#include "shard/shard.h"

namespace annulus {

void CandidateLists::reset(std::size_t queries) {
  entries_.clear();
  starts_.clear();
  starts_.reserve(queries);
  keys_.clear();
  distances = 0;
  bounded = false;
}

void CandidateLists::append(KeyView key, const Version& version, float distance, std::uint64_t handle) {
  entries_.push_back({distance, version, static_cast<std::uint32_t>(key.size()), keys_.size(), handle});
  keys_.append(key);
}

std::span<const CandidateLists::Entry> CandidateLists::of(std::size_t query) const noexcept {
  const std::size_t end = query + 1 < starts_.size() ? starts_[query + 1] : entries_.size();
  return std::span(entries_).subspan(starts_[query], end - starts_[query]);
}

void Shard::candidates(const MatrixView& queries, std::size_t k, const SearchParams& params, const KeyFilter* filter,
                       CandidateLists& out) const {
  const QueryBatch batch(spec(), queries, params);
  candidates({.queries = batch, .k = k, .filter = filter}, out);
}

bool Shard::contains(KeyView key) const {
  const HeldRecord held = get(key, {});
  return held.found && !held.deleted;
}

}  // namespace annulus
