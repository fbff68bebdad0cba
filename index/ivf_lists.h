// Internal: the rows of an IVF in FAISS's inverted lists, with int8 codes of float rows beside. Start at IvfLists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "index/codec_impl.h"
#include "index/int8_blocks.h"
#include "index/row_places.h"
#include "index/row_store.h"

namespace faiss {
struct ArrayInvertedLists;
struct IndexIVF;
}  // namespace faiss

namespace annulus {

/// Where rows are, and their codes. FAISS's IndexIVF holds the codes; position i of a list is the same entry there and in the int8
/// blocks. The 8 bytes that FAISS has for a row's number are filled while it is written only: the blocks have it, or an array of
/// ours. Lists grow by a 32nd: they all grow at different times, and what room they have on average is a 64th of the memory.
/// Append and take_out are O(d).
/// Thread safety: const calls from any threads at once; `make_room` beside them; other calls exclude all else.
class IvfLists {
 public:
  IvfLists(const IndexSpec& spec, const ParsedSpec& parsed, const Codec::Impl& codec);
  ~IvfLists();
  IvfLists(const IvfLists&) = delete;
  IvfLists& operator=(const IvfLists&) = delete;

  /// For coding and distances; its lists have codes and no numbers.
  const faiss::IndexIVF& index() const noexcept { return *index_; }

  /// Calls `use` with the whole index. One call at a time takes place.
  void with_whole_index(const std::function<void(const faiss::Index&)>& use) const;

  std::size_t code_bytes() const noexcept;  ///< of a row in FAISS's lists
  std::size_t size(std::size_t list) const noexcept;
  const std::uint8_t* codes(std::size_t list) const noexcept;
  Row row(std::size_t list, std::size_t position) const noexcept;

  /// Int8 codes beside float rows; null if there are none.
  const Int8BlockLists* blocks() const noexcept { return blocks_ ? &*blocks_ : nullptr; }

  bool holds(Row row) const noexcept { return places_.holds(row); }
  std::size_t list_of(Row row) const noexcept { return places_[row].list; }
  const std::uint8_t* code_of(Row row) const noexcept;
  void prefetch_place(Row row) const noexcept { places_.prefetch(row); }

  /// Memory for rows up to `last` and for one further entry in each of `lists` (as often as it is named), so that appending
  /// them moves nothing.
  void make_room(Row last, std::span<const std::uint32_t> lists, const WhileAlone& alone);

  /// `int8_code` and `norm` are of no account without blocks.
  void append(Row row, std::size_t list, const std::uint8_t* code, const std::uint8_t* int8_code, std::int32_t norm);

  /// Appends a row of another index of the same codec.
  void append_from(const IvfLists& other, Row from, Row row);

  /// Moves the last entry of the row's list into its place.
  void take_out(Row row);

  /// The lists of an index that FAISS read from a file, checked. Throws Error(kDataLoss).
  void take(const RowTable& rows, faiss::Index& loaded);

  std::size_t memory_bytes() const noexcept;

 private:
  faiss::ArrayInvertedLists& lists() const noexcept;

  std::size_t d_;
  std::size_t nlist_;
  const Codec::Impl& codec_;  ///< VectorIndex holds the codec
  std::unique_ptr<faiss::IndexIVF> index_;
  std::optional<Int8BlockLists> blocks_;
  std::vector<std::vector<Row>> rows_;  ///< by list and position; none if there are blocks
  RowPlaces places_;
  mutable std::mutex writing_;  ///< held while FAISS's lists have numbers
};

}  // namespace annulus
