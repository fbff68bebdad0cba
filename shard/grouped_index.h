// Internal: a shard's rows in two groups, primary and secondary, so that a search reads only what it is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "shard/live_index.h"
#include "shard/row_groups.h"

namespace annulus {

/// In which group a row is.
enum class RowGroup : std::uint8_t { kPrimary, kSecondary };

/// Two LiveIndexes of one spec and codec, or one where groups do not pay (graphs: there every row is primary). An id is in one of
/// them. Locks as LiveIndex.
class GroupedIndex {
 public:
  /// An index that needs a codec is a flat one until `attach_codec`.
  GroupedIndex(const IndexSpec& spec, FifoMutex& writes, FairSharedMutex& rows);

  bool has_groups() const noexcept { return secondary_.has_value(); }

  /// Vectors on their way: first those of primary rows, then the others.
  struct Staged {
    LiveIndex::Staged primary;
    LiveIndex::Staged secondary;
  };

  /// As LiveIndex's. The first `primaries` vectors are for the primary group, the others for the secondary one: ids that are in
  /// the other group are brought over first (`move`).
  Staged stage(std::span<const VectorId> ids, const MatrixView& vectors, std::size_t primaries);
  /// The same for codes (VectorIndex::stage_codes); the caller has seen `takes_codes`.
  Staged stage_codes(std::span<const VectorId> ids, std::span<const std::uint8_t> codes, std::size_t primaries);
  void commit(Staged& staged, std::size_t count);
  void abandon(Staged& staged) noexcept;
  std::size_t erase(std::span<const VectorId> ids);

  /// Brings those of `ids` that are in the other group into this one, `most` under each exclusive lock. The caller holds `writes`
  /// alone, and has nothing staged. What it throws leaves each vector in one of the groups.
  void move(std::span<const VectorId> ids, RowGroup to, std::size_t most);

  /// As LiveIndex's: what holds for both groups.
  bool takes_codes(std::uint64_t codec) const noexcept;
  std::uint64_t code_fingerprint() const noexcept;
  /// As VectorIndex's, where code_fingerprint() is not 0.
  std::size_t code_bytes() const noexcept { return primary_.current().code_bytes(); }
  void check_codes(std::span<const std::uint8_t> codes) const { primary_.current().check_codes(codes); }
  bool read_code(VectorId id, std::span<std::uint8_t> out) const;

  std::size_t size() const noexcept;
  bool reconstruct(VectorId id, std::span<float> out) const;
  /// As VectorIndex::distances: also an id that changed its group has one.
  void distances(const MatrixView& queries, std::span<const Pair> pairs, std::span<float> out) const;

  /// Answers to a batch; reusable.
  struct Found {
    std::span<const Candidate> of(std::size_t query) const noexcept { return std::span(rows).subspan(query * stride, counts[query]); }

    std::size_t stride = 0;
    std::vector<Candidate> rows;  // queries x stride
    std::vector<std::size_t> counts;
    bool bounded = false;  // rows beyond a shared bound may be missing
  };

  /// As VectorIndex::candidates, of the groups that are asked for: at most `k` a query.
  void candidates(const QueryBatch& batch, std::size_t k, RowGroups groups, const Filter* filter, const TieOrder* order,
                  std::span<SharedBound> bounds, Found& found, SearchWork& work) const;

  bool candidates_are_exact() const noexcept;
  bool lossless() const noexcept;
  std::size_t dead_rows() const noexcept;
  std::size_t memory_bytes() const noexcept;

  /// Gives both groups `codec`, beside searches and writes; the caller holds no lock. Throws Error(kFailedPrecondition), in the
  /// name of `shard`, if rows were encoded by another. What it throws otherwise leaves each group as it was, or converted.
  void attach_codec(const IndexSpec& spec, const std::shared_ptr<const Codec>& codec, const std::string& shard);

  /// Builds the index anew if at least `fraction` of its rows, and `rows`, are dead: those of a graph, which is one group. The
  /// caller holds no lock; one thread at a time.
  void compact(double fraction, std::size_t rows);
  bool compaction_due(double fraction, std::size_t rows) const noexcept;

 private:
  template <typename Stage>
  Staged stage_groups(std::size_t count, std::size_t primaries, Stage&& stage);
  LiveIndex::Staged stage_copies(std::span<const VectorId> ids, const LiveIndex& source, LiveIndex& target, Matrix& vectors) const;
  bool holds_elsewhere(VectorId id, RowGroup to) const noexcept;
  static VectorIndex trained(const IndexSpec& spec, const std::shared_ptr<const Codec>& codec,
                             const std::shared_ptr<RowHomes>& homes, std::size_t number);
  void exchange_codec(const IndexSpec& spec, const std::shared_ptr<const Codec>& codec, const std::string& shard);

  FifoMutex& writes_;
  FairSharedMutex& rows_;
  std::shared_ptr<RowHomes> homes_;  ///< of both groups, where they have lists
  LiveIndex primary_;
  std::optional<LiveIndex> secondary_;
};

}  // namespace annulus
