// One mutable vector index in memory: the same life for every family. Start at VectorIndex.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/matrix.h"
#include "index/codec.h"
#include "index/index_spec.h"
#include "index/query_batch.h"
#include "index/search_types.h"

namespace annulus {

/// Runs a step of O(1) work while no search, and no other call, is in the index: the exchange of an array for a grown copy.
using WhileAlone = std::function<void(const std::function<void()>&)>;

/// Vectors that VectorIndex::stage has stored and that no search returns yet. It refers to the vectors that were staged.
class StagedRows {
 public:
  std::size_t left() const noexcept { return ids_.size() - next_; }  ///< rows that are not committed yet

 private:
  friend class VectorIndex;
  std::vector<VectorId> ids_;
  std::vector<std::uint32_t> rows_;
  std::vector<float> gathered_;     // the vectors, if the caller's did not lie as they must
  const float* vectors_ = nullptr;  // null if they came as codes
  std::size_t next_ = 0;
};

/// What two indexes keep together by id: see attach_codec.
class RowHomes;

/// For two indexes, which before long will hold `rows` vectors together, and those that are added meanwhile.
std::shared_ptr<RowHomes> homes_for_two(std::size_t rows);

/// They do. A mutation of both indexes.
void expect_no_more(RowHomes& homes) noexcept;

/// An index over FAISS containers: upsert, erase, search, reconstruct, save, load, compact.
///
/// Answers are sorted by (distance, tie order). Every distance that a search returns is the one of `distance()`
/// (index/distance.h) between the query and the stored vector, decoded if the index is lossy.
/// Flat answers are exact. HNSW answers are approximate, and complete: min(k, accepted live rows) candidates; erased and
/// overwritten rows stay in the graph, are walked, and are never returned or counted. IVF answers are short when the visited
/// lists hold fewer than k rows.
///
/// Under a filter a search goes through the index, or compares all accepted rows, exactly, whichever is estimated to be cheaper:
/// what the filter accepts and what asking it costs are found out from a few rows once a batch. Queries of an HNSW choose one by
/// one, by how far the accepted ones of these rows are. An IVF visits more lists the less the filter accepts, and more still for a
/// query near which it accepts less than elsewhere, so recall stays. Where the index leads to fewer than k accepted rows, or has
/// turned out to be dearer than it seemed, the rows are compared after all. What these ways cost is learnt from the searches of
/// late (FilterMethod::kByCost).
///
/// A copy-less value; a moved-from object may only be destroyed or assigned to.
/// Thread safety: const calls from any threads at once; `stage` beside all of them but to_bytes, save and compacted; other calls
/// exclude all else. FAISS runs in the calling thread only; long graph insertions take threads of the process's budget.
/// Errors: bad input throws Error(kInvalidArgument) before anything changes; Error(kFailedPrecondition) while an index that
/// needs a codec has none; Error(kInternal) if FAISS fails. After bad_alloc in a mutation, discard the index.
/// Searches keep scratch memory per thread, so that in the steady state they allocate nothing: about a bit a row of the largest
/// HNSW searched, 4 bytes for each row that a filter accepted in a scan, and up to 1024 vectors.
class VectorIndex {
 public:
  /// An empty index. With a codec as attach_codec. Throws as parse_spec.
  explicit VectorIndex(IndexSpec spec, std::shared_ptr<const Codec> codec = nullptr);
  ~VectorIndex();
  VectorIndex(VectorIndex&&) noexcept;
  VectorIndex& operator=(VectorIndex&&) noexcept;

  /// Gives an empty index its codec. Throws Error(kInvalidArgument) if the codec is null or does not match the spec,
  /// Error(kFailedPrecondition) if the spec needs none or the index holds vectors.
  void attach_codec(std::shared_ptr<const Codec> codec);

  /// The same for number 0 or 1 of two indexes of one spec and codec, whose ids are of one set, dense and below 2^31 - 1, and
  /// each in one of the two: a family of lists keeps for both what it keeps by id. Number 0 comes first. An id that is committed
  /// to one of them leaves the other, which is to be told at once (`erase`), before it is asked for anything. Both may have
  /// staged ids, of which none is in the other, before either commits. memory_bytes() of number 0 has what is kept for both.
  /// Upserts throw Error(kResourceExhausted) for greater ids. An index that is destroyed with ids in it must not be missed:
  /// another of its number may come, and begins empty.
  /// Thread safety: the two are as one index, and this is a mutation of both; but while nobody searches one of them yet, its
  /// mutations of ids that the other does not hold may go on beside searches of the other, if its `stage` is given an `alone`
  /// that keeps these out.
  void attach_codec(std::shared_ptr<const Codec> codec, std::shared_ptr<RowHomes> homes, std::size_t number);

  const IndexSpec& spec() const noexcept;
  const std::shared_ptr<const Codec>& codec() const noexcept;  ///< null if there is none
  bool ready() const noexcept;                                 ///< whether it takes vectors and queries
  bool lossless() const noexcept;                              ///< reconstruct returns the accepted floats bit for bit
  bool distances_are_exact() const noexcept;                   ///< search's distances equal distances()'s bit for bit

  /// Inserts or overwrites ids[i] with row i of `vectors` (n x d). Of equal ids in one call the last wins.
  /// Throws Error(kInvalidArgument) for sizes that differ, another dimension, NaN, infinity, a zero vector under kCosine.
  void upsert(std::span<const VectorId> ids, const MatrixView& vectors);

  /// The first half of an upsert, with all its work: stores, encodes and links. No search returns these rows before `commit`.
  /// Const calls may go on meanwhile, if `alone` keeps them out for each step that it is given; no other mutation. `ids` and
  /// `vectors` as for upsert; the vectors must stay where they are until the last commit. What is thrown leaves the index as it
  /// was.
  StagedRows stage(std::span<const VectorId> ids, const MatrixView& vectors, const WhileAlone& alone);

  /// The second half: makes the next `count` staged rows (at most what is left) live, in the place of their ids' former rows.
  /// O(1) a row, and O(d) where rows are copied. Excludes all else; no other mutation but commits in between.
  void commit(StagedRows& staged, std::size_t count);

  /// Instead of the (rest of the) second half: the rows that are left never become live.
  void abandon(StagedRows& staged) noexcept;

  /// Bytes of a vector as an index of this codec holds it: the number of its list, and its code there. 0 for families that have
  /// no lists: then the next four throw Error(kFailedPrecondition).
  std::size_t code_bytes() const noexcept;

  /// Writes what stage_codes of any index whose codec has the same fingerprint takes; false if there is no such id.
  /// Throws Error(kInvalidArgument) unless out.size() == code_bytes().
  bool read_code(VectorId id, std::span<std::uint8_t> out) const;

  /// Throws Error(kInvalidArgument) unless an index of this codec can hold each of `codes`, code_bytes() each, and nothing more.
  void check_codes(std::span<const std::uint8_t> codes) const;

  /// stage() for vectors that were encoded before: nothing is assigned to lists, and no code changes. O(d) a row.
  /// Throws Error(kInvalidArgument) unless codes.size() == ids.size() * code_bytes(), and for codes that no index can hold.
  StagedRows stage_codes(std::span<const VectorId> ids, std::span<const std::uint8_t> codes, const WhileAlone& alone);

  /// upsert() for them.
  void upsert_codes(std::span<const VectorId> ids, std::span<const std::uint8_t> codes);

  /// Removes what is there; returns how many were. O(1) each.
  std::size_t erase(std::span<const VectorId> ids);

  bool contains(VectorId id) const noexcept;
  std::size_t size() const noexcept;          ///< live vectors
  std::size_t dead_rows() const noexcept;     ///< tombstoned rows that only compaction frees (HNSW)
  double dead_fraction() const noexcept;      ///< dead_rows / (size + dead_rows); 0 when empty
  std::size_t memory_bytes() const noexcept;  ///< about; without the codec, which is shared

  /// Writes the ids of all live vectors, in no particular order. Throws Error(kInvalidArgument) unless out.size() == size().
  void ids(std::span<VectorId> out) const;

  /// One more than the greatest id that was ever there; 0 if none was.
  VectorId ids_end() const noexcept;

  /// Writes the stored vector (decoded if lossy); false if there is no such id.
  /// Throws Error(kInvalidArgument) unless out.size() is the dimension.
  bool reconstruct(VectorId id, std::span<float> out) const;

  /// The k nearest of each of n queries (n x d): candidates of query i at out[i*k ...], counts[i] of them, ordered by
  /// (distance, `order` or else number); what lies behind them in `out` is unspecified. `filter`, `order`, `work` may be null.
  /// Throws Error(kInvalidArgument) for k = 0, another dimension, NaN, infinity, a zero query under kCosine,
  /// out.size() != n*k, counts.size() != n, ef or nprobe not > 0.
  void search(const MatrixView& queries, std::size_t k, const SearchParams& params, const Filter* filter, const TieOrder* order,
              std::span<Candidate> out, std::span<std::size_t> counts, SearchWork* work = nullptr) const;

  /// The same for queries that were made ready before, for several indexes.
  void search(const QueryBatch& batch, std::size_t k, const Filter* filter, const TieOrder* order, std::span<Candidate> out,
              std::span<std::size_t> counts, SearchWork* work = nullptr) const;

  /// The first phase of a search alone: its `k` nearest by the distances that the index searches by, which for codes are
  /// approximate (candidates_are_exact says); `distances` is the second. `bounds` is empty or has one entry a query: then what is
  /// farther than a query's bound may be left out, and the bound falls to the k-th candidate's distance. Graphs ignore it.
  void candidates(const QueryBatch& batch, std::size_t k, const Filter* filter, const TieOrder* order,
                  std::span<SharedBound> bounds, std::span<Candidate> out, std::span<std::size_t> counts,
                  SearchWork* work = nullptr) const;

  /// Whether the distances of `candidates` are those of `distances`, bit for bit.
  bool candidates_are_exact() const noexcept;

  /// Refinement: the exact distance of each stored vector to `query`; +infinity for an absent id.
  /// Throws Error(kInvalidArgument) as search, and unless out.size() == ids.size().
  void distances(const VectorView& query, std::span<const VectorId> ids, std::span<float> out) const;

  /// The same for pairs of several queries (n x d), which is faster than query by query: what a pair needs of memory is under way
  /// while others are computed. Every Pair::query < n.
  void distances(const MatrixView& queries, std::span<const Pair> pairs, std::span<float> out) const;

  /// The same vectors, codes and codec without dead rows. An HNSW graph is built anew.
  VectorIndex compacted() const;

  /// In an envelope of kind kIndex; docs/formats/index.md.
  std::string to_bytes() const;

  /// The inverse of to_bytes. With a `codec` it is used, if its fingerprint is the saved one (Error(kInvalidArgument) if not);
  /// else the saved one is read. Throws as open_envelope, and Error(kDataLoss) for contents that contradict themselves:
  /// ids, row map, graph links and lists are checked before anything walks them. `name` names the source in messages.
  static VectorIndex from_bytes(std::string_view bytes, std::shared_ptr<const Codec> codec = nullptr,
                                std::string_view name = "index");

  /// to_bytes into a file, atomically; errors as write_file_atomically.
  void save(const std::filesystem::path& path) const;

  /// from_bytes of a file; errors as read_file and from_bytes.
  static VectorIndex load(const std::filesystem::path& path, std::shared_ptr<const Codec> codec = nullptr);

 private:
  struct Impl;
  explicit VectorIndex(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace annulus
