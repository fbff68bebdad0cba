// A shard: a node that stores vectors. The router and the rebalancer know nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/key.h"
#include "core/matrix.h"
#include "index/codec.h"
#include "index/index_spec.h"
#include "index/query_batch.h"
#include "index/search_types.h"
#include "ring/arc.h"
#include "shard/key_set.h"
#include "shard/record.h"
#include "shard/row_groups.h"
#include "core/version.h"

namespace annulus {

/// What became of one record of a write.
enum class WriteOutcome : std::uint8_t {
  kApplied,     ///< the shard holds it now
  kSuperseded,  ///< the shard holds this version or a newer one already
  kAbsent,      ///< WriteMode::kOnlyIfHeld, and the shard holds no record of that key
};

enum class WriteMode : std::uint8_t {
  kInsertOrUpdate,  ///< what an owner gets
  kOnlyIfHeld,      ///< what a former owner gets: rows that it still holds stay current, rows that it dropped stay gone
};

/// What `get` found: also a tombstone is found, so that the newest of several answers is known.
struct HeldRecord {
  bool found = false;
  bool deleted = false;
  Version version;
  std::uint64_t vector_hash = 0;  ///< as RecordView's
};

/// Where a scan goes on: behind key `key` of token `token` in arc number `arc`. A new position is the beginning.
struct ScanPosition {
  std::size_t arc = 0;
  bool inside = false;
  Token token = 0;
  std::string key;
};

enum class ScanContents : std::uint8_t {
  kVersions,
  kVectors,
  kCodes,  ///< codes where the shard holds them (Shard::code_fingerprint), else vectors
};

struct ShardStats {
  std::uint64_t live = 0;        ///< records with a vector
  std::uint64_t tombstones = 0;  ///< erased keys that are remembered
  std::uint64_t dead_rows = 0;   ///< rows of the index that wait for compaction
  std::uint64_t memory_bytes = 0;
  std::uint64_t searched_queries = 0;
  std::uint64_t distances = 0;  ///< distance computations of all searches
};

/// Which keys a search may return; a pure function, asked about keys that are in the shard, any number of times, about some of them
/// to learn how many it accepts and what asking costs. Called from several threads at once, while the shard is locked: it must
/// neither block nor call the router or a shard. What it throws reaches the caller of the search.
using KeyFilter = std::function<bool(KeyView)>;

/// One shard's candidates for a batch of queries; reusable, so that a search in the steady state allocates nothing.
class CandidateLists {
 public:
  struct Entry {
    float distance;  ///< smaller is nearer, for every metric
    Version version;
    std::uint32_t key_size;
    std::size_t key_begin;
    std::uint64_t handle;  ///< what the shard calls the record; it goes back with RefineItem
  };

  void reset(std::size_t queries);
  /// Appends to the list of the query that was begun last; nearest first.
  void append(KeyView key, const Version& version, float distance, std::uint64_t handle = 0);
  void begin_query() { starts_.push_back(entries_.size()); }

  std::size_t queries() const noexcept { return starts_.size(); }
  std::span<const Entry> of(std::size_t query) const noexcept;
  KeyView key(const Entry& entry) const noexcept { return KeyView(keys_).substr(entry.key_begin, entry.key_size); }

  /// The list of a query is full: it may have been cut, and rows behind its last entry are unknown.
  bool cut(std::size_t query, std::size_t k) const noexcept { return of(query).size() >= k; }

  std::uint64_t distances = 0;  ///< work done for these lists
  bool bounded = false;         ///< rows beyond a shared bound may be missing

 private:
  std::vector<Entry> entries_;
  std::vector<std::size_t> starts_;
  std::string keys_;
};

/// The first phase of a search, as a shard is asked for it.
struct CandidateRequest {
  const QueryBatch& queries;
  std::size_t k;                       ///< candidates a query, >= 1
  const KeyFilter* filter = nullptr;   ///< null: all keys
  const KeySet* allow = nullptr;       ///< null: all keys; the empty set: none
  const KeySet* deny = nullptr;        ///< null: none
  RowGroups groups = RowGroups::kAll;  ///< which rows; a shard may return others too
  std::span<SharedBound> bounds = {};  ///< none, or one a query, which all shards that are asked share (VectorIndex::candidates)
};

/// One candidate whose exact distance is asked for.
struct RefineItem {
  std::size_t query;  ///< row of the query matrix
  KeyView key;
  std::uint64_t handle = 0;  ///< of CandidateLists::Entry; a hint: another record may have it by now
};

/// The interface of a shard. All calls are thread-safe; a call that throws has changed nothing that it was asked to change,
/// or does not know: the router takes the shard as behind if another owner took the write, and else tells its caller to repeat
/// it. Implementations in other processes translate their failures to Error(kUnavailable).
class Shard {
 public:
  virtual ~Shard() = default;

  virtual const std::string& id() const noexcept = 0;
  virtual const IndexSpec& spec() const noexcept = 0;
  virtual KeyKind key_kind() const noexcept = 0;

  /// Hands over the codec that all shards of a router share; returns when the shard searches by it. A shard that holds records
  /// without a codec converts them, beside reads and writes. Throws Error(kFailedPrecondition) if rows were encoded otherwise.
  virtual void attach_codec(std::shared_ptr<const Codec> codec) = 0;

  /// Applies each record unless an equal or newer version of its key is held; tombstones are records too. Idempotent.
  /// Live records come all as vectors or all as codes (else Error(kInvalidArgument)), of the shard's codec (else
  /// Error(kFailedPrecondition)).
  /// `outcomes` has one entry a record. Validates all before it changes anything. O(records) index inserts.
  virtual void upsert_if_newer(std::span<const RecordView> records, WriteMode mode, std::span<WriteOutcome> outcomes) = 0;

  /// Looks up `key`; fills `vector` (d floats, or empty: not wanted) if it is live.
  virtual HeldRecord get(KeyView key, std::span<float> vector) const = 0;
  /// The same for many keys, versions alone. `held` has one entry a key.
  virtual void lookup(std::span<const KeyView> keys, std::span<HeldRecord> held) const = 0;
  /// Whether a live record of `key` is held.
  bool contains(KeyView key) const;

  /// Appends to `page` the records of `arcs` behind `position`, in the order of (arc, token, key), at most `most`; advances
  /// `position`. Returns false when the end is reached. A write between two pages is seen or not; a record that stays is seen.
  virtual bool scan(std::span<const Arc> arcs, ScanPosition& position, std::size_t most, ScanContents contents,
                    RecordPage& page) const = 0;

  /// One digest an arc.
  virtual std::vector<ArcDigest> digest(std::span<const Arc> arcs) const = 0;

  /// Forgets all records of `arcs`, tombstones too; returns how many were live. Nobody may need them any more.
  virtual std::uint64_t drop(std::span<const Arc> arcs) = 0;

  /// Forgets tombstones that are not newer than `newest`; returns how many. See VectorRouter::collect_tombstones.
  virtual std::uint64_t collect_tombstones(const Version& newest) = 0;

  /// Says of which tokens this shard is the primary: RowGroups::kPrimary asks for their rows. At first it is all of them. Searches
  /// and writes go on meanwhile; a search finds each row at least once, also one that changes its group. When it returns, and
  /// from then on, the primary rows are those of `arcs`; after a failure at least those that are in the former and in the new
  /// arcs. An index whose cost hardly grows with its rows may take every row for primary.
  virtual void set_primary_arcs(const ArcSet& arcs) = 0;

  virtual ShardStats stats() const = 0;

  /// First phase of a search: for each query the nearest `request.k` live rows by the index's own distances, nearest first,
  /// equal ones by key where these distances are exact.
  virtual void candidates(const CandidateRequest& request, CandidateLists& out) const = 0;

  /// The same for queries (n x d, for cosine normalised) that are made ready here.
  void candidates(const MatrixView& queries, std::size_t k, const SearchParams& params, const KeyFilter* filter,
                  CandidateLists& out) const;

  /// Whether the distances of `candidates` are those of `refine` already, bit for bit.
  virtual bool candidates_are_exact() const = 0;

  /// Second phase: exact distances of some candidates, by one summation order. +infinity for a key that is gone.
  virtual void refine(const MatrixView& queries, std::span<const RefineItem> items, std::span<float> distances) const = 0;

  /// Fingerprint of the codec by whose codes a shard takes records and gives them to a scan; 0: by none. Copies between shards
  /// of the same fingerprint lose nothing, and nothing is encoded again.
  virtual std::uint64_t code_fingerprint() const { return 0; }

  /// Whether reconstructed vectors are the accepted ones, bit for bit; otherwise a copy from this shard loses precision.
  virtual bool lossless() const = 0;
};

}  // namespace annulus
