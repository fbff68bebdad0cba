// Internal: a shard's index, which can be built anew beside searches and writes.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "core/fair_shared_mutex.h"
#include "core/fifo_mutex.h"
#include "index/vector_index.h"

namespace annulus {

/// A VectorIndex, and now and then the one that will take its place: a compacted one, or one of another kind. While the next one
/// is built, block by block, searches ask the current one alone and writes go to both, so that at the end they hold the same.
///
/// The caller's two locks: whoever writes (stage, commit, abandon, erase) holds `writes`; whoever commits, abandons or erases also
/// holds `rows` exclusively; all other calls need `rows` shared, or `writes`.
class LiveIndex {
 public:
  LiveIndex(VectorIndex index, FifoMutex& writes, FairSharedMutex& rows);
  LiveIndex(const LiveIndex&) = delete;
  LiveIndex& operator=(const LiveIndex&) = delete;

  /// The index that answers.
  const VectorIndex& current() const noexcept { return current_; }

  /// Vectors on their way into one index or two.
  struct Staged {
    StagedRows current;
    StagedRows next;
  };

  /// As VectorIndex's. The steps that need it take `rows` exclusively. What stage throws leaves the current index as it was.
  Staged stage(std::span<const VectorId> ids, const MatrixView& vectors);
  /// As VectorIndex's; the caller has seen `takes_codes`.
  Staged stage_codes(std::span<const VectorId> ids, std::span<const std::uint8_t> codes);
  void commit(Staged& staged, std::size_t count);
  void abandon(Staged& staged) noexcept;
  std::size_t erase(std::span<const VectorId> ids);

  /// Whether rows can be written as codes of `codec`, another fingerprint or a null one being none. The caller holds `writes`.
  bool takes_codes(std::uint64_t codec) const noexcept;
  /// Fingerprint of the codec in whose codes the rows are held; 0 if they are not held in codes that could be moved.
  std::uint64_t code_fingerprint() const noexcept;

  /// Puts `next`, which is empty, in the current one's place when it holds the same vectors. O(greatest id). Takes `writes` for one
  /// block of vectors at a time; the caller holds no lock, and calls it from one thread at a time. Indexes of a process take turns:
  /// beside those that answer there is one copy at a time, of the largest at most. What it throws leaves the current index.
  /// `shares`: the next one has something together with an index that is searched (VectorIndex::attach_codec): the steps that
  /// change it take `rows` exclusively.
  void rebuild(VectorIndex next, bool shares = false);

  /// Puts `index` in the current one's place, and that in `index`. The caller holds both locks exclusively, and rebuilds nothing.
  void exchange(VectorIndex& index) noexcept { std::swap(current_, index); }

  /// Memory of both.
  std::size_t memory_bytes() const noexcept;

 private:
  WhileAlone alone();
  WhileAlone alone_for_next();
  VectorId copy_block(VectorId begin, VectorId end);

  VectorIndex current_;
  std::optional<VectorIndex> next_;  // guarded by `writes`
  bool next_shares_ = false;         // the same
  std::atomic<std::size_t> next_bytes_{0};
  FifoMutex& writes_;
  FairSharedMutex& rows_;
};

}  // namespace annulus
