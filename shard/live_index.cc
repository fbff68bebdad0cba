#include "shard/live_index.h"

#include <algorithm>
#include <cassert>
#include <mutex>
#include <utility>
#include <vector>

namespace annulus {
namespace {

// Vectors that are copied while other writes wait.
constexpr std::size_t kCopyBlock = 256;

void at_once(const std::function<void()>& step) { step(); }

}  // namespace

LiveIndex::LiveIndex(VectorIndex index, FifoMutex& writes, FairSharedMutex& rows)
    : current_(std::move(index)), writes_(writes), rows_(rows) {}

LiveIndex::Staged LiveIndex::stage(std::span<const VectorId> ids, const MatrixView& vectors) {
  Staged staged;
  staged.current = current_.stage(ids, vectors, alone());
  if (!next_) return staged;
  try {
    staged.next = next_->stage(ids, vectors, at_once);
  } catch (...) {
    std::unique_lock lock(rows_);
    current_.abandon(staged.current);
    throw;
  }
  return staged;
}

LiveIndex::Staged LiveIndex::stage_codes(std::span<const VectorId> ids, std::span<const std::uint8_t> codes) {
  assert(!next_);
  return {.current = current_.stage_codes(ids, codes, alone()), .next = {}};
}

bool LiveIndex::takes_codes(std::uint64_t codec) const noexcept { return codec != 0 && !next_ && code_fingerprint() == codec; }

std::uint64_t LiveIndex::code_fingerprint() const noexcept {
  return current_.code_bytes() == 0 ? 0 : current_.codec()->fingerprint();
}

WhileAlone LiveIndex::alone() {
  return [this](const std::function<void()>& step) {
    std::unique_lock lock(rows_);
    step();
  };
}

void LiveIndex::commit(Staged& staged, std::size_t count) {
  if (next_ && staged.next.left() != 0) next_->commit(staged.next, count);
  current_.commit(staged.current, count);
}

void LiveIndex::abandon(Staged& staged) noexcept {
  current_.abandon(staged.current);
  if (next_) next_->abandon(staged.next);
}

std::size_t LiveIndex::erase(std::span<const VectorId> ids) {
  if (next_) next_->erase(ids);
  return current_.erase(ids);
}

void LiveIndex::rebuild(VectorIndex next) {
  std::vector<VectorId> ids;
  {
    std::lock_guard writing(writes_);
    ids.resize(current_.size());
    current_.ids(ids);
    std::sort(ids.begin(), ids.end());  // dense ids from the first block on take less memory
    next_.emplace(std::move(next));
  }
  try {
    for (std::size_t begin = 0; begin < ids.size(); begin += kCopyBlock) {
      std::lock_guard writing(writes_);
      copy_block(std::span(ids).subspan(begin, std::min(kCopyBlock, ids.size() - begin)));
    }
  } catch (...) {
    std::lock_guard writing(writes_);
    next_.reset();
    next_bytes_ = 0;
    throw;
  }
  std::optional<VectorIndex> former;  // destroyed when the locks are free
  std::lock_guard writing(writes_);
  std::unique_lock lock(rows_);
  former.emplace(std::exchange(current_, std::move(*next_)));
  next_.reset();
  next_bytes_ = 0;
  lock.unlock();
}

// Copies what is still there and what no write has brought meanwhile.
void LiveIndex::copy_block(std::span<const VectorId> ids) {
  std::vector<VectorId> missing;
  for (const VectorId id : ids) {
    if (current_.contains(id) && !next_->contains(id)) missing.push_back(id);
  }
  if (missing.empty()) return;
  const std::size_t d = current_.spec().dimension;
  Matrix vectors(static_cast<Eigen::Index>(missing.size()), static_cast<Eigen::Index>(d));
  for (std::size_t i = 0; i < missing.size(); ++i) {
    current_.reconstruct(missing[i], std::span(vectors.row(static_cast<Eigen::Index>(i)).data(), d));
  }
  next_->upsert(missing, vectors);
  next_bytes_.store(next_->memory_bytes(), std::memory_order_relaxed);
}

std::size_t LiveIndex::memory_bytes() const noexcept {
  return current_.memory_bytes() + next_bytes_.load(std::memory_order_relaxed);
}

}  // namespace annulus
