#include "index/int8_blocks.h"

#include <algorithm>
#include <utility>

namespace annulus {
namespace {

constexpr std::size_t kQuarter = BlockSlot::kQuarterRows;

/// So many lanes of a block; `from` and `to` are the first of them.
void copy_lanes(const std::uint8_t* from, std::uint8_t* to, std::size_t bytes, std::size_t lanes) noexcept {
  for (std::size_t line = 0; line < bytes; line += 64) std::memcpy(to + line, from + line, 4 * lanes);
}

}  // namespace

std::int32_t Int8BlockLists::read(std::size_t list, std::size_t position, std::uint8_t* code) const noexcept {
  const Place place = place_of(list, position);
  const std::uint8_t* block = blocks_[place.block];
  const std::size_t lane = 4 * place.lane;
  for (std::size_t i = 0; i < d_; i += 4) std::memcpy(code + i, block + 16 * i + lane, std::min<std::size_t>(4, d_ - i));
  std::int32_t norm = 0;
  if (layout_.norms) std::memcpy(&norm, block + norms() + lane, sizeof norm);
  return norm;
}

/// Where the list's next row and those of its last part lie, which move there if need be.
BlockSlot Int8BlockLists::slot_for_next(std::size_t list) {
  const std::size_t behind = size(list) % kernels::kBlockRows;
  if (behind == 0) return blocks_.take(1);
  const BlockSlot slot = BlockSlot::unpacked(tables_(list, parts(list) - 1));
  const std::size_t quarters = behind / kQuarter;
  if (behind % kQuarter != 0 || blocks_.widen(slot, quarters)) return slot;
  const BlockSlot wider = blocks_.take(quarters + 1);
  move(slot, wider, behind);
  blocks_.give_back(slot, quarters);
  return wider;
}

void Int8BlockLists::move(BlockSlot from, BlockSlot to, std::size_t rows) noexcept {
  copy_lanes(blocks_[from.block] + 4 * from.first_lane(), blocks_[to.block] + 4 * to.first_lane(), layout_.bytes(), rows);
}

void Int8BlockLists::append(std::size_t list, const std::uint8_t* code, std::int32_t norm, Row row) {
  tables_.make_room(list);  // what can throw comes first
  const BlockSlot slot = slot_for_next(list);
  tables_.push(list, slot.packed());
  overwrite(list, size(list) - 1, code, norm, row);
}

void Int8BlockLists::overwrite(std::size_t list, std::size_t position, const std::uint8_t* code, std::int32_t norm,
                               Row row) noexcept {
  const Place place = place_of(list, position);
  std::uint8_t* block = blocks_[place.block];
  const std::size_t lane = 4 * place.lane;
  for (std::size_t i = 0; i < d_; i += 4) std::memcpy(block + 16 * i + lane, code + i, std::min<std::size_t>(4, d_ - i));
  if (layout_.norms) std::memcpy(block + norms() + lane, &norm, sizeof norm);
  std::memcpy(block + rows() + lane, &row, sizeof row);
}

void Int8BlockLists::take_out(std::size_t list, std::size_t position) noexcept {
  const std::size_t last = size(list) - 1;
  if (position != last) {
    const Place from = place_of(list, last);
    const Place to = place_of(list, position);
    copy_lanes(std::as_const(blocks_)[from.block] + 4 * from.lane, blocks_[to.block] + 4 * to.lane, layout_.bytes(), 1);
  }
  const BlockSlot slot = BlockSlot::unpacked(tables_(list, parts(list) - 1));
  const std::size_t left = last % kernels::kBlockRows;
  if (left % kQuarter == 0) {  // a quarter is empty now
    const std::size_t quarters = left / kQuarter;
    if (const auto rest = quarters == 0 ? std::nullopt : blocks_.take_rest(quarters, slot.block)) {
      move(slot, *rest, left);
      tables_.move_last(list, rest->packed());
      blocks_.give_back(slot, quarters + 1);
    } else {
      blocks_.narrow(slot, quarters + 1);
    }
  }
  tables_.pop(list);
}

}  // namespace annulus
