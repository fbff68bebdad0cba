#define HWY_WANT_AVX3_DL 1
// These vectors have no fixed size, so they cannot stand in arrays; such a processor takes the next instruction set.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "index/int8_block_kernels.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first: it includes this file once for each instruction set.
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "index/int8_block_kernels.h"

#if HWY_TARGET == HWY_AVX3_DL
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")  // which Highway 1.0.3 requires of the processor and does not tell the compiler
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace annulus::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Half a block is enough for the last rows of a list, where they lie in one: many lists are short.
constexpr std::size_t kHalfRows = kBlockRows / 2;

/// Vectors of kRows rows side by side, 4 bytes or a number of 32 bits each.
template <std::size_t kRows>
using Lanes = hn::CappedTag<std::int32_t, kRows>;
template <std::size_t kRows>
constexpr std::size_t kLanes = hn::MaxLanes(Lanes<kRows>());
template <std::size_t kRows>
constexpr std::size_t kVectors = kRows / kLanes<kRows>;

template <class D>
using Ints = hn::Vec<D>;
template <class D>
using Floats = hn::Vec<hn::Rebind<float, D>>;

// `Group` is a query's 4 bytes of a group, which add_products multiplies with those of some rows.
// How much a tile holds at once is a matter of registers: queries, blocks that share them, and whether half a block goes with these.
#if HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4 || \
    HWY_TARGET == HWY_SSSE3

constexpr std::size_t kWide = 4;
constexpr std::size_t kTall = HWY_TARGET == HWY_AVX3_DL ? 4 : HWY_TARGET == HWY_AVX3 ? 3 : 1;
constexpr std::size_t kTallForOne = kVectors<kBlockRows> == 1 ? 4 : kVectors<kBlockRows> == 2 ? 2 : 1;
constexpr bool kHalfJoins = kVectors<kBlockRows> == 1;

template <class D>
using Group = Ints<D>;

template <class D>
HWY_INLINE Group<D> load_group(D lanes, const std::int8_t* code) {
  std::int32_t bytes;
  std::memcpy(&bytes, code, sizeof bytes);
  return hn::Set(lanes, bytes);
}

#if HWY_TARGET == HWY_AVX3_DL

HWY_INLINE __m512i sum_of_four(__m512i sum, __m512i rows, __m512i query) { return _mm512_dpbusd_epi32(sum, rows, query); }

// Highway 1.0.3 tells the compiler that such a processor has AVX-VNNI too, which most have not: of the two encodings of the same
// instruction on half a register the compiler would take theirs.
HWY_INLINE __m256i sum_of_four(__m256i sum, __m256i rows, __m256i query) {
  asm("%{evex%} vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(rows), "v"(query));
  return sum;
}

#else

// Two products are summed in 16 bits, which do not saturate as a query's bytes are small; then two of these sums in 32.
#if HWY_TARGET == HWY_AVX3
HWY_INLINE __m512i sum_of_four(__m512i sum, __m512i rows, __m512i query) {
  return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(rows, query), _mm512_set1_epi16(1)));
}
#endif
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
HWY_INLINE __m256i sum_of_four(__m256i sum, __m256i rows, __m256i query) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(rows, query), _mm256_set1_epi16(1)));
}
#endif
HWY_INLINE __m128i sum_of_four(__m128i sum, __m128i rows, __m128i query) {
  return _mm_add_epi32(sum, _mm_madd_epi16(_mm_maddubs_epi16(rows, query), _mm_set1_epi16(1)));
}

#endif

template <class D>
HWY_INLINE void add_products(D, Ints<D>& sum, Ints<D> rows, Group<D> query) {
  sum = Ints<D>{sum_of_four(sum.raw, rows.raw, query.raw)};
}

#else

constexpr std::size_t kWide = 1;
constexpr std::size_t kTall = 1;
constexpr std::size_t kTallForOne = 1;
constexpr bool kHalfJoins = false;

template <class D>
struct Group {
  std::int8_t bytes[4];
};
template <class D>
HWY_INLINE Group<D> load_group(D, const std::int8_t* code) {
  Group<D> group;
  std::memcpy(group.bytes, code, sizeof group.bytes);
  return group;
}

/// One byte of each row after the other, in 32 bits.
template <class D>
HWY_INLINE void add_products(D lanes, Ints<D>& sum, Ints<D> rows, const Group<D>& query) {
  const auto low = hn::Set(lanes, 0xFF);
  sum = hn::Add(sum, hn::Mul(hn::And(rows, low), hn::Set(lanes, query.bytes[0])));
  sum = hn::Add(sum, hn::Mul(hn::And(hn::ShiftRight<8>(rows), low), hn::Set(lanes, query.bytes[1])));
  sum = hn::Add(sum, hn::Mul(hn::And(hn::ShiftRight<16>(rows), low), hn::Set(lanes, query.bytes[2])));
  sum = hn::Add(sum, hn::Mul(hn::And(hn::ShiftRight<24>(rows), low), hn::Set(lanes, query.bytes[3])));
}

#endif

/// Sums for kQueries queries and kBlocks pieces of kRows rows, of as many blocks, which begin at the first of these rows.
template <std::size_t kQueries, std::size_t kBlocks, std::size_t kRows>
struct Tile {
  using D = Lanes<kRows>;
  Ints<D> sums[kQueries][std::max<std::size_t>(kBlocks, 1)][kVectors<kRows>];

  HWY_INLINE void clear() {
    for (auto& of_query : sums) {
      for (auto& of_block : of_query) {
        for (Ints<D>& sum : of_block) sum = hn::Zero(D());
      }
    }
  }

  /// Adds the products of one group. A block's bytes are loaded once for all queries.
  HWY_INLINE void add(const std::int8_t* const (&codes)[kQueries], std::size_t group, const std::uint8_t* const* blocks) {
    Ints<D> bytes[std::max<std::size_t>(kBlocks, 1)][kVectors<kRows>];
    for (std::size_t b = 0; b < kBlocks; ++b) {
      for (std::size_t v = 0; v < kVectors<kRows>; ++v) {
        bytes[b][v] = hn::Load(D(), reinterpret_cast<const std::int32_t*>(blocks[b] + 64 * group + 4 * kLanes<kRows> * v));
      }
    }
    for (std::size_t q = 0; q < kQueries; ++q) {
      const Group<D> query = load_group(D(), codes[q] + 4 * group);
      for (std::size_t b = 0; b < kBlocks; ++b) {
        for (std::size_t v = 0; v < kVectors<kRows>; ++v) add_products(D(), sums[q][b][v], bytes[b][v], query);
      }
    }
  }

  /// The distances of vector v of block b, whose norms are at `norms`, or other finite numbers where the query's factor is 0.
  HWY_INLINE Floats<D> distances(const BlockQuery& query, std::size_t q, std::size_t b, std::size_t v,
                                 const std::uint8_t* norms) const {
    const hn::Rebind<float, D> floats;
    const auto product = hn::ConvertTo(floats, sums[q][b][v]);
    const auto norm = hn::ConvertTo(floats, hn::Load(D(), reinterpret_cast<const std::int32_t*>(norms) + v * kLanes<kRows>));
    return hn::MulAdd(hn::Set(floats, query.norm_factor), norm,
                      hn::MulAdd(hn::Set(floats, query.product_factor), product, hn::Set(floats, query.constant)));
  }
};

/// Blocks with queries and what they have found.
struct Scan {
  const BlockQuery* queries;
  const float* bounds;
  std::span<const std::uint32_t> which;  // of the queries
  Blocks blocks;
  std::span<const std::uint16_t> lanes;  // of each block that have rows; empty: all, but for those of the last
  std::uint16_t last;
  std::size_t count;  // of hits that a query has room for
  BlockLayout layout;
  BlockHit* hits;
  std::size_t* found;
  Blocks ahead = {};  // that are asked for meanwhile

  std::uint32_t lanes_of(std::size_t block) const {
    if (!lanes.empty()) return lanes[block];
    return block + 1 < blocks.size() ? (1U << kBlockRows) - 1 : last;
  }
};

/// Appends those of a vector of rows' distances that are within the bound: of lanes of which `rows` has bits. The first is at
/// position `first`.
template <class D>
HWY_INLINE void collect(D, Floats<D> distances, float bound, std::size_t first, std::uint32_t rows, BlockHit* hits,
                        std::size_t& found) {
  const hn::Rebind<float, D> floats;
  const auto within = hn::Le(distances, hn::Set(floats, bound));
  if (HWY_LIKELY(hn::AllFalse(floats, within))) return;
  HWY_ALIGN float values[hn::MaxLanes(D())];
  hn::Store(distances, floats, values);
  std::uint8_t bits[8] = {};
  hn::StoreMaskBits(floats, within, bits);
  std::uint32_t mask = (bits[0] | std::uint32_t{bits[1]} << 8) & rows;
  for (; mask != 0; mask &= mask - 1) {
    const auto lane = static_cast<std::uint32_t>(__builtin_ctz(mask));
    hits[found++] = {static_cast<std::uint32_t>(first) + lane, values[lane]};
  }
}

/// Of a tile whose blocks are read from `lane` on.
template <std::size_t kQueries, std::size_t kBlocks, std::size_t kRows>
HWY_INLINE void collect_tile(const Tile<kQueries, kBlocks, kRows>& tile, const Scan& scan, std::size_t first_query,
                             std::size_t first_block, std::size_t lane = 0) {
  for (std::size_t i = 0; i < kQueries; ++i) {
    const std::size_t q = first_query + i;
    const BlockQuery& query = scan.queries[scan.which[q]];
    for (std::size_t b = 0; b < kBlocks; ++b) {
      const std::uint8_t* norms = scan.blocks[first_block + b] + 64 * scan.layout.groups + 4 * lane;
      const std::uint32_t rows = scan.lanes_of(first_block + b);
      for (std::size_t v = 0; v < kVectors<kRows>; ++v) {
        const std::size_t before = lane + v * kLanes<kRows>;
        collect(Lanes<kRows>(), tile.distances(query, i, b, v, norms), scan.bounds[scan.which[q]],
                (first_block + b) * kBlockRows + before, rows >> before, scan.hits + q * scan.count, scan.found[q]);
      }
    }
  }
}

/// kBlocks blocks from the first on, and with kHalf half of the one behind them, that which has rows. With kAhead the blocks ahead
/// are asked for, a line for each that is read.
template <std::size_t kQueries, std::size_t kBlocks, bool kHalf, bool kAhead>
HWY_INLINE void scan_tile(const Scan& scan, std::size_t first_query, std::size_t first_block) {
  constexpr std::size_t kRead = kBlocks + (kHalf ? 1 : 0);
  const std::int8_t* codes[kQueries];
  for (std::size_t q = 0; q < kQueries; ++q) codes[q] = scan.queries[scan.which[first_query + q]].code;
  const std::uint8_t* blocks[kRead + 1];
  for (std::size_t b = 0; b < kRead; ++b) blocks[b] = scan.blocks[first_block + b];
  Tile<kQueries, kBlocks, kBlockRows> whole;
  Tile<kQueries, kHalf ? 1 : 0, kHalfRows> half;
  const std::size_t half_lane = kHalf && (scan.last & ((1U << kHalfRows) - 1)) == 0 ? kHalfRows : 0;
  if constexpr (kHalf) blocks[kBlocks] += 4 * half_lane;
  whole.clear();
  half.clear();
  constexpr std::size_t kFetched = kAhead ? kRead : 0;
  [[maybe_unused]] const std::uint8_t* ahead[kFetched + 1];
  for (std::size_t b = 0; b < kFetched; ++b) {
    ahead[b] = scan.ahead[first_block + b];
    for (std::size_t line = scan.layout.groups; line < scan.layout.lines(); ++line) hwy::Prefetch(ahead[b] + 64 * line);
  }
  for (std::size_t g = 0; g < scan.layout.groups; ++g) {
    for (std::size_t b = 0; b < kFetched; ++b) hwy::Prefetch(ahead[b] + 64 * g);
    whole.add(codes, g, blocks);
    half.add(codes, g, blocks + kBlocks);
  }
  collect_tile(whole, scan, first_query, first_block);
  collect_tile(half, scan, first_query, first_block + kBlocks, half_lane);
}

template <std::size_t kBlocks, bool kHalf>
void scan_with_all(const Scan& scan, std::size_t first_block) {
  std::size_t q = 0;
  for (; q + kWide <= scan.which.size(); q += kWide) scan_tile<kWide, kBlocks, kHalf, false>(scan, q, first_block);
  for (; q < scan.which.size(); ++q) scan_tile<1, kBlocks, kHalf, false>(scan, q, first_block);
}

/// The last `left` blocks, kMost at most, and half a block behind them if `half` says so.
template <std::size_t kMost>
void scan_last(const Scan& scan, std::size_t first_block, std::size_t left, bool half) {
  if constexpr (kMost > 0) {
    if (left < kMost) return scan_last<kMost - 1>(scan, first_block, left, half);
  }
  if (kHalfJoins && half) return scan_with_all<kMost, kHalfJoins>(scan, first_block);
  if constexpr (kMost > 0) scan_with_all<kMost, false>(scan, first_block);
  if (half) scan_with_all<0, true>(scan, first_block + kMost);
}

void scan_many(const BlockQuery* queries, const float* bounds, std::span<const std::uint32_t> which, const BlockRun& run,
               BlockLayout layout, BlockHit* hits, std::size_t* found) {
  std::fill_n(found, which.size(), std::size_t{0});
  const Scan scan{queries, bounds, which, run.blocks, {}, run.last, run.rows, layout, hits, found};
  constexpr std::uint32_t kLow = (1U << kHalfRows) - 1;
  const bool half = (run.last & kLow) == 0 || (run.last & ~kLow) == 0;
  const std::size_t whole = run.blocks.size() - (half ? 1 : 0);
  std::size_t b = 0;
  for (; whole - b > kTall; b += kTall) scan_with_all<kTall, false>(scan, b);
  scan_last<kTall>(scan, b, whole - b, half);
}

template <bool kAhead>
HWY_INLINE void scan_with_one(const Scan& scan) {
  std::size_t b = 0;
  for (; b + kTallForOne <= scan.blocks.size(); b += kTallForOne) scan_tile<1, kTallForOne, false, kAhead>(scan, 0, b);
  for (; b < scan.blocks.size(); ++b) scan_tile<1, 1, false, kAhead>(scan, 0, b);
}

std::size_t scan_one(const BlockQuery& query, Blocks blocks, std::span<const std::uint16_t> lanes, BlockLayout layout, float bound,
                     BlockHit* hits, Blocks ahead) {
  std::size_t found = 0;
  constexpr std::uint32_t kItself = 0;
  const Scan scan{&query, &bound, {&kItself, 1}, blocks, lanes, 0, 0, layout, hits, &found, ahead};
  if (ahead.empty()) {
    scan_with_one<false>(scan);
  } else {
    scan_with_one<true>(scan);
  }
  return found;
}

template <std::size_t kQueries>
HWY_INLINE void distances_of(const BlockQuery* queries, const std::uint8_t* block, std::size_t groups, std::size_t stride,
                             float* out) {
  using D = Lanes<kBlockRows>;
  Tile<kQueries, 1, kBlockRows> tile;
  tile.clear();
  const std::int8_t* codes[kQueries];
  for (std::size_t q = 0; q < kQueries; ++q) codes[q] = queries[q].code;
  for (std::size_t g = 0; g < groups; ++g) tile.add(codes, g, &block);
  for (std::size_t q = 0; q < kQueries; ++q) {
    for (std::size_t v = 0; v < kVectors<kBlockRows>; ++v) {
      hn::StoreU(tile.distances(queries[q], q, 0, v, block + 64 * groups), hn::Rebind<float, D>(),
                 out + q * stride + v * kLanes<kBlockRows>);
    }
  }
}

void all_distances(const BlockQuery* queries, std::size_t n, Blocks blocks, std::size_t count, BlockLayout layout,
                   std::size_t stride, float* out) {
  constexpr std::size_t kAtOnce = kWide * kTall >= 8 ? 8 : kWide;
  for (std::size_t b = 0; b * kBlockRows < count; ++b) {
    const std::uint8_t* block = blocks[b];
    float* to = out + b * kBlockRows;
    std::size_t q = 0;
    for (; q + kAtOnce <= n; q += kAtOnce) distances_of<kAtOnce>(queries + q, block, layout.groups, stride, to + q * stride);
    for (; q < n; ++q) distances_of<1>(queries + q, block, layout.groups, stride, to + q * stride);
  }
}

std::size_t find_within(const float* distances, std::size_t count, float bound, BlockHit* hits) {
  using D = Lanes<kBlockRows>;
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; i += kLanes<kBlockRows>) {
    const std::size_t left = count - i;
    const std::uint32_t rows = left < kBlockRows ? (1U << left) - 1 : (1U << kBlockRows) - 1;
    collect(D(), hn::LoadU(hn::Rebind<float, D>(), distances + i), bound, i, rows, hits, found);
  }
  return found;
}

const char* block_target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace annulus::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace annulus::kernels {

HWY_EXPORT(scan_one);
HWY_EXPORT(scan_many);
HWY_EXPORT(all_distances);
HWY_EXPORT(find_within);
HWY_EXPORT(block_target_name);

std::size_t scan_blocks(const BlockQuery& query, Blocks blocks, std::span<const std::uint16_t> lanes, BlockLayout layout,
                        float bound, BlockHit* hits, Blocks ahead) noexcept {
  return HWY_DYNAMIC_DISPATCH(scan_one)(query, blocks, lanes, layout, bound, hits, ahead);
}

void scan_blocks(const BlockQuery* queries, const float* bounds, std::span<const std::uint32_t> which, const BlockRun& run,
                 BlockLayout layout, BlockHit* hits, std::size_t* found) noexcept {
  HWY_DYNAMIC_DISPATCH(scan_many)(queries, bounds, which, run, layout, hits, found);
}

void block_distances(const BlockQuery* queries, std::size_t n, Blocks blocks, std::size_t count, BlockLayout layout,
                     std::size_t stride, float* out) noexcept {
  HWY_DYNAMIC_DISPATCH(all_distances)(queries, n, blocks, count, layout, stride, out);
}

std::size_t within(const float* distances, std::size_t count, float bound, BlockHit* hits) noexcept {
  return HWY_DYNAMIC_DISPATCH(find_within)(distances, count, bound, hits);
}

const char* block_target() noexcept { return HWY_DYNAMIC_DISPATCH(block_target_name)(); }

}  // namespace annulus::kernels
#endif
