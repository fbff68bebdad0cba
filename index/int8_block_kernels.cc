#define HWY_WANT_AVX3_DL 1
// These vectors have no fixed size, so they cannot stand in arrays; such a processor takes the next instruction set.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "index/int8_block_kernels.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first: it includes this file once for each instruction set.
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

using Lanes = hn::CappedTag<std::int32_t, kBlockRows>;
using Ints = hn::Vec<Lanes>;
using Floats = hn::Vec<hn::Rebind<float, Lanes>>;
constexpr std::size_t kLanes = hn::MaxLanes(Lanes());
constexpr std::size_t kVectors = kBlockRows / kLanes;  // of a block

// A query's 4 bytes of a group as `Group`, and the running sum of products with the rows' bytes as `Sum`.
#if HWY_TARGET == HWY_AVX3_DL

using Group = Ints;
using Sum = Ints;

HWY_INLINE Group load_group(const std::int8_t* code) {
  std::int32_t bytes;
  std::memcpy(&bytes, code, sizeof bytes);
  return hn::Set(Lanes(), bytes);
}

HWY_INLINE Sum no_sum() { return hn::Zero(Lanes()); }

HWY_INLINE void add_products(Sum& sum, const std::uint8_t* rows, Group query) {
  sum = Sum{_mm512_dpbusd_epi32(sum.raw, _mm512_load_si512(rows), query.raw)};
}

HWY_INLINE Ints products_of(Sum sum) { return sum; }

#elif HWY_TARGET == HWY_SCALAR

struct Group {
  std::int8_t bytes[4];
};
using Sum = Ints;

HWY_INLINE Group load_group(const std::int8_t* code) { return {{code[0], code[1], code[2], code[3]}}; }

HWY_INLINE Sum no_sum() { return hn::Zero(Lanes()); }

HWY_INLINE void add_products(Sum& sum, const std::uint8_t* rows, const Group& query) {
  for (std::size_t u = 0; u < 4; ++u) sum = hn::Add(sum, hn::Set(Lanes(), std::int32_t{rows[u]} * query.bytes[u]));
}

HWY_INLINE Ints products_of(Sum sum) { return sum; }

#else

using Shorts = hn::Vec<hn::Repartition<std::int16_t, Lanes>>;

/// Bytes 0 and 2 of each lane, and bytes 1 and 3, widened: products of 8 bits with a sign are summed exactly in 32.
struct Group {
  Shorts even;
  Shorts odd;
};

struct Sum {
  Ints first;
  Ints second;
};

HWY_INLINE Group load_group(const std::int8_t* code) {
  const hn::Repartition<std::int16_t, Lanes> shorts;
  std::int32_t bytes;
  std::memcpy(&bytes, code, sizeof bytes);
  const Shorts both = hn::BitCast(shorts, hn::Set(Lanes(), bytes));
  return {hn::ShiftRight<8>(hn::ShiftLeft<8>(both)), hn::ShiftRight<8>(both)};
}

HWY_INLINE Sum no_sum() { return {hn::Zero(Lanes()), hn::Zero(Lanes())}; }

HWY_INLINE void add_products(Sum& sum, const std::uint8_t* rows, const Group& query) {
  const hn::Repartition<std::uint16_t, Lanes> unsigned_shorts;
  const hn::Repartition<std::int16_t, Lanes> shorts;
  const auto both = hn::BitCast(unsigned_shorts, hn::Load(hn::Repartition<std::uint8_t, Lanes>(), rows));
  const Shorts even = hn::BitCast(shorts, hn::And(both, hn::Set(unsigned_shorts, 0xFF)));
  const Shorts odd = hn::BitCast(shorts, hn::ShiftRight<8>(both));
  sum.first = hn::ReorderWidenMulAccumulate(Lanes(), even, query.even, sum.first, sum.second);
  sum.first = hn::ReorderWidenMulAccumulate(Lanes(), odd, query.odd, sum.first, sum.second);
}

HWY_INLINE Ints products_of(const Sum& sum) { return hn::RearrangeToOddPlusEven(sum.first, sum.second); }

#endif

/// Products of kQueries queries with kBlocks blocks, whose rows' bytes are loaded once for all of them.
template <std::size_t kQueries, std::size_t kBlocks>
HWY_INLINE void multiply(const BlockQuery* queries, const std::uint8_t* block, std::size_t groups,
                         Sum (&sums)[kQueries][kBlocks][kVectors]) {
  const std::size_t stride = (groups + 2) * 64;
  for (auto& of_query : sums) {
    for (auto& of_block : of_query) {
      for (Sum& sum : of_block) sum = no_sum();
    }
  }
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t q = 0; q < kQueries; ++q) {
      const Group query = load_group(queries[q].code + 4 * g);
      for (std::size_t b = 0; b < kBlocks; ++b) {
        for (std::size_t v = 0; v < kVectors; ++v) {
          add_products(sums[q][b][v], block + b * stride + 64 * g + 4 * kLanes * v, query);
        }
      }
    }
  }
}

HWY_INLINE Floats to_distance(const BlockQuery& query, const Sum& sum, const std::uint8_t* norms) {
  const hn::Rebind<float, Lanes> floats;
  const Floats product = hn::ConvertTo(floats, products_of(sum));
  const Floats norm = hn::ConvertTo(floats, hn::Load(Lanes(), reinterpret_cast<const std::int32_t*>(norms)));
  return hn::MulAdd(hn::Set(floats, query.norm_factor), norm,
                    hn::MulAdd(hn::Set(floats, query.product_factor), product, hn::Set(floats, query.constant)));
}

/// Distances of kQueries queries to the rows of kBlocks blocks.
template <std::size_t kQueries, std::size_t kBlocks>
HWY_INLINE void tile(const BlockQuery* queries, const std::uint8_t* block, std::size_t groups,
                     Floats (&distances)[kQueries][kBlocks][kVectors]) {
  const std::size_t stride = (groups + 2) * 64;
  Sum sums[kQueries][kBlocks][kVectors];
  multiply<kQueries, kBlocks>(queries, block, groups, sums);
  for (std::size_t q = 0; q < kQueries; ++q) {
    for (std::size_t b = 0; b < kBlocks; ++b) {
      for (std::size_t v = 0; v < kVectors; ++v) {
        distances[q][b][v] = to_distance(queries[q], sums[q][b][v], block + b * stride + 64 * groups + 4 * kLanes * v);
      }
    }
  }
}

/// Appends those of kLanes rows that are within the bound.
HWY_INLINE void collect(Floats distances, float bound, std::size_t first, std::size_t count, BlockHit* hits, std::size_t& found) {
  const hn::Rebind<float, Lanes> floats;
  const auto within = hn::Le(distances, hn::Set(floats, bound));
  if (HWY_LIKELY(hn::AllFalse(floats, within))) return;
  HWY_ALIGN float values[kLanes];
  hn::Store(distances, floats, values);
  std::uint8_t bits[8] = {};
  hn::StoreMaskBits(floats, within, bits);
  std::uint32_t mask = bits[0] | std::uint32_t{bits[1]} << 8;
  if (count - first < kLanes) mask &= (1U << (count - first)) - 1;
  for (; mask != 0; mask &= mask - 1) {
    const auto lane = static_cast<std::uint32_t>(__builtin_ctz(mask));
    hits[found++] = {static_cast<std::uint32_t>(first) + lane, values[lane]};
  }
}

template <std::size_t kQueries, std::size_t kBlocks>
HWY_INLINE void scan_tile(const BlockQuery* queries, const float* bounds, const std::uint8_t* block, std::size_t first,
                          std::size_t count, std::size_t groups, BlockHit* hits, std::size_t* found) {
  Floats distances[kQueries][kBlocks][kVectors];
  tile<kQueries, kBlocks>(queries, block, groups, distances);
  for (std::size_t q = 0; q < kQueries; ++q) {
    for (std::size_t b = 0; b < kBlocks; ++b) {
      for (std::size_t v = 0; v < kVectors; ++v) {
        const std::size_t row = first + b * kBlockRows + v * kLanes;
        if (row < count) collect(distances[q][b][v], bounds[q], row, count, hits + q * count, found[q]);
      }
    }
  }
}

/// The pair of blocks from the b-th on, of which the second may be missing.
template <std::size_t kQueries>
HWY_INLINE void scan_pair(const BlockQuery* queries, const float* bounds, const std::uint8_t* blocks, std::size_t b,
                          std::size_t count, std::size_t groups, BlockHit* hits, std::size_t* found) {
  const std::uint8_t* block = blocks + b * (groups + 2) * 64;
  if (count - b * kBlockRows > kBlockRows) {
    scan_tile<kQueries, 2>(queries, bounds, block, b * kBlockRows, count, groups, hits, found);
  } else {
    scan_tile<kQueries, 1>(queries, bounds, block, b * kBlockRows, count, groups, hits, found);
  }
}

std::size_t scan_one(const BlockQuery& query, const std::uint8_t* blocks, std::size_t count, std::size_t groups, float bound,
                     BlockHit* hits) {
  constexpr std::size_t kDeep = kVectors == 1 ? 4 : 1;  // blocks at once: enough sums under way to hide their latency
  std::size_t found = 0;
  std::size_t first = 0;
  const std::uint8_t* block = blocks;
  const std::size_t stride = (groups + 2) * 64;
  for (; first + (kDeep - 1) * kBlockRows < count; first += kDeep * kBlockRows, block += kDeep * stride) {
    scan_tile<1, kDeep>(&query, &bound, block, first, count, groups, hits, &found);
  }
  if constexpr (kDeep == 4) {  // short lists are no more than this
    switch (count > first ? (count - first + kBlockRows - 1) / kBlockRows : 0) {
      case 3: scan_tile<1, 3>(&query, &bound, block, first, count, groups, hits, &found); break;
      case 2: scan_tile<1, 2>(&query, &bound, block, first, count, groups, hits, &found); break;
      case 1: scan_tile<1, 1>(&query, &bound, block, first, count, groups, hits, &found); break;
      default: break;
    }
    return found;
  }
  for (; first < count; first += kBlockRows, block += stride) {
    scan_tile<1, 1>(&query, &bound, block, first, count, groups, hits, &found);
  }
  return found;
}

void scan_many(const BlockQuery* queries, const float* bounds, std::size_t n, const std::uint8_t* blocks, std::size_t count,
               std::size_t groups, BlockHit* hits, std::size_t* found) {
  std::fill_n(found, n, std::size_t{0});
  constexpr std::size_t kWide = kVectors == 1 ? 4 : 2;  // queries at once: as many sums as there are registers for
  for (std::size_t b = 0; b * kBlockRows < count; b += 2) {
    std::size_t q = 0;
    for (; q + kWide <= n; q += kWide) {
      scan_pair<kWide>(queries + q, bounds + q, blocks, b, count, groups, hits + q * count, found + q);
    }
    for (; q < n; ++q) scan_pair<1>(queries + q, bounds + q, blocks, b, count, groups, hits + q * count, found + q);
  }
}

template <std::size_t kQueries>
HWY_INLINE void distances_of(const BlockQuery* queries, const std::uint8_t* block, std::size_t groups, std::size_t stride,
                             float* out) {
  Floats distances[kQueries][1][kVectors];
  tile<kQueries, 1>(queries, block, groups, distances);
  for (std::size_t q = 0; q < kQueries; ++q) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      hn::StoreU(distances[q][0][v], hn::Rebind<float, Lanes>(), out + q * stride + v * kLanes);
    }
  }
}

void all_distances(const BlockQuery* queries, std::size_t n, const std::uint8_t* blocks, std::size_t count, std::size_t groups,
                   std::size_t stride, float* out) {
  constexpr std::size_t kWide = kVectors == 1 ? 8 : 2;
  for (std::size_t b = 0; b * kBlockRows < count; ++b) {
    const std::uint8_t* block = blocks + b * (groups + 2) * 64;
    float* to = out + b * kBlockRows;
    std::size_t q = 0;
    for (; q + kWide <= n; q += kWide) distances_of<kWide>(queries + q, block, groups, stride, to + q * stride);
    for (; q < n; ++q) distances_of<1>(queries + q, block, groups, stride, to + q * stride);
  }
}

const char* block_target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace annulus::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace annulus::kernels {

HWY_EXPORT(scan_one);
HWY_EXPORT(scan_many);
HWY_EXPORT(all_distances);
HWY_EXPORT(block_target_name);

std::size_t scan_blocks(const BlockQuery& query, const std::uint8_t* blocks, std::size_t count, std::size_t d, float bound,
                        BlockHit* hits) noexcept {
  return HWY_DYNAMIC_DISPATCH(scan_one)(query, blocks, count, block_groups(d), bound, hits);
}

void scan_blocks(const BlockQuery* queries, const float* bounds, std::size_t n, const std::uint8_t* blocks, std::size_t count,
                 std::size_t d, BlockHit* hits, std::size_t* found) noexcept {
  HWY_DYNAMIC_DISPATCH(scan_many)(queries, bounds, n, blocks, count, block_groups(d), hits, found);
}

void block_distances(const BlockQuery* queries, std::size_t n, const std::uint8_t* blocks, std::size_t count, std::size_t d,
                     std::size_t stride, float* out) noexcept {
  HWY_DYNAMIC_DISPATCH(all_distances)(queries, n, blocks, count, block_groups(d), stride, out);
}

const char* block_target() noexcept { return HWY_DYNAMIC_DISPATCH(block_target_name)(); }

}  // namespace annulus::kernels
#endif
