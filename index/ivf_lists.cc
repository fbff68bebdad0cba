#include "index/ivf_lists.h"

#include <faiss/IndexIVF.h>
#include <faiss/invlists/InvertedLists.h>

#include <algorithm>
#include <type_traits>

#include "index/distance.h"
#include "index/faiss_factory.h"

namespace annulus {
namespace {

/// A copy of `array` with room for `size` elements and some more, if they do not fit into it.
template <class Array>
std::optional<Array> enlarged(const Array& array, std::size_t size) {
  if (size <= array.capacity()) return std::nullopt;
  Array grown;
  grown.reserve(std::max(size, array.capacity() + array.capacity() / 32));
  grown.insert(grown.end(), array.begin(), array.end());
  return grown;
}

}  // namespace

IvfLists::IvfLists(const IndexSpec& spec, const ParsedSpec& parsed, const Codec::Impl& codec)
    : d_(spec.dimension), nlist_(parsed.nlist), codec_(codec), index_(make_faiss_ivf(spec, parsed, codec.ivf().quantizer)),
      places_(parsed.nlist) {
  copy_coding(codec.ivf(), *index_);
  if (codec.row_scale && spec.search_codes == SearchCodes::kInt8) {
    blocks_.emplace(nlist_, d_);
  } else {
    rows_.resize(nlist_);
  }
}

IvfLists::~IvfLists() = default;

faiss::ArrayInvertedLists& IvfLists::lists() const noexcept { return static_cast<faiss::ArrayInvertedLists&>(*index_->invlists); }

std::size_t IvfLists::code_bytes() const noexcept { return index_->code_size; }
std::size_t IvfLists::size(std::size_t list) const noexcept { return blocks_ ? blocks_->size(list) : rows_[list].size(); }
const std::uint8_t* IvfLists::codes(std::size_t list) const noexcept { return lists().codes[list].data(); }

Row IvfLists::row(std::size_t list, std::size_t position) const noexcept {
  return blocks_ ? blocks_->row(list, position) : rows_[list][position];
}

const std::uint8_t* IvfLists::code_of(Row row) const noexcept {
  const RowPlaces::Place place = places_[row];
  return codes(place.list) + std::size_t{place.offset} * code_bytes();
}

void IvfLists::with_whole_index(const std::function<void(const faiss::Index&)>& use) const {
  std::lock_guard lock(writing_);
  const auto forget = [](faiss::ArrayInvertedLists* whole) {
    for (auto& ids : whole->ids) std::remove_reference_t<decltype(ids)>().swap(ids);
  };
  const std::unique_ptr<faiss::ArrayInvertedLists, decltype(forget)> whole(&lists(), forget);
  for (std::size_t list = 0; list < nlist_; ++list) {
    whole->ids[list].resize(size(list));
    for (std::size_t i = 0; i < size(list); ++i) whole->ids[list][i] = row(list, i);
  }
  use(*index_);
}

void IvfLists::make_room(Row last, std::span<const std::uint32_t> wanted, const WhileAlone& alone) {
  struct Larger {
    std::size_t list;
    std::optional<decltype(faiss::ArrayInvertedLists::codes)::value_type> codes;
    std::optional<std::vector<Row>> rows;
    Int8BlockLists::Room blocks;
  };
  // Being alone has to be waited for, so many lists change places at once, about so many bytes of them and one list at least; while
  // they wait they are in memory twice.
  constexpr std::size_t kBytesAtOnce = std::size_t{4} << 20;
  std::vector<Larger> grown;
  std::size_t bytes = 0;
  const auto exchange_all = [&] {
    if (grown.empty()) return;
    alone([&] {
      for (Larger& larger : grown) {
        if (larger.codes) lists().codes[larger.list].swap(*larger.codes);
        if (larger.rows) rows_[larger.list].swap(*larger.rows);
        if (larger.blocks) blocks_->exchange(larger.blocks);
      }
    });
    grown.clear();
    bytes = 0;
  };
  std::vector<std::uint32_t> sorted(wanted.begin(), wanted.end());
  std::sort(sorted.begin(), sorted.end());
  std::size_t longest = 0;
  for (std::size_t i = 0; i < sorted.size();) {
    const std::size_t list = sorted[i];
    std::size_t more = 0;
    for (; i < sorted.size() && sorted[i] == list; ++i) ++more;
    const std::size_t rows = size(list) + more;
    longest = std::max(longest, rows);
    Larger larger{.list = list, .codes = enlarged(lists().codes[list], rows * code_bytes()), .rows = std::nullopt, .blocks = {}};
    if (blocks_) {
      larger.blocks = blocks_->enlarged(list, more);
    } else {
      larger.rows = enlarged(rows_[list], rows);
    }
    if (!larger.codes && !larger.rows && !larger.blocks) continue;
    bytes += rows * (code_bytes() + (blocks_ ? d_ : sizeof(Row)));
    grown.push_back(std::move(larger));
    if (bytes >= kBytesAtOnce) exchange_all();
  }
  exchange_all();
  places_.reserve(std::size_t{last} + 1, longest, alone);
}

void IvfLists::append(Row row, std::size_t list, const std::uint8_t* code, const std::uint8_t* int8_code, std::int32_t norm) {
  auto& codes = lists().codes[list];
  places_.set(row, {static_cast<std::uint32_t>(list), static_cast<std::uint32_t>(size(list))});
  codes.insert(codes.end(), code, code + code_bytes());
  if (blocks_) {
    blocks_->append(list, int8_code, norm, row);
  } else {
    rows_[list].push_back(row);
  }
  ++index_->ntotal;
}

void IvfLists::append_from(const IvfLists& other, Row from, Row row) {
  const RowPlaces::Place place = other.places_[from];
  std::vector<std::uint8_t> code(blocks_ ? d_ : 0);
  std::int32_t norm = 0;
  if (blocks_) norm = other.blocks_->read(place.list, place.offset, code.data());
  append(row, place.list, other.code_of(from), code.data(), norm);
}

void IvfLists::take_out(Row row) {
  const RowPlaces::Place hole = places_[row];
  auto& codes = lists().codes[hole.list];
  const std::size_t last = size(hole.list) - 1;
  const Row moved = this->row(hole.list, last);
  std::copy_n(codes.data() + last * code_bytes(), code_bytes(), codes.data() + std::size_t{hole.offset} * code_bytes());
  codes.resize(last * code_bytes());
  if (blocks_) {
    blocks_->take_out(hole.list, hole.offset);
  } else {
    rows_[hole.list][hole.offset] = moved;
    rows_[hole.list].pop_back();
  }
  places_.set(moved, hole);
  places_.forget(row);
  --index_->ntotal;
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
  std::size_t longest = 0;
  for (const auto& ids : saved->ids) longest = std::max(longest, ids.size());
  places_.reserve(rows.rows(), longest, [](const auto& step) { step(); });
  for (std::size_t list = 0; list < nlist_; ++list) {
    const std::size_t size = saved->ids[list].size();
    check_loaded(saved->codes[list].size() == size * code_bytes(), "a list has more or fewer codes than rows");
    for (std::size_t i = 0; i < size; ++i) {
      const std::int64_t row = saved->ids[list][i];
      check_loaded(row >= 0 && static_cast<std::size_t>(row) < rows.rows() && rows.is_live(static_cast<Row>(row)) &&
                       !places_.holds(static_cast<Row>(row)),
                   "a list holds a row that is not live, or is in another list too");
      places_.set(static_cast<Row>(row), {static_cast<std::uint32_t>(list), static_cast<std::uint32_t>(i)});
    }
    placed += size;
  }
  check_loaded(placed == rows.live(), "a live row is in no list");
  lists().codes.swap(saved->codes);
  index_->ntotal = from->ntotal;
  if (!blocks_) {
    for (std::size_t list = 0; list < nlist_; ++list) rows_[list].assign(saved->ids[list].begin(), saved->ids[list].end());
    return;
  }
  std::vector<std::uint8_t> code(d_);
  for (std::size_t list = 0; list < nlist_; ++list) {
    const auto& numbers = saved->ids[list];
    if (Int8BlockLists::Room room = blocks_->enlarged(list, numbers.size())) blocks_->exchange(room);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const auto* vector = reinterpret_cast<const float*>(codes(list)) + i * d_;
      check_loaded(all_finite(vector, d_), "a vector is not finite");
      const std::int32_t norm = codec_.row_scale->encode_row(vector, code.data());
      blocks_->append(list, code.data(), norm, static_cast<Row>(numbers[i]));
    }
  }
}

std::size_t IvfLists::memory_bytes() const noexcept {
  std::size_t bytes = places_.memory_bytes() + (blocks_ ? blocks_->memory_bytes() : 0);
  bytes += nlist_ * (sizeof(lists().codes[0]) + sizeof(lists().ids[0])) + rows_.size() * sizeof(rows_[0]);
  for (const auto& codes : lists().codes) bytes += codes.capacity();
  for (const auto& rows : rows_) bytes += rows.capacity() * sizeof(Row);
  return bytes;
}

}  // namespace annulus
