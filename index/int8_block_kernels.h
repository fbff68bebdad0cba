// Internal: what int8_block_kernels.cc compiles once for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace annulus::kernels {

/// Rows of a block. Their products with a query fill lanes side by side, so nothing is summed across lanes.
inline constexpr std::size_t kBlockRows = 16;

/// Dimensions of d in groups of 4, the last one padded with bytes that count for nothing.
constexpr std::size_t block_groups(std::size_t d) noexcept { return (d + 3) / 4; }

/// What a block holds: for each group 4 bytes of each row (row r's byte of dimension 4 g + u at 64 g + 4 r + u), then, where
/// distances need them, the rows' norms (16 x i32), then what the scan passes over (16 x u32: the rows' numbers).
struct BlockLayout {
  std::size_t groups;
  bool norms;

  BlockLayout(std::size_t d, bool has_norms) noexcept : groups(block_groups(d)), norms(has_norms) {}

  std::size_t lines() const noexcept { return groups + (norms ? 2 : 1); }
  std::size_t bytes() const noexcept { return lines() * 64; }
};

/// Bytes of a query's code go from -64 to 64: two products with bytes of rows fit 16 bits, which saves instruction sets that have no
/// sum of four a third of their work. What it costs is a step of the query twice as wide, and nothing of the rows.
inline constexpr int kQuerySteps = 64;

/// A query, encoded: distance = norm_factor * norm + (product_factor * product + constant).
struct BlockQuery {
  const std::int8_t* code;  ///< 4 * groups signed bytes, 0 behind d
  float norm_factor;        ///< if 0, norms count for nothing; without them it must be
  float product_factor;
  float constant;
};

/// Where blocks are, which need not lie behind one another. Each is aligned to 64 bytes.
using Blocks = std::span<const std::uint8_t* const>;

struct BlockHit {
  std::uint32_t position;  ///< counted from the first block
  float distance;
};

/// The rows within `bound` of blocks, of which each has rows where `lanes` says (bit r: in lane r; one number a block), in order,
/// into `hits`, which has room for all. Returns how many. A distance is a function of query and row alone, bit for bit, on one instruction set.
/// While a block is read, that of the same number in `ahead` (none, or as many as there are blocks) is asked for, line by line: a
/// list may be over before memory has answered, and more requests at once than the processor keeps would have to be waited for.
std::size_t scan_blocks(const BlockQuery& query, Blocks blocks, std::span<const std::uint16_t> lanes, BlockLayout layout,
                        float bound, BlockHit* hits, Blocks ahead = {}) noexcept;

/// Blocks of which all but the last are full.
struct BlockRun {
  Blocks blocks;
  std::size_t rows;           ///< in all
  std::uint16_t last = 0xFFFF;  ///< lanes of the last block that have rows
};

/// The same for several queries at once, with a bound each: those whose numbers are in `which`. Where the last rows lie in half a
/// block, no more of it is read. Hits of the i-th query at hits + i * run.rows, found[i] of them.
void scan_blocks(const BlockQuery* queries, const float* bounds, std::span<const std::uint32_t> which, const BlockRun& run,
                 BlockLayout layout, BlockHit* hits, std::size_t* found) noexcept;

/// The distances of n queries to the first `count` rows: n x `stride` floats, of which each row's last lanes up to the end of
/// the last block are written too. stride >= count rounded up to whole blocks.
void block_distances(const BlockQuery* queries, std::size_t n, Blocks blocks, std::size_t count, BlockLayout layout,
                     std::size_t stride, float* out) noexcept;

/// Those of the first `count` distances that are within `bound`, in order, into `hits`, which has room for `count`. Returns how
/// many. `distances` goes on to the end of the last block.
std::size_t within(const float* distances, std::size_t count, float bound, BlockHit* hits) noexcept;

const char* block_target() noexcept;

}  // namespace annulus::kernels
