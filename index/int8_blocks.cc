#include "index/int8_blocks.h"

#include <algorithm>
#include <utility>

namespace annulus {

std::int32_t Int8BlockLists::read(std::size_t list, std::size_t position, std::uint8_t* code) const noexcept {
  const std::uint8_t* block = pieces_.piece_at(list, position);
  const std::size_t lane = 4 * pieces_.place(position);
  for (std::size_t i = 0; i < d_; i += 4) std::memcpy(code + i, block + 16 * i + lane, std::min<std::size_t>(4, d_ - i));
  std::int32_t norm = 0;
  if (layout_.norms) std::memcpy(&norm, block + norms() + lane, sizeof norm);
  return norm;
}

void Int8BlockLists::append(std::size_t list, const std::uint8_t* code, std::int32_t norm, Row row) {
  const std::size_t position = pieces_.push(list);
  // Lanes without a row are multiplied like others: they must hold something.
  if (pieces_.place(position) == 0) std::memset(pieces_.piece_at(list, position), 0, layout_.bytes());
  overwrite(list, position, code, norm, row);
}

void Int8BlockLists::overwrite(std::size_t list, std::size_t position, const std::uint8_t* code, std::int32_t norm,
                               Row row) noexcept {
  std::uint8_t* block = pieces_.piece_at(list, position);
  const std::size_t lane = 4 * pieces_.place(position);
  for (std::size_t i = 0; i < d_; i += 4) std::memcpy(block + 16 * i + lane, code + i, std::min<std::size_t>(4, d_ - i));
  if (layout_.norms) std::memcpy(block + norms() + lane, &norm, sizeof norm);
  std::memcpy(block + rows() + lane, &row, sizeof row);
}

void Int8BlockLists::take_out(std::size_t list, std::size_t position) noexcept {
  const std::size_t last = size(list) - 1;
  if (position != last) {
    const std::uint8_t* from = std::as_const(pieces_).piece_at(list, last) + 4 * pieces_.place(last);
    std::uint8_t* to = pieces_.piece_at(list, position) + 4 * pieces_.place(position);
    for (std::size_t line = 0; line < layout_.bytes(); line += 64) std::memcpy(to + line, from + line, 4);
  }
  pieces_.pop(list);
}

}  // namespace annulus
