#include "index/pieces.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace annulus {
namespace {

// Half of it is what a list has for nothing; the less it is, the longer are the tables.
constexpr std::size_t kPieceBytes = 2048;
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

PieceLists::PieceLists(std::size_t lists, std::size_t entry_bytes)
    : entry_bytes_(entry_bytes), shift_(shift_for(entry_bytes)), pieces_(entry_bytes << shift_), lists_(lists) {}

std::size_t PieceLists::pieces_for(std::size_t list, std::size_t more) const noexcept {
  return ((lists_[list].size + more + mask()) >> shift_) - lists_[list].pieces.size();
}

PieceLists::Room PieceLists::enlarged(std::size_t list, std::size_t more) const {
  const std::vector<std::uint32_t>& pieces = lists_[list].pieces;
  const std::size_t needed = pieces.size() + pieces_for(list, more);
  Room room;
  if (needed <= pieces.capacity()) return room;
  room.list = list;
  room.pieces.reserve(std::max(needed, pieces.size() + pieces.size() / 8 + 2));
  room.pieces.assign(pieces.begin(), pieces.end());
  return room;
}

void PieceLists::append(std::size_t list, const std::uint8_t* entry) {
  List& to = lists_[list];
  if ((to.size & mask()) == 0) {
    pieces_.reserve(1);  // what can throw comes first
    to.pieces.push_back(0);
    to.pieces.back() = pieces_.take();
  }
  std::copy_n(entry, entry_bytes_, pieces_[to.pieces.back()] + (to.size & mask()) * entry_bytes_);
  ++to.size;
}

void PieceLists::take_out(std::size_t list, std::size_t position) noexcept {
  List& from = lists_[list];
  const std::size_t last = --from.size;
  if (position != last) {
    std::copy_n(entry(list, last), entry_bytes_, pieces_[from.pieces[position >> shift_]] + (position & mask()) * entry_bytes_);
  }
  if ((last & mask()) != 0) return;
  pieces_.give_back(from.pieces.back());
  from.pieces.pop_back();
}

std::size_t PieceLists::memory_bytes() const noexcept {
  std::size_t bytes = pieces_.memory_bytes() + lists_.capacity() * sizeof(List);
  for (const List& list : lists_) bytes += list.pieces.capacity() * sizeof(std::uint32_t);
  return bytes;
}

}  // namespace annulus
