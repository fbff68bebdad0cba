// The router: one vector database over many shards. Start here.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/key.h"
#include "core/matrix.h"
#include "index/codec.h"
#include "index/index_spec.h"
#include "index/vector_index.h"
#include "ring/hash_ring.h"
#include "shard/cluster_codec.h"
#include "shard/cluster_control.h"
#include "shard/cost_meter.h"
#include "shard/fan_out.h"
#include "shard/key_set.h"
#include "shard/shard.h"
#include "shard/synchroniser.h"

namespace annulus {

/// What all shards of a router have in common.
struct RouterOptions {
  IndexSpec index;                    ///< of every shard
  KeyKind key_kind = KeyKind::kBytes;
  std::size_t replicas = 1;           ///< R: shards that hold each key
  RingOptions ring = {};
  /// Keys at which a cluster whose index needs a codec trains it and converts its shards by itself; until then it is flat, and
  /// exact. None: what the training wants (64 keys a list, and more for codebooks); 0: never, `train` does it.
  std::optional<std::size_t> train_at = {};
  std::uint32_t writer = 0;           ///< number of this router, part of its versions. Shards have one router at a time
};

/// What became of a write, row by row and shard by shard. A row is acknowledged if one owner that serves, or will serve, took it.
struct WriteReport {
  std::size_t rows = 0;
  std::vector<std::size_t> failed_rows;    ///< rows that no owner is known to have taken; nobody is behind because of them. Repeat them
  struct ShardPart {
    std::string shard;
    std::size_t sent = 0;
    std::size_t applied = 0;               ///< the others were superseded by a newer version
    std::optional<ShardError> error;
  };
  std::vector<ShardPart> shards;           ///< each shard that was asked, sorted by id
  std::vector<std::string> missed;         ///< shards that missed rows which others took; they are behind or down
  std::vector<Version> versions;           ///< one a row

  bool ok() const noexcept { return failed_rows.empty(); }
};

/// One answer of a search.
struct Neighbor {
  std::string key;
  float distance = 0;  ///< L2: squared distance, smaller is nearer; inner product and cosine: the similarity, larger is nearer
  Version version;
};

/// The answers to a batch of queries. Reuse one to reuse its memory.
class SearchResult {
 public:
  std::size_t queries() const noexcept { return counts_.size(); }
  /// The nearest keys of query i, nearest first, equal distances ordered by key; fewer than k if fewer were found.
  /// Throws Error(kInvalidArgument) unless i < queries().
  std::span<const Neighbor> operator[](std::size_t i) const& { return std::span(neighbors_).subspan(i * k_, count(i)); }
  /// Not of a temporary: `for (auto& n : router.search(q, k)[0])` would read what is gone.
  std::span<const Neighbor> operator[](std::size_t i) const&& = delete;

  double coverage = 0;                ///< part of the key space that was searched; 1.0 unless too many shards are gone
  std::size_t shards_asked = 0;       ///< shards of the cover
  std::uint64_t distances = 0;        ///< distance computations, over all queries and shards
  std::vector<ShardError> errors;     ///< shards that failed; what they hold was asked of others where there were any

 private:
  friend class RouterSearch;
  std::size_t count(std::size_t i) const {
    if (i < counts_.size()) return counts_[i];
    throw Error(ErrorCode::kInvalidArgument, "the answer to query " + std::to_string(i) + " of " + std::to_string(counts_.size()));
  }

  std::size_t k_ = 0;
  std::vector<Neighbor> neighbors_;  // queries x k
  std::vector<std::size_t> counts_;
};

struct SearchOptions {
  SearchParams params = {};          ///< ef, nprobe, rerank
  /// What may be returned: keys that the filter accepts, that are in `allow` and not in `deny`; null: no such restriction. An empty
  /// `allow` allows nothing. They must outlive the call.
  const KeyFilter* filter = nullptr; ///< called from several threads
  const KeySet* allow = nullptr;
  const KeySet* deny = nullptr;
};

/// Routes upserts, erases and reads to the shards that own each key, and searches over the cheapest set of shards that holds
/// everything; merges once.
///
/// A write goes to all owners, in parallel. It is visible to every read that begins after it returned, at whichever shard, and
/// is never undone by an older one. Reads that overlap a write see either state. Membership is declared here and carried out
/// by VectorRebalancer while all this goes on.
/// Thread-safe: any calls from any threads. Threads of a fan-out come from one budget (core/thread_budget.h).
/// Bad input throws Error(kInvalidArgument) that names the row, before anything is written.
class VectorRouter {
 public:
  /// Throws Error(kInvalidArgument) for bad options; Error(kUnimplemented) for a ring with several probes or an unknown index.
  explicit VectorRouter(RouterOptions options);
  ~VectorRouter();
  VectorRouter(const VectorRouter&) = delete;
  VectorRouter& operator=(const VectorRouter&) = delete;

  const RouterOptions& options() const noexcept { return options_; }

  // --- membership: declared here, carried out by VectorRebalancer (at once before the first write)

  /// Adds a shard, which must be empty and have this router's spec and key kind; it gets the codec. The ring changes now, who
  /// serves changes with the resize. Throws Error(kInvalidArgument) for another spec or a bad weight, Error(kAlreadyExists),
  /// Error(kFailedPrecondition) if it holds records or a resize is under way.
  void attach_node(std::shared_ptr<Shard> shard, double weight = 1.0, std::string zone = {});
  /// Removes a shard. Throws Error(kNotFound), Error(kFailedPrecondition) while a resize is under way.
  void detach_node(std::string_view id) { control_.detach(id); }
  /// Throws Error(kNotFound), Error(kInvalidArgument), Error(kFailedPrecondition) likewise.
  void set_weight(std::string_view id, double weight) { control_.set_weight(id, weight); }
  void set_replicas(std::size_t replicas) { control_.set_replicas(replicas); }

  /// The ring and R as declared: what will hold after the next resize.
  ConsistentHasher ring() const { return control_.declared_ring(); }
  std::size_t replicas() const { return control_.declared_replicas(); }
  /// What holds now.
  Placement placement() const { return control_.pin()->placement(); }

  // --- codec

  /// Trains the codec that all shards share, on samples that need not be in the cluster (n x d), and converts the shards' rows:
  /// only for indexes that need one (IVF, SQ8, PQ), which until then are flat. Returns when every shard searches by it; reads and
  /// writes go on meanwhile. Without it, training starts by itself when there are RouterOptions::train_at keys.
  /// Throws as Codec::train; Error(kFailedPrecondition) if there is a codec already.
  void train(const MatrixView& samples);
  /// Null until every shard has it.
  std::shared_ptr<const Codec> codec() const { return codec_.get(); }
  TrainingState training() const { return codec_.state(); }
  /// Returns when no training that started by itself is under way.
  void wait_for_training() const { codec_.wait(); }

  // --- writes

  /// Writes `vector` under `key`. Throws Error(kUnavailable) if no owner took it.
  WriteReport upsert(KeyView key, const VectorView& vector);
  /// Writes row i of `vectors` (n x d) under keys[i]; of equal keys the last row wins. Validates all rows first.
  [[nodiscard]] WriteReport upsert(std::span<const KeyView> keys, const MatrixView& vectors);
  /// Erases `key`, whether it is there or not: a tombstone outlives older writes. Throws Error(kUnavailable) as upsert.
  WriteReport erase(KeyView key);
  [[nodiscard]] WriteReport erase(std::span<const KeyView> keys);

  // --- reads

  /// The accepted vector (for cosine the normalised one; decoded if the index is lossy), or nothing if there is no such key.
  /// Throws Error(kUnavailable) if no owner that is up answers.
  std::optional<Vector> get(KeyView key) const;
  /// The same for many: row i of `vectors` (n x d, filled by the call) and found[i]. Returns how many were found.
  std::size_t get(std::span<const KeyView> keys, Matrix& vectors, std::vector<bool>& found) const;
  bool contains(KeyView key) const;

  /// The `k` nearest keys of each row of `queries` (n x d). For Flat the answer equals a search over all vectors in one index,
  /// bit for bit. With a filter or key sets each shard goes through its index, or compares all rows that they let pass, whichever
  /// it estimates to be cheaper (VectorIndex). Throws Error(kInvalidArgument) for a set of another key kind, k = 0, wrong
  /// dimensions, NaN, infinity, zero vectors (cosine);
  /// Error(kUnavailable) if no shard at all is up. A partial answer says so in `coverage`.
  SearchResult search(const MatrixView& queries, std::size_t k, const SearchOptions& options = {}) const;
  void search(const MatrixView& queries, std::size_t k, const SearchOptions& options, SearchResult& result) const;

  // --- health

  ShardHealth health(std::string_view id) const { return control_.health(id); }
  /// Takes a shard out: writes pass it over, reads go to the other replicas.
  void mark_down(std::string_view id) { control_.mark_down(id); }
  /// A shard is back: it takes writes at once, and serves reads when it has been synchronised (which is done here).
  SyncReport bring_up(std::string_view id, UnreachablePolicy policy = UnreachablePolicy::kWait);
  /// Synchronises the shards that are behind.
  std::vector<SyncReport> synchronise_all();

  // --- upkeep

  /// Forgets the tombstones of writes that have ended, at all shards. Only when every shard is up and no resize
  /// is under way; throws Error(kFailedPrecondition) otherwise. Returns how many fell.
  std::uint64_t collect_tombstones();

  /// Live keys, each counted once, at the shards that are up. O(keys).
  std::uint64_t size() const;
  /// One entry a shard, sorted by id.
  struct ShardState {
    std::string id;
    ShardHealth health;
    ShardStats stats;
  };
  std::vector<ShardState> shard_states() const;

  /// For rebalancers and tests.
  ClusterControl& control() noexcept { return control_; }
  const ClusterControl& control() const noexcept { return control_; }

 private:
  friend class RouterSearch;
  WriteReport write(std::vector<RecordView> records);

  // Whether shards are to be asked for all that is wanted, not for the part that they should hold by their share of the keys: for
  // some time after that part was too small for more than a few of a search's queries.
  bool asks_for_all() const noexcept;
  void learn_holes(std::size_t holes, std::size_t queries) const noexcept;
  void validate_keys(std::span<const KeyView> keys) const;
  Matrix accepted(const MatrixView& vectors, const char* what) const;

  const RouterOptions options_;
  const IndexFamily family_ = parse_spec(options_.index).family;
  ClusterControl control_;
  VersionClock clock_;
  mutable CostMeter query_cost_;  // of one query at one shard
  mutable std::atomic<int> searches_for_all_{0};
  CostMeter row_cost_;            // of one row at one shard
  ClusterCodec codec_;            // last: its thread uses the others
};

}  // namespace annulus
