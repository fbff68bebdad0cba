#include "index/shared_blocks.h"

#include <bit>
#include <cstring>
#include <span>

namespace annulus {
namespace {

/// Quarters of a block, and those with which it may have been taken before, best first.
struct Way {
  std::uint8_t wanted;
  std::uint8_t used;
};

// A quarter beside one that is taken leaves the halves whole that are; behind three it is all that is left.
constexpr Way kOne[] = {{8, 7}, {4, 11}, {2, 13}, {1, 14}, {8, 4}, {4, 8}, {2, 1}, {1, 2}, {8, 6}, {1, 6}, {8, 5}, {2, 5},
                        {4, 9}, {2, 9}, {4, 10}, {1, 10}, {4, 3}, {1, 12}};
constexpr Way kTwo[] = {{12, 3}, {3, 12}, {12, 1}, {12, 2}, {3, 8}, {3, 4}};
constexpr Way kThree[] = {{7, 8}};

std::span<const Way> ways(std::size_t quarters) noexcept {
  switch (quarters) {
    case 1: return kOne;
    case 2: return kTwo;
    case 3: return kThree;
    default: return {};
  }
}

std::uint8_t mask(std::size_t first, std::size_t quarters) noexcept {
  return static_cast<std::uint8_t>(((1U << quarters) - 1) << first);
}

}  // namespace

SharedBlocks::SharedBlocks(kernels::BlockLayout layout) noexcept
    : numbers_(layout.bytes() - 4 * kernels::kBlockRows), blocks_(layout.bytes()) {
  first_.fill(kNone);
}

void SharedBlocks::reserve(std::size_t parts, std::size_t soon) {
  blocks_.reserve(soon);
  // a part that moves is in two blocks for a while
  blocks_.make_room(parts + 1);
  used_.reserve(parts + 1);
}

std::size_t SharedBlocks::place_of_links(std::uint32_t block) const noexcept {
  return numbers_ + sizeof(std::uint32_t) * BlockSlot::kQuarterRows * static_cast<std::size_t>(std::countr_one(used_[block]));
}

SharedBlocks::Links SharedBlocks::links(std::uint32_t block) const noexcept {
  Links links;
  std::memcpy(&links, blocks_[block] + place_of_links(block), sizeof links);
  return links;
}

void SharedBlocks::set_links(std::uint32_t block, Links links) noexcept {
  std::memcpy(blocks_[block] + place_of_links(block), &links, sizeof links);
}

void SharedBlocks::leave_list(std::uint32_t block) noexcept {
  const Links mine = links(block);
  if (mine.before == kNone) {
    first_[used_[block]] = mine.after;
  } else {
    set_links(mine.before, {links(mine.before).before, mine.after});
  }
  if (mine.after != kNone) set_links(mine.after, {mine.before, links(mine.after).after});
}

void SharedBlocks::enter_list(std::uint32_t block) noexcept {
  std::uint32_t& first = first_[used_[block]];
  set_links(block, {kNone, first});
  if (first != kNone) set_links(first, {block, links(first).after});
  first = block;
}

/// Of a block that had some taken.
void SharedBlocks::set_used(std::uint32_t block, Quarters used) noexcept {
  if (used_[block] != kAll) leave_list(block);
  used_[block] = used;
  if (used == 0) {
    blocks_.give_back(block);
  } else if (used != kAll) {
    enter_list(block);
  }
}

BlockSlot SharedBlocks::take(std::size_t quarters) {
  for (const Way way : ways(quarters)) {
    const std::uint32_t block = first_[way.used];
    if (block == kNone) continue;
    set_used(block, static_cast<Quarters>(way.used | way.wanted));
    return {block, static_cast<std::uint32_t>(std::countr_zero(way.wanted))};
  }
  if (blocks_.in_use() == used_.size()) used_.reserve(used_.size() + 1);  // what can throw comes first
  const std::uint32_t block = blocks_.take();
  if (block >= used_.size()) used_.resize(block + 1, 0);
  // lanes without a row are multiplied like others: they must hold something
  std::memset(blocks_[block], 0, blocks_.bytes());
  used_[block] = mask(0, quarters);
  if (quarters < 4) enter_list(block);
  return {block, 0};
}

std::optional<BlockSlot> SharedBlocks::take_rest(std::size_t quarters, std::uint32_t not_of) noexcept {
  for (const Way way : ways(quarters)) {
    if ((way.used | way.wanted) != kAll) continue;
    std::uint32_t block = first_[way.used];
    if (block != kNone && block == not_of) block = links(block).after;
    if (block == kNone) continue;
    set_used(block, kAll);
    return BlockSlot{block, static_cast<std::uint32_t>(std::countr_zero(way.wanted))};
  }
  return std::nullopt;
}

void SharedBlocks::give_back(BlockSlot slot, std::size_t quarters) noexcept {
  set_used(slot.block, static_cast<Quarters>(used_[slot.block] & ~mask(slot.quarter, quarters)));
}

bool SharedBlocks::widen(BlockSlot slot, std::size_t quarters) noexcept {
  const bool may = quarters == 1 ? slot.quarter % 2 == 0 : slot.quarter == 0;
  const Quarters more = mask(slot.quarter + quarters, 1);
  if (!may || (used_[slot.block] & more) != 0) return false;
  set_used(slot.block, static_cast<Quarters>(used_[slot.block] | more));
  return true;
}

}  // namespace annulus
