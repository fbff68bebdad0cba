// Internal: how Flat, HNSW and IVF each store and search rows for VectorIndex, whose business the ids are.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "index/faiss_support.h"
#include "index/row_table.h"
#include "index/vector_index.h"

namespace annulus {

/// What becomes of a row whose vector is erased or overwritten.
enum class RowPolicy {
  kDense,   ///< overwritten in place; on erase the last row moves in
  kAppend,  ///< dead for good; an overwrite takes a new row
  kReuse,   ///< overwritten in place; on erase free, and reused
};

/// One search of one query, as a store sees it. `rows` gives ids and states.
struct RowQuery {
  const float* query;  ///< d floats
  std::size_t k;
  const SearchParams& params;
  const Filter* filter;
  const TieOrder* order;
  const RowTable& rows;
  SearchWork& work;

  bool accepts(Row row) const { return rows.is_live(row) && (filter == nullptr || filter->accept(rows.id(row))); }
};

/// A FAISS container of vectors by row. Thread safety as VectorIndex.
class RowStore {
 public:
  virtual ~RowStore() = default;

  virtual RowPolicy policy() const noexcept = 0;

  /// Stores rows.size() vectors (contiguous, n x d). Rows are distinct; new ones come in order from the container's end.
  virtual void put(std::span<const Row> rows, const float* vectors) = 0;

  /// Takes a row out: kDense moves the last row into it, kReuse frees it. Not called under kAppend.
  virtual void remove(Row row) = 0;

  /// The stored vector: in place, or decoded into `buffer` of d floats.
  virtual const float* vector(Row row, float* buffer) const = 0;

  /// Fills `out` (k candidates) with the nearest accepted rows, sorted; returns how many.
  virtual std::size_t search(const RowQuery& query, Candidate* out) const = 0;

  /// A container with the given rows alone, renumbered from 0 in their order; codes stay as they are.
  virtual std::unique_ptr<RowStore> compacted(std::span<const Row> rows) const = 0;

  /// The container, for FAISS's writer.
  virtual const faiss::Index& container() const noexcept = 0;

  virtual std::size_t memory_bytes() const noexcept = 0;
};

/// Empty containers. `codec` is null for those that need no training.
std::unique_ptr<RowStore> make_flat_store(const IndexSpec& spec);
std::unique_ptr<RowStore> make_hnsw_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec* codec);
std::unique_ptr<RowStore> make_ivf_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec& codec);

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
