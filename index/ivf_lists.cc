#include "index/ivf_lists.h"

#include <faiss/IndexIVF.h>
#include <faiss/invlists/InvertedLists.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include "core/prefetch.h"
#include "index/distance.h"
#include "index/faiss_factory.h"
#include "index/faiss_lists.h"

namespace annulus {

IvfLists::IvfLists(const IndexSpec& spec, const ParsedSpec& parsed, const Codec::Impl& codec, std::shared_ptr<RowHomes> homes,
                   std::size_t number)
    : d_(spec.dimension), nlist_(parsed.nlist), homes_(std::move(homes)), number_(number),
      first_list_(static_cast<std::uint32_t>(number * nlist_)), codec_(codec),
      index_(make_faiss_ivf(spec, parsed, codec.ivf().quantizer)), code_bytes_(index_->code_size) {
  copy_coding(codec.ivf(), *index_);
  index_->replace_invlists(std::make_unique<FaissLists>(nlist_, code_bytes(), *this).release(), true);
  if (codec.row_scale && spec.search_codes == SearchCodes::kInt8) {
    blocks_.emplace(nlist_, d_, spec.metric == Metric::kL2);
    if (!homes_->vectors_) homes_->vectors_.emplace(code_bytes(), homes_->expected_rows_);
  } else {
    codes_.emplace(nlist_, code_bytes());
    rows_.emplace(nlist_, sizeof(Row));
  }
  if (!homes_->places_) homes_->places_.emplace(homes_->indexes() * nlist_);
  homes_->lists_[number_] = this;
  for (std::size_t row = 0; row < places().rows(); ++row) {
    if (!holds(static_cast<Row>(row))) continue;
    homes_->places_->forget(static_cast<Row>(row));
    if (blocks_) homes_->vectors_->remove(static_cast<Row>(row));
  }
  count_homes();
}

IvfLists::~IvfLists() {
  if (homes_->lists_[number_] != this) return;
  homes_->lists_[number_] = nullptr;
  homes_->awaited_[number_] = 0;
}

Row IvfLists::row(std::size_t list, std::size_t position) const noexcept {
  if (blocks_) return blocks_->row(list, position);
  Row row;
  std::memcpy(&row, rows_->entry(list, position), sizeof row);
  return row;
}

IvfLists::Room IvfLists::make_room(Row last, std::span<const std::uint32_t> wanted, const WhileAlone& alone) {
  std::vector<std::uint32_t> sorted(wanted.begin(), wanted.end());
  std::sort(sorted.begin(), sorted.end());
  Room room;
  std::size_t longest = 0;
  const auto grow = [&](auto& lists, std::vector<ListTables::Room>& longer) {
    std::size_t pieces = 0;
    for (std::size_t i = 0; i < sorted.size();) {
      const std::size_t list = sorted[i];
      std::size_t more = 0;
      for (; i < sorted.size() && sorted[i] == list; ++i) ++more;
      longest = std::max(longest, lists.size(list) + more);
      pieces += lists.tables().growth(list, more);
      if (ListTables::Room table = lists.tables().enlarged(list, more)) longer.push_back(std::move(table));
    }
    lists.reserve(pieces);
  };
  const std::size_t end = std::size_t{last} + 1;
  if (blocks_) {
    grow(*blocks_, room.codes);
    const std::size_t awaited = sorted.size() + homes_->awaited_[1 - number_];
    homes_->vectors_->reserve(end, awaited, [this](Row row) { return places().holds(row); }, alone);
  } else {
    grow(*codes_, room.codes);
    grow(*rows_, room.numbers);
  }
  homes_->places_->reserve(end, longest, alone);
  homes_->awaited_[number_] = sorted.size();
  count_homes();
  return room;
}

void IvfLists::take_room(Room& room) noexcept {
  for (ListTables::Room& table : room.codes) (blocks_ ? blocks_->tables() : codes_->tables()).exchange(table);
  for (ListTables::Room& table : room.numbers) rows_->tables().exchange(table);
}

void IvfLists::count_homes() noexcept {
  homes_->bytes_.store(places().memory_bytes() + (homes_->vectors_ ? vectors().memory_bytes() : 0), std::memory_order_relaxed);
}

void IvfLists::prefetch_code(Row row) const noexcept {
  if (!blocks_ && !is_here(places()[row])) return;
  const std::uint8_t* code = code_of(row);
  for (std::size_t byte = 0; byte < std::min<std::size_t>(code_bytes(), 1024); byte += 64) annulus::prefetch(code + byte);
}

void IvfLists::set_place(Row row, std::size_t list, std::size_t position) noexcept {
  homes_->places_->set(row, {first_list_ + static_cast<std::uint32_t>(list), static_cast<std::uint32_t>(position)});
}

void IvfLists::put(Row row, std::size_t list, const std::uint8_t* code, const std::uint8_t* int8_code, std::int32_t norm) noexcept {
  if (homes_->awaited_[number_] > 0) --homes_->awaited_[number_];
  if (holds(row)) {
    leave_list(row);
  } else if (places().holds(row)) {
    if (IvfLists* other = homes_->lists_[1 - number_]) other->leave_list(row);
  } else if (blocks_) {
    homes_->vectors_->add(row);
  }
  set_place(row, list, size(list));
  if (blocks_) {
    blocks_->append(list, int8_code, norm, row);
    std::copy_n(code, code_bytes(), (*homes_->vectors_)[row]);
  } else {
    codes_->append(list, code);
    rows_->append(list, reinterpret_cast<const std::uint8_t*>(&row));
  }
  ++index_->ntotal;
}

void IvfLists::put_from(const IvfLists& other, Row from, Row row) {
  const RowPlaces::Place place = other.place_of(from);
  std::vector<std::uint8_t> code(blocks_ ? d_ : 0);
  std::int32_t norm = 0;
  if (blocks_) norm = other.blocks_->read(place.list, place.offset, code.data());
  put(row, place.list, other.code_of(from), code.data(), norm);
}

/// What is by row stays as it was.
void IvfLists::leave_list(Row row) noexcept {
  const RowPlaces::Place hole = place_of(row);
  const Row moved = this->row(hole.list, size(hole.list) - 1);
  if (blocks_) {
    blocks_->take_out(hole.list, hole.offset);
  } else {
    codes_->take_out(hole.list, hole.offset);
    rows_->take_out(hole.list, hole.offset);
  }
  set_place(moved, hole.list, hole.offset);
  --index_->ntotal;
}

void IvfLists::take_out(Row row) noexcept {
  leave_list(row);
  homes_->places_->forget(row);
  if (blocks_) homes_->vectors_->remove(row);
}

void IvfLists::take(const RowTable& rows, faiss::Index& loaded) {
  auto* from = dynamic_cast<faiss::IndexIVF*>(&loaded);
  check_loaded(from != nullptr && from->d == index_->d && same_bytes(from->metric_type, index_->metric_type) &&
                   from->nlist == nlist_ && from->code_size == code_bytes(),
               "it holds another index than its spec says");
  auto* saved = dynamic_cast<faiss::ArrayInvertedLists*>(from->invlists);
  check_loaded(saved != nullptr && saved->nlist == nlist_ && saved->code_size == code_bytes() && saved->codes.size() == nlist_ &&
                   saved->ids.size() == nlist_,
               "its lists are of another kind or number");
  check_loaded(static_cast<std::size_t>(from->ntotal) == rows.live() && rows.dead() == 0,
               "its row map and its index differ in size");
  std::size_t placed = 0;
  std::vector<bool> seen(rows.rows());
  for (std::size_t list = 0; list < nlist_; ++list) {
    const std::size_t size = saved->ids[list].size();
    check_loaded(saved->codes[list].size() == size * code_bytes(), "a list has more or fewer codes than rows");
    for (const std::int64_t row : saved->ids[list]) {
      check_loaded(row >= 0 && static_cast<std::size_t>(row) < rows.rows() && rows.is_live(static_cast<Row>(row)) &&
                       !seen[static_cast<std::size_t>(row)],
                   "a list holds a row that is not live, or is in another list too");
      seen[static_cast<std::size_t>(row)] = true;
    }
    placed += size;
  }
  check_loaded(placed == rows.live(), "a live row is in no list");
  if (placed == 0) return;
  const auto at_once = [](const std::function<void()>& step) { step(); };
  const auto last = static_cast<Row>(rows.rows() - 1);
  std::vector<std::uint8_t> int8_code(d_);
  for (std::size_t list = 0; list < nlist_; ++list) {
    const auto& numbers = saved->ids[list];
    const std::vector<std::uint32_t> entries(numbers.size(), static_cast<std::uint32_t>(list));
    Room room = make_room(last, entries, at_once);
    take_room(room);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const std::uint8_t* code = saved->codes[list].data() + i * code_bytes();
      std::int32_t norm = 0;
      if (blocks_) {
        const auto* vector = reinterpret_cast<const float*>(code);
        check_loaded(all_finite(vector, d_), "a vector is not finite");
        norm = codec_.row_scale->encode_row(vector, int8_code.data());
      }
      put(static_cast<Row>(numbers[i]), list, code, int8_code.data(), norm);
    }
    std::exchange(saved->codes[list], {});  // not in memory twice
  }
  expect_no_more();
}

std::size_t IvfLists::memory_bytes() const noexcept {
  const std::size_t by_row = number_ == 0 ? homes_->bytes_.load(std::memory_order_relaxed) : 0;
  return by_row + (blocks_ ? blocks_->memory_bytes() : codes_->memory_bytes() + rows_->memory_bytes());
}

}  // namespace annulus
