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
// Ids that are looked at meanwhile.
constexpr std::size_t kLookBlock = 4096;

}  // namespace

LiveIndex::LiveIndex(VectorIndex index, FifoMutex& writes, FairSharedMutex& rows)
    : current_(std::move(index)), writes_(writes), rows_(rows) {}

LiveIndex::Staged LiveIndex::stage(std::span<const VectorId> ids, const MatrixView& vectors) {
  Staged staged;
  staged.current = current_.stage(ids, vectors, alone());
  if (!next_) return staged;
  try {
    staged.next = next_->stage(ids, vectors, alone_for_next());
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

WhileAlone LiveIndex::alone_for_next() {
  if (next_shares_) return alone();
  return [](const std::function<void()>& step) { step(); };
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

void LiveIndex::rebuild(VectorIndex next, bool shares) {
  static std::mutex turns;  // of the process: no two indexes are there twice at a time
  const std::lock_guard turn(turns);
  VectorId end = 0;  // what is written from now on is written to both
  {
    std::lock_guard writing(writes_);
    end = current_.ids_end();
    next_.emplace(std::move(next));
    next_shares_ = shares;
  }
  try {
    // in the order of ids: where they are dense from the first block on, they take less memory
    for (VectorId begin = 0; begin < end;) {
      std::lock_guard writing(writes_);
      begin = copy_block(begin, end);
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

// Copies, from `begin` on, a block of what is still there and what no write has brought meanwhile; returns where the next begins.
VectorId LiveIndex::copy_block(VectorId begin, VectorId end) {
  std::vector<VectorId> missing;
  VectorId id = begin;
  for (; id < end && id - begin < kLookBlock && missing.size() < kCopyBlock; ++id) {
    if (current_.contains(id) && !next_->contains(id)) missing.push_back(id);
  }
  if (missing.empty()) return id;
  const std::size_t d = current_.spec().dimension;
  Matrix vectors(static_cast<Eigen::Index>(missing.size()), static_cast<Eigen::Index>(d));
  for (std::size_t i = 0; i < missing.size(); ++i) {
    current_.reconstruct(missing[i], std::span(vectors.row(static_cast<Eigen::Index>(i)).data(), d));
  }
  StagedRows staged = next_->stage(missing, vectors, alone_for_next());
  next_->commit(staged, staged.left());
  next_bytes_.store(next_->memory_bytes(), std::memory_order_relaxed);
  return id;
}

std::size_t LiveIndex::memory_bytes() const noexcept {
  return current_.memory_bytes() + next_bytes_.load(std::memory_order_relaxed);
}

}  // namespace annulus
