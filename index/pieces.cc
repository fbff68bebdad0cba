#include "index/pieces.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace annulus {
namespace {

// Half of it is what a list has for nothing; the less it is, the longer are the tables.
constexpr std::size_t kPieceBytes = 1024;
constexpr std::size_t kMostEntries = 64;

unsigned shift_for(std::size_t entry_bytes) noexcept {
  const std::size_t entries = std::clamp<std::size_t>(kPieceBytes / entry_bytes, 1, kMostEntries);
  return static_cast<unsigned>(std::bit_width(entries) - 1);
}

}  // namespace

void EntryTable::make_room(std::size_t end) {
  while (kLayout.capacity(chunk_count_) < end) {
    chunks_[chunk_count_] = AlignedBuffer<std::uint8_t>(kLayout.size_of(chunk_count_) * bytes_, 0);
    ++chunk_count_;
  }
}

void EntryTable::reserve(std::size_t begin, std::size_t end) {
  make_room(end);
  while (begin < end) {
    const std::size_t chunk = kLayout.chunk_of(begin);
    const std::size_t stop = std::min(end, kLayout.capacity(chunk + 1));
    chunks_[chunk].advise(kLayout.offset_of(begin) * bytes_, (kLayout.offset_of(stop - 1) + 1) * bytes_);
    begin = stop;
  }
}

std::uint32_t Pieces::take() {
  if (free_ != kNone) {
    const std::uint32_t piece = free_;
    std::memcpy(&free_, pieces_[piece], sizeof free_);
    --free_count_;
    return piece;
  }
  reserve(1);
  return static_cast<std::uint32_t>(taken_++);
}

void Pieces::give_back(std::uint32_t piece) noexcept {
  std::memcpy(pieces_[piece], &free_, sizeof free_);
  free_ = piece;
  ++free_count_;
}

ListTables::Room ListTables::enlarged(std::size_t list, std::size_t more) const {
  const Header& header = headers_[list];
  const std::size_t needed = length_of(header.size + more);
  Room room;
  if (needed <= header.capacity) return room;
  // an eighth more, and what the allocator gives for nothing: it deals in units of 16 bytes from 32 on, of which 8 are its own
  const std::size_t capacity = (std::max<std::size_t>({needed, header.capacity + header.capacity / 8, 3}) + 1) / 4 * 4 + 2;
  room.list_ = list;
  room.header_.table = std::make_unique_for_overwrite<std::uint32_t[]>(capacity);
  room.header_.size = header.size;
  room.header_.capacity = static_cast<std::uint32_t>(capacity);
  std::copy_n(header.table.get(), length(list), room.header_.table.get());
  return room;
}

void ListTables::exchange(Room& room) noexcept {
  Header& header = headers_[room.list_];
  entries_ += room.header_.capacity;
  entries_ -= header.capacity;
  std::swap(header, room.header_);
}

void ListTables::make_room(std::size_t list) {
  if (Room room = enlarged(list, 1)) exchange(room);
}

EntryLists::EntryLists(std::size_t lists, std::size_t entry_bytes)
    : entry_bytes_(entry_bytes), shift_(shift_for(entry_bytes)), pieces_(entry_bytes << shift_), tables_(lists, shift_) {}

void EntryLists::append(std::size_t list, const std::uint8_t* entry) {
  const std::size_t position = size(list);
  tables_.make_room(list);  // what can throw comes first
  tables_.push(list, place(position) == 0 ? pieces_.take() : tables_(list, position >> shift_));
  std::copy_n(entry, entry_bytes_, mutable_entry(list, position));
}

void EntryLists::take_out(std::size_t list, std::size_t position) noexcept {
  const std::size_t last = size(list) - 1;
  if (position != last) std::copy_n(entry(list, last), entry_bytes_, mutable_entry(list, position));
  if (place(last) == 0) pieces_.give_back(tables_(list, last >> shift_));
  tables_.pop(list);
}

}  // namespace annulus
