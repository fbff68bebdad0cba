// Internal: blocks of which lists that do not fill one share. Start at SharedBlocks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/chunked_array.h"
#include "index/int8_block_kernels.h"
#include "index/pieces.h"

namespace annulus {

/// Where the last rows of a list lie: a block, and in it 1 to 4 quarters of 4 lanes each, behind one another from `quarter` on.
struct BlockSlot {
  static constexpr std::size_t kQuarterRows = kernels::kBlockRows / 4;

  std::uint32_t block;
  std::uint32_t quarter;

  std::uint32_t packed() const noexcept { return block << 2 | quarter; }
  static BlockSlot unpacked(std::uint32_t packed) noexcept { return {packed >> 2, packed & 3}; }
  std::size_t first_lane() const noexcept { return quarter * kQuarterRows; }
};

/// Blocks, taken whole or in parts. Two quarters are the first or the second half of a block, so that a scan may read no more than
/// that; three are the first three. A part is taken of the block whose rest is of least use for others. Were parts that get smaller
/// to stay where they are, rests that nothing fits would add up: take_rest() is for them (docs/decisions/0021).
/// Thread safety: as Pieces'.
class SharedBlocks {
 public:
  explicit SharedBlocks(kernels::BlockLayout layout) noexcept;

  std::size_t bytes() const noexcept { return blocks_.bytes(); }
  std::uint8_t* operator[](std::uint32_t block) noexcept { return blocks_[block]; }
  const std::uint8_t* operator[](std::uint32_t block) const noexcept { return blocks_[block]; }

  /// Until there are more than `parts` parts at a time, take() cannot throw, even were each to be alone in its block. `soon`:
  /// about so many blocks will be taken before long.
  void reserve(std::size_t parts, std::size_t soon);

  /// `quarters` (1 to 4) of a block, whose bytes are any, but were written.
  BlockSlot take(std::size_t quarters);
  void give_back(BlockSlot slot, std::size_t quarters) noexcept;

  /// Takes a part that leaves nothing of its block, if there is such a block other than `not_of`.
  std::optional<BlockSlot> take_rest(std::size_t quarters, std::uint32_t not_of) noexcept;

  /// Takes one quarter more than `quarters` behind them, if it is free and they may lie so.
  bool widen(BlockSlot slot, std::size_t quarters) noexcept;

  /// Gives the last of `quarters` back.
  void narrow(BlockSlot slot, std::size_t quarters) noexcept {
    give_back({slot.block, slot.quarter + static_cast<std::uint32_t>(quarters) - 1}, 1);
  }

  /// Blocks of which any part is taken.
  std::size_t in_use() const noexcept { return blocks_.in_use(); }

  std::size_t memory_bytes() const noexcept { return blocks_.memory_bytes() + used_.memory_bytes(); }

 private:
  using Quarters = std::uint8_t;  ///< bit i: quarter i is taken

  static constexpr Quarters kAll = 15;
  static constexpr std::uint32_t kNone = UINT32_MAX;

  /// In the numbers of a free quarter of a block that has such, the neighbours in the list of blocks with the same quarters taken.
  struct Links {
    std::uint32_t before;
    std::uint32_t after;
  };
  Links links(std::uint32_t block) const noexcept;
  void set_links(std::uint32_t block, Links links) noexcept;
  std::size_t place_of_links(std::uint32_t block) const noexcept;

  void set_used(std::uint32_t block, Quarters used) noexcept;
  void leave_list(std::uint32_t block) noexcept;
  void enter_list(std::uint32_t block) noexcept;

  std::size_t numbers_;  ///< where they begin in a block
  Pieces blocks_;
  ChunkedArray<Quarters> used_;  ///< by block; 0: it was given back
  std::array<std::uint32_t, kAll> first_;  ///< block of each list: of those with these quarters taken, and not all
};

}  // namespace annulus
