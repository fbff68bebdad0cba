#include "index/int8_blocks.h"

#include <algorithm>

#include "core/prefetch.h"

namespace annulus {

using kernels::block_bytes;
using kernels::block_groups;
using kernels::kBlockRows;

namespace {

// Cache lines of a list that is asked for whole. Of a longer one the first lines are, until the processor has seen that they follow
// one another and reads on by itself.
constexpr std::size_t kShortLines = 128;
constexpr std::size_t kFirstLines = 16;

}  // namespace

std::span<const std::uint8_t> Int8BlockLists::short_blocks(std::size_t list) const noexcept {
  const std::size_t bytes = (headers_[list].size + kBlockRows - 1) / kBlockRows * block_bytes(d_);
  return {headers_[list].blocks.get(), bytes <= kShortLines * 64 ? bytes : 0};
}

void Int8BlockLists::prefetch_blocks(std::size_t list, std::size_t part, std::size_t parts) const noexcept {
  const std::uint8_t* blocks = headers_[list].blocks.get();
  const std::size_t all = (headers_[list].size + kBlockRows - 1) / kBlockRows * (block_bytes(d_) / 64);
  const std::size_t lines = all <= kShortLines ? all : kFirstLines;
  for (std::size_t line = lines * part / parts; line < lines * (part + 1) / parts; ++line) prefetch_far(blocks + 64 * line);
}

std::int32_t Int8BlockLists::read(std::size_t list, std::size_t position, std::uint8_t* code) const noexcept {
  const Place at = place(position);
  const std::uint8_t* blocks = headers_[list].blocks.get();
  for (std::size_t i = 0; i < d_; i += 4) std::memcpy(code + i, blocks + at.code + 16 * i, std::min<std::size_t>(4, d_ - i));
  std::int32_t norm;
  std::memcpy(&norm, blocks + at.norm, sizeof norm);
  return norm;
}

void Int8BlockLists::append(std::size_t list, const std::uint8_t* code, std::int32_t norm, Row row) {
  if (Room room = enlarged(list, 1)) exchange(room);
  overwrite(list, headers_[list].size++, code, norm, row);
}

void Int8BlockLists::overwrite(std::size_t list, std::size_t position, const std::uint8_t* code, std::int32_t norm,
                               Row row) noexcept {
  const Place at = place(position);
  std::uint8_t* blocks = headers_[list].blocks.get();
  for (std::size_t i = 0; i < d_; i += 4) std::memcpy(blocks + at.code + 16 * i, code + i, std::min<std::size_t>(4, d_ - i));
  std::memcpy(blocks + at.norm, &norm, sizeof norm);
  std::memcpy(blocks + at.row, &row, sizeof row);
}

void Int8BlockLists::take_out(std::size_t list, std::size_t position) noexcept {
  Header& header = headers_[list];
  const std::size_t last = --header.size;
  if (position == last) return;
  std::uint8_t* blocks = header.blocks.get();
  const Place from = place(last);
  const Place to = place(position);
  for (std::size_t g = 0; g < block_groups(d_); ++g) std::memcpy(blocks + to.code + 64 * g, blocks + from.code + 64 * g, 4);
  std::memcpy(blocks + to.norm, blocks + from.norm, 4);
  std::memcpy(blocks + to.row, blocks + from.row, 4);
}

Int8BlockLists::Room Int8BlockLists::enlarged(std::size_t list, std::size_t more) const {
  const Header& header = headers_[list];
  const std::size_t needed = (header.size + more + kBlockRows - 1) / kBlockRows;
  Room room;
  if (needed <= header.capacity) return room;
  const std::size_t capacity = std::max<std::size_t>(needed, header.capacity + header.capacity / 32);
  const std::size_t bytes = capacity * block_bytes(d_);
  room.list_ = list;
  room.header_.blocks.reset(static_cast<std::uint8_t*>(::operator new (bytes, std::align_val_t{64})));
  room.header_.size = header.size;
  room.header_.capacity = static_cast<std::uint32_t>(capacity);
  const std::size_t used = header.capacity * block_bytes(d_);
  if (used != 0) std::memcpy(room.header_.blocks.get(), header.blocks.get(), used);
  // Lanes without a row are multiplied like others: they must hold something.
  std::memset(room.header_.blocks.get() + used, 0, bytes - used);
  return room;
}

void Int8BlockLists::exchange(Room& room) noexcept {
  Header& header = headers_[room.list_];
  blocks_ = blocks_ + room.header_.capacity - header.capacity;
  std::swap(header, room.header_);
}

}  // namespace annulus
