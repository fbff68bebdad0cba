#include "shard/grouped_index.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <mutex>
#include <shared_mutex>

#include "core/error.h"

namespace annulus {
namespace {

// What a group begins with: an index that needs a codec is a flat one until it has one.
VectorIndex first_index(const IndexSpec& spec) {
  IndexSpec first = spec;
  if (needs_training(spec)) first.factory = "Flat";
  return VectorIndex(first);
}

MatrixView part(const MatrixView& vectors, std::size_t begin, std::size_t count) {
  return vectors.middleRows(static_cast<Eigen::Index>(begin), static_cast<Eigen::Index>(count));
}

// One index's answers; its bounds are shared only if it may return as many as are asked: a shorter list lets none fall.
void search(const VectorIndex& index, const QueryBatch& batch, std::size_t k, const Filter* filter, const TieOrder* order,
            std::span<SharedBound> bounds, GroupedIndex::Found& found, SearchWork& work) {
  found.stride = std::min(k, index.size());
  found.rows.resize(batch.size() * found.stride);
  found.counts.assign(batch.size(), 0);
  found.bounded = false;
  if (found.stride == 0) return;
  if (found.stride < k) bounds = {};
  index.candidates(batch, found.stride, filter, order, bounds, found.rows, found.counts, &work);
  found.bounded = !bounds.empty();
}

}  // namespace

GroupedIndex::GroupedIndex(const IndexSpec& spec, FifoMutex& writes, FairSharedMutex& rows)
    : writes_(writes), rows_(rows), primary_(first_index(spec), writes, rows) {
  if (parse_spec(spec).family != IndexFamily::kHnsw) secondary_.emplace(first_index(spec), writes, rows);
}

// `stage(group, begin, count)` stages a part in a group.
template <typename Stage>
GroupedIndex::Staged GroupedIndex::stage_groups(std::size_t count, std::size_t primaries, Stage&& stage) {
  Staged staged;
  if (primaries > 0) staged.primary = stage(primary_, std::size_t{0}, primaries);
  if (primaries == count) return staged;
  try {
    staged.secondary = stage(*secondary_, primaries, count - primaries);
  } catch (...) {
    std::unique_lock lock(rows_);
    primary_.abandon(staged.primary);
    throw;
  }
  return staged;
}

GroupedIndex::Staged GroupedIndex::stage(std::span<const VectorId> ids, const MatrixView& vectors, std::size_t primaries) {
  return stage_groups(ids.size(), primaries, [&](LiveIndex& group, std::size_t begin, std::size_t count) {
    return group.stage(ids.subspan(begin, count), part(vectors, begin, count));
  });
}

GroupedIndex::Staged GroupedIndex::stage_codes(std::span<const VectorId> ids, std::span<const std::uint8_t> codes,
                                               std::size_t primaries) {
  const std::size_t bytes = code_bytes();
  return stage_groups(ids.size(), primaries, [&](LiveIndex& group, std::size_t begin, std::size_t count) {
    return group.stage_codes(ids.subspan(begin, count), codes.subspan(begin * bytes, count * bytes));
  });
}

void GroupedIndex::commit(Staged& staged, std::size_t count) {
  const std::size_t primaries = std::min(count, staged.primary.current.left());
  if (primaries > 0) primary_.commit(staged.primary, primaries);
  if (count > primaries) secondary_->commit(staged.secondary, count - primaries);
}

void GroupedIndex::abandon(Staged& staged) noexcept {
  primary_.abandon(staged.primary);
  if (secondary_) secondary_->abandon(staged.secondary);
}

std::size_t GroupedIndex::erase(std::span<const VectorId> ids) {
  return primary_.erase(ids) + (secondary_ ? secondary_->erase(ids) : 0);
}

bool GroupedIndex::holds_elsewhere(VectorId id, RowGroup to) const noexcept {
  return (to == RowGroup::kPrimary ? *secondary_ : primary_).current().contains(id);
}

void GroupedIndex::move(std::span<const VectorId> ids, RowGroup to, std::size_t most) {
  if (!secondary_) return;
  LiveIndex& target = to == RowGroup::kPrimary ? primary_ : *secondary_;
  LiveIndex& source = to == RowGroup::kPrimary ? *secondary_ : primary_;
  std::vector<VectorId> moving;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(moving), [&](VectorId id) { return holds_elsewhere(id, to); });
  if (moving.empty()) return;
  Matrix vectors;
  LiveIndex::Staged staged = stage_copies(moving, source, target, vectors);
  for (std::size_t begin = 0; begin < moving.size(); begin += most) {
    const std::size_t count = std::min(most, moving.size() - begin);
    std::unique_lock lock(rows_);
    try {
      target.commit(staged, count);
    } catch (...) {  // of lists, none does
      target.abandon(staged);
      target.erase(std::span(moving).subspan(begin, count));
      throw;
    }
    source.erase(std::span(moving).subspan(begin, count));
  }
}

// As codes where that can be, so that nothing is assigned to a list again and nothing is lost. `vectors` must outlive what is
// staged.
LiveIndex::Staged GroupedIndex::stage_copies(std::span<const VectorId> ids, const LiveIndex& source, LiveIndex& target,
                                             Matrix& vectors) const {
  if (target.takes_codes(source.code_fingerprint())) {
    const std::size_t bytes = source.current().code_bytes();
    std::vector<std::uint8_t> codes(ids.size() * bytes);
    for (std::size_t i = 0; i < ids.size(); ++i) source.current().read_code(ids[i], std::span(codes).subspan(i * bytes, bytes));
    return target.stage_codes(ids, codes);
  }
  const std::size_t d = source.current().spec().dimension;
  vectors.resize(static_cast<Eigen::Index>(ids.size()), static_cast<Eigen::Index>(d));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    source.current().reconstruct(ids[i], std::span(vectors.row(static_cast<Eigen::Index>(i)).data(), d));
  }
  return target.stage(ids, vectors);
}

bool GroupedIndex::takes_codes(std::uint64_t codec) const noexcept {
  return primary_.takes_codes(codec) && (!secondary_ || secondary_->takes_codes(codec));
}

std::uint64_t GroupedIndex::code_fingerprint() const noexcept {
  const std::uint64_t codec = primary_.code_fingerprint();
  return !secondary_ || secondary_->code_fingerprint() == codec ? codec : 0;
}

bool GroupedIndex::read_code(VectorId id, std::span<std::uint8_t> out) const {
  return primary_.current().read_code(id, out) || (secondary_ && secondary_->current().read_code(id, out));
}

std::size_t GroupedIndex::size() const noexcept {
  return primary_.current().size() + (secondary_ ? secondary_->current().size() : 0);
}

bool GroupedIndex::reconstruct(VectorId id, std::span<float> out) const {
  return primary_.current().reconstruct(id, out) || (secondary_ && secondary_->current().reconstruct(id, out));
}

void GroupedIndex::distances(const MatrixView& queries, std::span<const Pair> pairs, std::span<float> out) const {
  primary_.current().distances(queries, pairs, out);
  if (!secondary_) return;
  thread_local std::vector<Pair> others;
  thread_local std::vector<float> theirs;
  others.clear();
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (std::isinf(out[i])) others.push_back(pairs[i]);
  }
  if (others.empty()) return;
  theirs.resize(others.size());
  secondary_->current().distances(queries, others, theirs);
  std::size_t next = 0;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (!std::isinf(out[i])) continue;
    if (secondary_->current().contains(pairs[i].id)) out[i] = theirs[next];
    ++next;
  }
}

void GroupedIndex::candidates(const QueryBatch& batch, std::size_t k, RowGroups groups, const Filter* filter, const TieOrder* order,
                              std::span<SharedBound> bounds, Found& found, SearchWork& work) const {
  search(primary_.current(), batch, k, filter, order, bounds, found, work);
  if (groups == RowGroups::kPrimary || !secondary_ || secondary_->current().size() == 0) return;
  thread_local Found primary, secondary;
  std::swap(primary, found);
  search(secondary_->current(), batch, k, filter, order, bounds, secondary, work);
  const auto nearer = [order](const Candidate& a, const Candidate& b) {
    if (a.distance != b.distance) return a.distance < b.distance;
    return order != nullptr ? order->less(a.id, b.id) : a.id < b.id;
  };
  found.stride = std::min(k, primary.stride + secondary.stride);
  found.rows.resize(batch.size() * found.stride);
  found.counts.resize(batch.size());
  found.bounded = primary.bounded || secondary.bounded;
  for (std::size_t query = 0; query < batch.size(); ++query) {
    auto left = primary.of(query);
    auto right = secondary.of(query);
    found.counts[query] = std::min(k, left.size() + right.size());
    for (std::size_t i = 0; i < found.counts[query]; ++i) {
      auto& next = right.empty() || (!left.empty() && nearer(left.front(), right.front())) ? left : right;
      found.rows[query * found.stride + i] = next.front();
      next = next.subspan(1);
    }
  }
}

bool GroupedIndex::candidates_are_exact() const noexcept {
  return primary_.current().candidates_are_exact() && (!secondary_ || secondary_->current().candidates_are_exact());
}

bool GroupedIndex::lossless() const noexcept {
  return primary_.current().lossless() && (!secondary_ || secondary_->current().lossless());
}

std::size_t GroupedIndex::dead_rows() const noexcept {
  return primary_.current().dead_rows() + (secondary_ ? secondary_->current().dead_rows() : 0);
}

std::size_t GroupedIndex::memory_bytes() const noexcept {
  return primary_.memory_bytes() + (secondary_ ? secondary_->memory_bytes() : 0);
}

VectorIndex GroupedIndex::trained(const IndexSpec& spec, const std::shared_ptr<const Codec>& codec,
                                 const std::shared_ptr<RowHomes>& homes, std::size_t number) {
  VectorIndex index(spec);
  index.attach_codec(codec, homes, number);
  return index;
}

void GroupedIndex::attach_codec(const IndexSpec& spec, const std::shared_ptr<const Codec>& codec, const std::string& shard) {
  VectorIndex(spec).attach_codec(codec);  // throws if it cannot be
  const auto held_by = [&](const LiveIndex& group) {
    const auto& held = group.current().codec();
    return held == nullptr ? std::uint64_t{0} : held->fingerprint();
  };
  std::uint64_t primary = 0;
  std::uint64_t secondary = codec->fingerprint();
  std::size_t rows = 0;
  {
    std::shared_lock lock(rows_);
    rows = size();
    primary = held_by(primary_);
    if (secondary_) secondary = held_by(*secondary_);
  }
  const auto is_another = [&](std::uint64_t held) { return held != 0 && held != codec->fingerprint(); };
  if (is_another(primary) || is_another(secondary)) return exchange_codec(spec, codec, shard);
  if (primary == 0) {
    auto homes = homes_for_two(rows);
    primary_.rebuild(trained(spec, codec, homes, 0));
    homes_ = std::move(homes);
  }
  // one that could not be built before joins the primary one, which could
  if (secondary == 0) {
    std::unique_lock writing(writes_);
    VectorIndex index = trained(spec, codec, homes_, 1);
    writing.unlock();
    secondary_->rebuild(std::move(index), true);
  }
  std::lock_guard writing(writes_);
  if (homes_ != nullptr) expect_no_more(*homes_);
}

/// In the place of another: of an empty shard, both groups at once.
void GroupedIndex::exchange_codec(const IndexSpec& spec, const std::shared_ptr<const Codec>& codec, const std::string& shard) {
  auto homes = homes_for_two(0);
  VectorIndex primary = trained(spec, codec, homes, 0);
  std::optional<VectorIndex> secondary;
  if (secondary_) secondary.emplace(trained(spec, codec, homes, 1));
  std::lock_guard writing(writes_);  // the former ones are destroyed when the locks are free
  if (size() != 0) {
    throw Error(ErrorCode::kFailedPrecondition,
                "shard '" + shard + "' holds " + std::to_string(size()) +
                    " vectors in codes of another codec; attach a codec to a shard that has none");
  }
  std::unique_lock lock(rows_);
  primary_.exchange(primary);
  if (secondary_) secondary_->exchange(*secondary);
  homes_ = std::move(homes);
}

bool GroupedIndex::compaction_due(double fraction, std::size_t rows) const noexcept {
  const VectorIndex& index = primary_.current();
  return index.dead_rows() >= rows && index.dead_fraction() >= fraction;
}

void GroupedIndex::compact(double fraction, std::size_t rows) {
  std::shared_lock lock(rows_);
  if (!compaction_due(fraction, rows)) return;
  VectorIndex compacted(primary_.current().spec(), primary_.current().codec());
  lock.unlock();
  primary_.rebuild(std::move(compacted));
}

}  // namespace annulus
