// Internal: the rows of an IVF in lists, with int8 codes of float rows beside. Start at IvfLists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "index/codec_impl.h"
#include "index/int8_blocks.h"
#include "index/pieces.h"
#include "index/row_places.h"
#include "index/row_store.h"

namespace faiss {
struct IndexIVF;
}  // namespace faiss

namespace annulus {

/// Where rows are, and their codes. FAISS's IndexIVF encodes them and reads the lists (faiss_lists.h). Codes that are scanned lie in
/// lists: FAISS's, or int8 codes in blocks. Float vectors beside these lie by row, for they are only asked for by row. Position i of a
/// list is the same entry in all that has lists. Nothing long moves while lists grow.
/// Append and take_out are O(d).
/// Thread safety: const calls from any threads at once; `make_room` beside them; other calls exclude all else.
class IvfLists {
 public:
  IvfLists(const IndexSpec& spec, const ParsedSpec& parsed, const Codec::Impl& codec);
  ~IvfLists();
  IvfLists(const IvfLists&) = delete;
  IvfLists& operator=(const IvfLists&) = delete;

  /// A view of all that is here, for coding and for FAISS's writer.
  const faiss::IndexIVF& index() const noexcept { return *index_; }

  std::size_t code_bytes() const noexcept { return code_bytes_; }
  std::size_t size(std::size_t list) const noexcept { return blocks_ ? blocks_->size(list) : codes_->size(list); }
  const std::uint8_t* code(std::size_t list, std::size_t position) const noexcept {
    return blocks_ ? (*vectors_)[row(list, position)] : codes_->entry(list, position);
  }
  /// How many codes lie behind one another from `position` on, of which the list may have fewer.
  std::size_t run(std::size_t position) const noexcept { return blocks_ ? 1 : codes_->run(position); }
  Row row(std::size_t list, std::size_t position) const noexcept;

  /// Int8 codes beside float rows; null if there are none.
  const Int8BlockLists* blocks() const noexcept { return blocks_ ? &*blocks_ : nullptr; }

  bool holds(Row row) const noexcept { return places_.holds(row); }
  std::size_t list_of(Row row) const noexcept { return places_[row].list; }
  const std::uint8_t* code_of(Row row) const noexcept {
    if (blocks_) return (*vectors_)[row];
    const RowPlaces::Place place = places_[row];
    return codes_->entry(place.list, place.offset);
  }
  void prefetch_place(Row row) const noexcept { places_.prefetch(row); }

  /// Longer tables for lists that have to grow, by what lies in them.
  struct Room {
    std::vector<ListTables::Room> codes;    ///< of blocks, or of codes
    std::vector<ListTables::Room> numbers;  ///< of rows, without blocks
  };

  /// Memory for rows up to `last` and for one further entry in each of `lists` (as often as it is named). Once take_room()
  /// was given what is returned, before anything else was changed, appending them cannot throw; rows may be taken out in between.
  Room make_room(Row last, std::span<const std::uint32_t> lists, const WhileAlone& alone);
  void take_room(Room& room) noexcept;

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
  std::size_t d_;
  std::size_t nlist_;
  const Codec::Impl& codec_;  ///< VectorIndex holds the codec
  std::unique_ptr<faiss::IndexIVF> index_;
  std::size_t code_bytes_;
  std::optional<Int8BlockLists> blocks_;
  std::optional<EntryTable> vectors_;  ///< beside blocks, by row
  std::size_t vector_count_ = 0;       ///< rows that were ever written there are 0 to vector_count_ - 1
  std::optional<EntryLists> codes_;    ///< without blocks
  std::optional<EntryLists> rows_;     ///< ... the rows' numbers
  RowPlaces places_;
};

}  // namespace annulus
