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

void Pieces::reserve(std::size_t count) {
  if (count <= free_count_) return;
  const std::size_t end = taken_ + (count - free_count_);
  while (kLayout.capacity(chunk_count_) < end) {
    chunks_[chunk_count_] = AlignedBuffer<std::uint8_t>(kLayout.size_of(chunk_count_) * bytes_, 0);
    ++chunk_count_;
  }
  for (std::size_t begin = taken_; begin < end;) {
    const std::size_t chunk = kLayout.chunk_of(begin);
    const std::size_t stop = std::min(end, kLayout.capacity(chunk + 1));
    chunks_[chunk].advise(kLayout.offset_of(begin) * bytes_, (kLayout.offset_of(stop - 1) + 1) * bytes_);
    begin = stop;
  }
}

std::uint32_t Pieces::take() {
  if (free_ != kNone) {
    const std::uint32_t piece = free_;
    std::memcpy(&free_, address(piece), sizeof free_);
    --free_count_;
    return piece;
  }
  reserve(1);
  return static_cast<std::uint32_t>(taken_++);
}

void Pieces::give_back(std::uint32_t piece) noexcept {
  std::memcpy(address(piece), &free_, sizeof free_);
  free_ = piece;
  ++free_count_;
}

PieceLists::Room PieceLists::enlarged(std::size_t list, std::size_t more) const {
  const Header& header = headers_[list];
  const std::size_t needed = pieces_of(header.size + more);
  Room room;
  if (needed <= header.capacity) return room;
  // an eighth more, and what the allocator gives for nothing: it deals in units of 16 bytes from 32 on, of which 8 are its own
  const std::size_t capacity = (std::max<std::size_t>({needed, header.capacity + header.capacity / 8, 3}) + 1) / 4 * 4 + 2;
  room.list_ = list;
  room.header_.table = std::make_unique_for_overwrite<std::uint32_t[]>(capacity);
  room.header_.size = header.size;
  room.header_.capacity = static_cast<std::uint32_t>(capacity);
  std::copy_n(header.table.get(), pieces(list), room.header_.table.get());
  return room;
}

void PieceLists::exchange(Room& room) noexcept {
  Header& header = headers_[room.list_];
  table_entries_ += room.header_.capacity;
  table_entries_ -= header.capacity;
  std::swap(header, room.header_);
}

std::size_t PieceLists::push(std::size_t list) {
  Header& header = headers_[list];
  if ((header.size & mask()) == 0) {
    pieces_.reserve(1);  // what can throw comes first
    if (Room room = enlarged(list, 1)) exchange(room);
    header.table[header.size >> shift_] = pieces_.take();
  }
  return header.size++;
}

void PieceLists::pop(std::size_t list) noexcept {
  Header& header = headers_[list];
  --header.size;
  if ((header.size & mask()) == 0) pieces_.give_back(header.table[header.size >> shift_]);
}

EntryLists::EntryLists(std::size_t lists, std::size_t entry_bytes)
    : entry_bytes_(entry_bytes), pieces_(lists, entry_bytes << shift_for(entry_bytes), shift_for(entry_bytes)) {}

void EntryLists::append(std::size_t list, const std::uint8_t* entry) {
  const std::size_t position = pieces_.push(list);
  std::copy_n(entry, entry_bytes_, mutable_entry(list, position));
}

void EntryLists::take_out(std::size_t list, std::size_t position) noexcept {
  const std::size_t last = size(list) - 1;
  if (position != last) std::copy_n(entry(list, last), entry_bytes_, mutable_entry(list, position));
  pieces_.pop(list);
}

}  // namespace annulus
