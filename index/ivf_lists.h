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
#include "index/row_homes.h"
#include "index/row_store.h"

namespace faiss {
struct IndexIVF;
}  // namespace faiss

namespace annulus {

/// Where rows are, and their codes. FAISS's IndexIVF encodes them and reads the lists (faiss_lists.h). Codes that are scanned lie
/// in lists: FAISS's, or int8 codes in blocks. Float vectors beside these lie by row, for they are only asked for by row.
/// Position i of a list is the same entry in all that has lists. Nothing long moves while lists grow. `put` and take_out are
/// O(d).
/// Thread safety: const calls from any threads at once; `make_room` beside them; other calls exclude all else. This holds for both
/// that share their homes as for one.
class IvfLists {
 public:
  /// `number`: of this one among those that share `homes`. What the last one of this number held there is forgotten, O(rows).
  IvfLists(const IndexSpec& spec, const ParsedSpec& parsed, const Codec::Impl& codec, std::shared_ptr<RowHomes> homes,
           std::size_t number);
  ~IvfLists();
  IvfLists(const IvfLists&) = delete;
  IvfLists& operator=(const IvfLists&) = delete;

  /// A view of all that is here, for coding and for FAISS's writer.
  const faiss::IndexIVF& index() const noexcept { return *index_; }

  std::size_t code_bytes() const noexcept { return code_bytes_; }
  std::size_t size(std::size_t list) const noexcept { return blocks_ ? blocks_->size(list) : codes_->size(list); }
  const std::uint8_t* code(std::size_t list, std::size_t position) const noexcept {
    return blocks_ ? vectors()[row(list, position)] : codes_->entry(list, position);
  }
  /// How many codes lie behind one another from `position` on, of which the list may have fewer.
  std::size_t run(std::size_t position) const noexcept { return blocks_ ? 1 : codes_->run(position); }
  Row row(std::size_t list, std::size_t position) const noexcept;

  /// Int8 codes beside float rows; null if there are none.
  const Int8BlockLists* blocks() const noexcept { return blocks_ ? &*blocks_ : nullptr; }

  /// Of rows that are here, and not in the other index that has these homes.
  bool holds(Row row) const noexcept { return places().holds(row) && is_here(places()[row]); }
  std::size_t list_of(Row row) const noexcept { return place_of(row).list; }
  const std::uint8_t* code_of(Row row) const noexcept {
    if (blocks_) return vectors()[row];
    const RowPlaces::Place place = place_of(row);
    return codes_->entry(place.list, place.offset);
  }
  void prefetch_place(Row row) const noexcept { places().prefetch(row); }
  /// Asks for the code of a row that is here, or has just left for the other index.
  void prefetch_code(Row row) const noexcept;

  /// Longer tables for lists that have to grow, by what lies in them.
  struct Room {
    std::vector<ListTables::Room> codes;    ///< of blocks, or of codes
    std::vector<ListTables::Room> numbers;  ///< of rows, without blocks
  };

  /// Memory for rows up to `last` and for one further entry in each of `lists` (as often as it is named). Once take_room()
  /// was given what is returned, before anything else was changed, they can be put; rows may be taken out in between.
  Room make_room(Row last, std::span<const std::uint32_t> lists, const WhileAlone& alone);
  void take_room(Room& room) noexcept;

  /// No more of what room was made for will be put.
  void leave_room() noexcept {
    homes_->awaited_[number_] = 0;
    count_homes();
  }

  /// Every row that was expected is here.
  void expect_no_more() noexcept {
    leave_room();
    homes_->expect_no_more();
  }

  /// Puts a row, for which there is room, at the end of a list, and takes it from where it was, here or in the other index that has
  /// these homes. `int8_code` and `norm` are of no account without blocks.
  void put(Row row, std::size_t list, const std::uint8_t* code, const std::uint8_t* int8_code, std::int32_t norm) noexcept;

  /// Puts a row of another index of the same codec.
  void put_from(const IvfLists& other, Row from, Row row);

  /// Of a row that is here. Moves the last entry of its list into its place.
  void take_out(Row row) noexcept;

  /// The lists of an index that FAISS read from a file, checked. Throws Error(kDataLoss).
  void take(const RowTable& rows, faiss::Index& loaded);

  /// With what is by row, of both that share it, if this is the first of them.
  std::size_t memory_bytes() const noexcept;

 private:
  const RowPlaces& places() const noexcept { return *homes_->places_; }
  const RowVectors& vectors() const noexcept { return *homes_->vectors_; }
  RowPlaces::Place place_of(Row row) const noexcept {
    RowPlaces::Place place = places()[row];
    place.list -= first_list_;
    return place;
  }
  bool is_here(RowPlaces::Place place) const noexcept { return place.list - first_list_ < nlist_; }
  void count_homes() noexcept;
  void set_place(Row row, std::size_t list, std::size_t position) noexcept;
  void leave_list(Row row) noexcept;

  std::size_t d_;
  std::size_t nlist_;
  std::shared_ptr<RowHomes> homes_;
  std::size_t number_;          ///< among those that have the homes
  std::uint32_t first_list_;    ///< the number there of the first list
  const Codec::Impl& codec_;    ///< VectorIndex holds the codec
  std::unique_ptr<faiss::IndexIVF> index_;
  std::size_t code_bytes_;
  std::optional<Int8BlockLists> blocks_;
  std::optional<EntryLists> codes_;  ///< without blocks
  std::optional<EntryLists> rows_;   ///< ... the rows' numbers
};

}  // namespace annulus
