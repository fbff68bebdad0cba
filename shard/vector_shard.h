// The local shard: a FAISS-backed index in this process, and the records that it indexes.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/fair_shared_mutex.h"
#include "core/fifo_mutex.h"
#include "index/vector_index.h"
#include "shard/block_changes.h"
#include "shard/grouped_index.h"
#include "shard/record_table.h"
#include "shard/shard.h"

namespace annulus {

/// A Shard in memory. Searches, reads and scans run side by side, and beside a write while it encodes and links its vectors; a
/// write excludes them for 32 rows at a time, to make them visible, and a drop for 256. Writes take turns block by block, so
/// that a bulk copy does not hold off a single upsert. A write waits for what is under way: a block of queries (32 at most, of an
/// IVF or under a filter 1,024), a page of a scan, 1,024 records of a digest.
/// What has to be done for all rows is done beside searches, which wait for no more than an exchange of pointers: other writes wait for
/// it. That is the copy of an array of FAISS's that is full (rows of Flat and HNSW, links), for each half as many rows again; a graph's int8
/// codes on a new scale, four times from 1,000 rows to 256,000; and a table of rows that is looked up in another way.
/// When a third of the index's rows are dead, the write that made it so builds the index anew: searches and other writes go on
/// meanwhile, beside a second copy of the index. Indexes of a process are built anew one at a time; the write waits for its turn.
/// Primary and secondary rows lie apart, but in a graph. Rows change their group in blocks like those of a write.
/// An index that needs a codec is a flat one until `attach_codec`, which converts it in the same way.
class VectorShard final : public Shard {
 public:
  /// Throws Error(kInvalidArgument) for an empty id or a spec that IndexSpec refuses.
  VectorShard(std::string id, IndexSpec spec, KeyKind key_kind = KeyKind::kBytes);

  const std::string& id() const noexcept override { return id_; }
  const IndexSpec& spec() const noexcept override { return spec_; }
  KeyKind key_kind() const noexcept override { return key_kind_; }
  void attach_codec(std::shared_ptr<const Codec> codec) override;

  void upsert_if_newer(std::span<const RecordView> records, WriteMode mode, std::span<WriteOutcome> outcomes) override;
  HeldRecord get(KeyView key, std::span<float> vector) const override;
  void lookup(std::span<const KeyView> keys, std::span<HeldRecord> held) const override;
  bool scan(std::span<const Arc> arcs, ScanPosition& position, std::size_t most, ScanContents contents,
            RecordPage& page) const override;
  std::vector<ArcDigest> digest(std::span<const Arc> arcs) const override;
  std::uint64_t drop(std::span<const Arc> arcs) override;
  std::uint64_t collect_tombstones(const Version& newest) override;
  void set_primary_arcs(const ArcSet& arcs) override;
  ShardStats stats() const override;
  using Shard::candidates;
  void candidates(const CandidateRequest& request, CandidateLists& out) const override;
  bool candidates_are_exact() const override;
  void refine(const MatrixView& queries, std::span<const RefineItem> items, std::span<float> distances) const override;
  std::uint64_t code_fingerprint() const override;
  bool lossless() const override;

 private:
  void validate(std::span<const RecordView> records) const;
  void validate_code(const RecordView& record) const;
  using Change = BlockChange;
  std::vector<Change> plan_block(std::span<const RecordView> records, WriteMode mode, std::span<WriteOutcome> outcomes) const;
  void apply_block(std::span<const RecordView> records, WriteMode mode, std::span<WriteOutcome> outcomes);
  GroupedIndex::Staged stage(std::span<const Change> changes, std::span<const VectorId> ids, std::size_t primaries,
                             Matrix& vectors);
  void commit(std::span<const Change> changes, GroupedIndex::Staged& staged);
  bool regroup(const Arc& arc, Token& token, std::string& key);
  std::uint64_t remove_where(std::span<const Arc> arcs, const Version* tombstones_up_to);
  void require_vector(bool found, KeyView key) const;
  void compact_beyond(double dead_fraction);
  RecordView view_of(Slot slot) const noexcept;
  HeldRecord held(Slot slot) const noexcept;

  const std::string id_;
  const IndexSpec spec_;
  const KeyKind key_kind_;

  std::mutex rebuild_mutex_;       // held by who builds the index anew, or moves rows between its groups; taken before the others
  FifoMutex write_mutex_;          // one block of writes at a time, in turn; taken before mutex_
  mutable FairSharedMutex mutex_;  // guards all below
  GroupedIndex index_;             // its ids are slots
  RecordTable table_;
  std::uint64_t live_ = 0;
  ArcSet primary_arcs_ = ArcSet::whole();  // guarded by write_mutex_
  bool grouped_ = true;                    // guarded by write_mutex_: each row is in the group that primary_arcs_ says
  mutable std::atomic<std::uint64_t> searched_queries_{0};
  mutable std::atomic<std::uint64_t> distances_{0};
};

}  // namespace annulus
