// Internal: how Flat, HNSW and IVF each store and search rows for VectorIndex, whose business the ids are.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "index/faiss_support.h"
#include "index/filter_plan.h"
#include "index/row_table.h"
#include "index/vector_index.h"

namespace annulus {

/// What becomes of a row whose vector is erased or overwritten.
enum class RowPolicy {
  kDense,   ///< overwritten in place; on erase the last row moves in
  kAppend,  ///< dead for good; an overwrite takes a new row
  kReuse,   ///< overwritten in place; on erase free, and reused
};

/// Whose distances a search returns.
enum class SearchPhase {
  kCandidates,  ///< those that it searches by
  kAnswers,     ///< exact ones, of stored vectors
};

/// Decides whether, and how far, the queries of a batch walk under a filter, and learns from each walk. Called in their order.
class WalkJudge {
 public:
  virtual WalkLimit limit(std::size_t query) = 0;
  /// The query's walk, which did not give up, has compared so many rows, and asked the filter about so many.
  virtual void learn(std::size_t query, std::size_t compared, std::size_t asked) = 0;
  /// The same of one that did give up.
  virtual void gave_up(std::size_t query, std::size_t compared, std::size_t asked) = 0;

 protected:
  ~WalkJudge() = default;
};

/// A search of a batch of queries, as a store sees it. `rows` gives ids and states.
struct RowSearch {
  const QueryBatch& batch;
  std::size_t k;
  SearchPhase phase;
  const Filter* filter;
  const TieOrder* order;
  std::span<SharedBound> bounds;  ///< none, or one a query, by the distances that the store searches by
  const RowTable& rows;
  SearchWork& work;
  WalkJudge* walks = nullptr;  ///< of a graph; null: all walk, however far
  std::span<FilterTally> tallies = {};  ///< none, or one a query, into which searches of lists count what the filter says
  /// IVF, of kCandidates or where these are exact: `out` and `counts` hold what other lists gave, to be added to.
  bool continues = false;

  /// Rows that are staged have numbers beyond rows.rows().
  bool accepts(Row row) const {
    return row < rows.rows() && rows.is_live(row) && (filter == nullptr || filter->accept(rows.id(row)));
  }
  bool accepts(Row row, std::size_t query) const {
    const bool accepted = accepts(row);
    if (!tallies.empty()) tallies[query].count(accepted);
    return accepted;
  }
};

/// A FAISS container of vectors by row. Thread safety as VectorIndex.
class RowStore {
 public:
  virtual ~RowStore() = default;

  virtual RowPolicy policy() const noexcept = 0;

  /// The first half of a put: all work that takes time, for rows.size() vectors (contiguous, n x d), beside searches. Rows are
  /// distinct; new ones come in order from the container's end. Arrays that searches read are exchanged under `alone`. What is
  /// thrown leaves the store as it was.
  virtual void stage(std::span<const Row> rows, const float* vectors, const WhileAlone& alone) = 0;

  /// Bytes of an encoded row, for stores that hold rows as codes of a codec that others share; the next two are called of them
  /// only.
  virtual std::size_t code_bytes() const noexcept { return 0; }
  virtual void read_code(Row, std::uint8_t*) const {}

  /// Throws Error(kInvalidArgument) unless `code`, number `number` of some, can be held.
  virtual void check_code(std::size_t number, const std::uint8_t* code) const { (void)number, (void)code; }

  /// stage() of encoded rows, which were checked.
  virtual void stage_codes(std::span<const Row>, const std::uint8_t*, const WhileAlone&) {}

  /// The second half, for the next of the staged rows in their order; nobody else is in the store. Until then searches do not
  /// return a row's new vector; the former vector of a row that is overwritten they do. `vectors` is null after stage_codes.
  virtual void commit(std::span<const Row> rows, const float* vectors) = 0;

  /// Forgets what was staged and not committed. Rows of kAppend stay, and VectorIndex takes them for dead.
  virtual void abandon() noexcept = 0;

  /// Takes a row out: kDense moves the last row into it, kReuse frees it. Not called under kAppend.
  virtual void remove(Row row) = 0;

  /// The stored vector: in place, or decoded into `buffer` of d floats.
  virtual const float* vector(Row row, float* buffer) const = 0;

  /// Asks for the memory that vector() will read; for that of where it is, some time before.
  virtual void prefetch(Row) const noexcept {}
  virtual void prefetch_place(Row) const noexcept {}

  /// Fills `out` (n x k candidates) with the nearest accepted rows of each query, sorted, and counts[i] with how many.
  /// A graph that does not lead to enough of them, or not soon enough (RowSearch::walks), gives fewer than there are.
  virtual void search(const RowSearch& search, Candidate* out, std::size_t* counts) const = 0;

  /// Whether kCandidates gives the same distances as kAnswers.
  virtual bool candidates_are_exact() const noexcept { return true; }

  /// A container with the given rows alone, renumbered from 0 in their order; codes stay as they are.
  virtual std::unique_ptr<RowStore> compacted(std::span<const Row> rows) const = 0;

  /// Calls `use` with the container, whole, for FAISS's writer.
  virtual void with_container(const std::function<void(const faiss::Index&)>& use) const = 0;

  virtual std::size_t memory_bytes() const noexcept = 0;
};

/// Empty containers. `codec` is null for those that need no training; `homes` for an IVF that has its own.
std::unique_ptr<RowStore> make_flat_store(const IndexSpec& spec);
std::unique_ptr<RowStore> make_hnsw_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec* codec);
std::unique_ptr<RowStore> make_ivf_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec& codec,
                                         std::shared_ptr<RowHomes> homes, std::size_t number);

/// Containers with the rows of a loaded index, whose structure is checked against `rows` and the spec first.
/// Throw Error(kDataLoss) that says what is wrong. `loaded` may be emptied.
std::unique_ptr<RowStore> load_flat_store(const IndexSpec& spec, const RowTable& rows, faiss::Index& loaded);
std::unique_ptr<RowStore> load_hnsw_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec* codec, const RowTable& rows,
                                          faiss::Index& loaded);
std::unique_ptr<RowStore> load_ivf_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec& codec, const RowTable& rows,
                                         faiss::Index& loaded);

/// Throws Error(kDataLoss, `problem`) unless `condition`: the checks of what a file says.
void check_loaded(bool condition, const char* problem);

}  // namespace annulus
