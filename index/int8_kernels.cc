#define HWY_WANT_AVX3_DL 1
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "index/int8_kernels.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first: it includes this file once for each instruction set.
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>

#include "index/int8_kernels.h"

#if HWY_TARGET == HWY_AVX3_DL
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")  // which Highway 1.0.3 requires of the processor and does not tell the compiler
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace annulus::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows are asked for so many places ahead of their turn.
constexpr std::size_t kAhead = 8;

HWY_INLINE void prefetch_row(const std::uint8_t* base, std::size_t stride, const std::uint32_t* rows, std::size_t i,
                             std::size_t n) {
  if (i >= n) return;
  const std::uint8_t* row = base + std::size_t{rows[i]} * stride;
  for (std::size_t j = 0; j < stride; j += 64) hwy::Prefetch(row + j);
}

#if HWY_TARGET == HWY_AVX3_DL

/// 16 sums, the total of which is the product.
HWY_INLINE hn::Vec<hn::ScalableTag<std::int32_t>> row_sums(const std::int8_t* query, const std::uint8_t* row, std::size_t stride) {
  const hn::ScalableTag<std::int32_t> lanes;
  auto sums = hn::Zero(lanes);
  for (std::size_t j = 0; j < stride; j += 64) {
    sums.raw = _mm512_dpbusd_epi32(sums.raw, _mm512_load_si512(row + j), _mm512_load_si512(query + j));
  }
  return sums;
}

/// The 16 sums added up to 4.
HWY_INLINE hn::Vec128<std::int32_t> fold(hn::Vec<hn::ScalableTag<std::int32_t>> sums) {
  const hn::ScalableTag<std::int32_t> lanes;
  const hn::Half<decltype(lanes)> half;
  const hn::Half<decltype(half)> quarter;
  const auto eight = hn::Add(hn::LowerHalf(half, sums), hn::UpperHalf(half, sums));
  return hn::Add(hn::LowerHalf(quarter, eight), hn::UpperHalf(quarter, eight));
}

void gather_products(const std::int8_t* query, const std::uint8_t* base, std::size_t stride, const std::uint32_t* rows,
                     std::size_t n, std::int32_t* out) {
  for (std::size_t i = 0; i < kAhead; ++i) prefetch_row(base, stride, rows, i, n);
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (std::size_t a = i + kAhead; a < i + kAhead + 4; ++a) prefetch_row(base, stride, rows, a, n);
    const auto a = fold(row_sums(query, base + std::size_t{rows[i]} * stride, stride));
    const auto b = fold(row_sums(query, base + std::size_t{rows[i + 1]} * stride, stride));
    const auto c = fold(row_sums(query, base + std::size_t{rows[i + 2]} * stride, stride));
    const auto d = fold(row_sums(query, base + std::size_t{rows[i + 3]} * stride, stride));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm_hadd_epi32(_mm_hadd_epi32(a.raw, b.raw), _mm_hadd_epi32(c.raw, d.raw)));
  }
  const hn::ScalableTag<std::int32_t> lanes;
  for (; i < n; ++i) out[i] = hn::GetLane(hn::SumOfLanes(lanes, row_sums(query, base + std::size_t{rows[i]} * stride, stride)));
}

#elif HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3

// Bytes are multiplied where one of the two is unsigned, and two products summed in 16 bits, which saturate at 32,767:
// 2 * 255 * 127 would not fit, 2 * 127 * 127 does. So the query's magnitude is multiplied with the row's v, which takes the
// query's sign.

#if HWY_TARGET == HWY_AVX2
using Bytes = __m256i;
HWY_INLINE Bytes load(const void* bytes) { return _mm256_load_si256(static_cast<const __m256i*>(bytes)); }
HWY_INLINE Bytes magnitude(Bytes query) { return _mm256_abs_epi8(query); }
HWY_INLINE Bytes sums_of_four(Bytes magnitude, Bytes query, Bytes row) {
  const Bytes v = _mm256_sign_epi8(_mm256_xor_si256(row, _mm256_set1_epi8(-128)), query);
  return _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, v), _mm256_set1_epi16(1));
}
HWY_INLINE Bytes sums_of_four(Bytes query) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), query), _mm256_set1_epi16(1));
}
HWY_INLINE Bytes add(Bytes a, Bytes b) { return _mm256_add_epi32(a, b); }
HWY_INLINE Bytes zero() { return _mm256_setzero_si256(); }
HWY_INLINE __m128i fold(Bytes sums) { return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1)); }
HWY_INLINE __m128i totals(Bytes a, Bytes b, Bytes c, Bytes d) {
  return fold(_mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d)));
}
#else
using Bytes = __m128i;
HWY_INLINE Bytes load(const void* bytes) { return _mm_load_si128(static_cast<const __m128i*>(bytes)); }
HWY_INLINE Bytes magnitude(Bytes query) { return _mm_abs_epi8(query); }
HWY_INLINE Bytes sums_of_four(Bytes magnitude, Bytes query, Bytes row) {
  const Bytes v = _mm_sign_epi8(_mm_xor_si128(row, _mm_set1_epi8(-128)), query);
  return _mm_madd_epi16(_mm_maddubs_epi16(magnitude, v), _mm_set1_epi16(1));
}
HWY_INLINE Bytes sums_of_four(Bytes query) {
  return _mm_madd_epi16(_mm_maddubs_epi16(_mm_set1_epi8(1), query), _mm_set1_epi16(1));
}
HWY_INLINE Bytes add(Bytes a, Bytes b) { return _mm_add_epi32(a, b); }
HWY_INLINE Bytes zero() { return _mm_setzero_si128(); }
HWY_INLINE __m128i totals(Bytes a, Bytes b, Bytes c, Bytes d) {
  return _mm_hadd_epi32(_mm_hadd_epi32(a, b), _mm_hadd_epi32(c, d));
}
#endif

/// 128 times the sum of the query: what products with v + 128 have beyond those with v.
HWY_INLINE std::int32_t shift_of(const std::int8_t* query, std::size_t stride) {
  Bytes sum = zero();
  for (std::size_t j = 0; j < stride; j += sizeof(Bytes)) sum = add(sum, sums_of_four(load(query + j)));
  return 128 * _mm_cvtsi128_si32(totals(sum, sum, sum, sum));
}

void gather_products(const std::int8_t* query, const std::uint8_t* base, std::size_t stride, const std::uint32_t* rows,
                     std::size_t n, std::int32_t* out) {
  for (std::size_t i = 0; i < kAhead; ++i) prefetch_row(base, stride, rows, i, n);
  const __m128i shift = _mm_set1_epi32(shift_of(query, stride));
  for (std::size_t i = 0; i < n; i += 4) {
    for (std::size_t a = i + kAhead; a < i + kAhead + 4; ++a) prefetch_row(base, stride, rows, a, n);
    // the last row stands for those that would come after it
    const std::size_t last = n - 1 - i;
    const std::uint8_t* row[4];
    for (std::size_t r = 0; r < 4; ++r) row[r] = base + std::size_t{rows[i + std::min(r, last)]} * stride;
    Bytes sums[4] = {zero(), zero(), zero(), zero()};
    for (std::size_t j = 0; j < stride; j += sizeof(Bytes)) {
      const Bytes bytes = load(query + j);
      const Bytes positive = magnitude(bytes);
      for (std::size_t r = 0; r < 4; ++r) sums[r] = add(sums[r], sums_of_four(positive, bytes, load(row[r] + j)));
    }
    const __m128i found = _mm_add_epi32(totals(sums[0], sums[1], sums[2], sums[3]), shift);
    if (last >= 3) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), found);
    } else {
      std::int32_t four[4];
      _mm_storeu_si128(reinterpret_cast<__m128i*>(four), found);
      std::copy_n(four, last + 1, out + i);
    }
  }
}

#elif HWY_TARGET == HWY_SCALAR

void gather_products(const std::int8_t* query, const std::uint8_t* base, std::size_t stride, const std::uint32_t* rows,
                     std::size_t n, std::int32_t* out) {
  for (std::size_t i = 0; i < n; ++i) {
    prefetch_row(base, stride, rows, i + 1, n);
    const std::uint8_t* row = base + std::size_t{rows[i]} * stride;
    std::int32_t sum = 0;
    for (std::size_t j = 0; j < stride; ++j) sum += query[j] * row[j];
    out[i] = sum;
  }
}

#else  // widened to 16 bits, multiplied, and added in pairs to 32

void gather_products(const std::int8_t* query, const std::uint8_t* base, std::size_t stride, const std::uint32_t* rows,
                     std::size_t n, std::int32_t* out) {
  const hn::ScalableTag<std::int16_t> wide;
  const hn::Rebind<std::uint8_t, decltype(wide)> unsigned_codes;
  const hn::Rebind<std::int8_t, decltype(wide)> signed_codes;
  const hn::RepartitionToWide<decltype(wide)> sums;
  const std::size_t lanes = hn::Lanes(wide);
  for (std::size_t i = 0; i < kAhead; ++i) prefetch_row(base, stride, rows, i, n);
  for (std::size_t i = 0; i < n; ++i) {
    prefetch_row(base, stride, rows, i + kAhead, n);
    const std::uint8_t* row = base + std::size_t{rows[i]} * stride;
    auto sum0 = hn::Zero(sums);
    auto sum1 = hn::Zero(sums);
    for (std::size_t j = 0; j < stride; j += lanes) {
      const auto a = hn::PromoteTo(wide, hn::LoadU(unsigned_codes, row + j));
      const auto b = hn::PromoteTo(wide, hn::LoadU(signed_codes, query + j));
      sum0 = hn::ReorderWidenMulAccumulate(sums, a, b, sum0, sum1);
    }
    out[i] = hn::GetLane(hn::SumOfLanes(sums, hn::Add(sum0, sum1)));
  }
}

#endif

const char* products_target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace annulus::kernels::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#else
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace annulus::kernels {

HWY_EXPORT(gather_products);
HWY_EXPORT(products_target_name);

void products(const std::int8_t* query, const std::uint8_t* base, std::size_t stride, const std::uint32_t* rows, std::size_t n,
              std::int32_t* out) noexcept {
  HWY_DYNAMIC_DISPATCH(gather_products)(query, base, stride, rows, n, out);
}

const char* products_target() noexcept { return HWY_DYNAMIC_DISPATCH(products_target_name)(); }

}  // namespace annulus::kernels
#endif
