#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "index/distance_kernels.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first: it includes this file once for each instruction set.
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstring>

#include "index/distance_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace annulus::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Lanes = hn::ScalableTag<float>;
using Floats = hn::Vec<Lanes>;

template <Sum kSum>
HWY_INLINE Floats accumulate(Floats sum, Floats x, Floats y) {
  if constexpr (kSum == Sum::kProduct) {
    return hn::MulAdd(x, y, sum);
  } else {
    const Floats difference = hn::Sub(x, y);
    return hn::MulAdd(difference, difference, sum);
  }
}

/// The last count < lanes floats, padded with zeros, which add nothing to either sum.
HWY_INLINE Floats load_tail(const float* p, std::size_t count) {
  const Lanes lanes;
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN float padded[hn::MaxLanes(Lanes())] = {};
  std::memcpy(padded, p, count * sizeof(float));
  return hn::Load(lanes, padded);
#else
  return hn::MaskedLoad(hn::FirstN(lanes, count), lanes, p);
#endif
}

/// The one summation order: four running sums over blocks of four vectors, what is left of whole vectors into the first
/// sums in turn, the tail into the last, then a tree. It depends on d alone.
template <Sum kSum>
HWY_INLINE float sum_pair(const float* HWY_RESTRICT x, const float* HWY_RESTRICT y, std::size_t d) {
  const Lanes lanes;
  const std::size_t n = hn::Lanes(lanes);
  Floats sum0 = hn::Zero(lanes);
  Floats sum1 = sum0;
  Floats sum2 = sum0;
  Floats sum3 = sum0;
  std::size_t i = 0;
  for (; i + 4 * n <= d; i += 4 * n) {
    sum0 = accumulate<kSum>(sum0, hn::LoadU(lanes, x + i), hn::LoadU(lanes, y + i));
    sum1 = accumulate<kSum>(sum1, hn::LoadU(lanes, x + i + n), hn::LoadU(lanes, y + i + n));
    sum2 = accumulate<kSum>(sum2, hn::LoadU(lanes, x + i + 2 * n), hn::LoadU(lanes, y + i + 2 * n));
    sum3 = accumulate<kSum>(sum3, hn::LoadU(lanes, x + i + 3 * n), hn::LoadU(lanes, y + i + 3 * n));
  }
  if (i + n <= d) {
    sum0 = accumulate<kSum>(sum0, hn::LoadU(lanes, x + i), hn::LoadU(lanes, y + i));
    i += n;
  }
  if (i + n <= d) {
    sum1 = accumulate<kSum>(sum1, hn::LoadU(lanes, x + i), hn::LoadU(lanes, y + i));
    i += n;
  }
  if (i + n <= d) {
    sum2 = accumulate<kSum>(sum2, hn::LoadU(lanes, x + i), hn::LoadU(lanes, y + i));
    i += n;
  }
  if (i < d) sum3 = accumulate<kSum>(sum3, load_tail(x + i, d - i), load_tail(y + i, d - i));
  return hn::GetLane(hn::SumOfLanes(lanes, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
}

float pair_product(const float* x, const float* y, std::size_t d) { return sum_pair<Sum::kProduct>(x, y, d); }

float pair_difference(const float* x, const float* y, std::size_t d) { return sum_pair<Sum::kSquaredDifference>(x, y, d); }

template <Sum kSum>
HWY_INLINE void sum_rows(const float* query, const float* rows, std::size_t n, std::size_t d, std::size_t stride, float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = sum_pair<kSum>(query, rows + i * stride, d);
}

void rows_product(const float* query, const float* rows, std::size_t n, std::size_t d, std::size_t stride, float* out) {
  sum_rows<Sum::kProduct>(query, rows, n, d, stride, out);
}

void rows_difference(const float* query, const float* rows, std::size_t n, std::size_t d, std::size_t stride, float* out) {
  sum_rows<Sum::kSquaredDifference>(query, rows, n, d, stride, out);
}

template <Sum kSum>
HWY_INLINE void sum_gather(const float* query, const float* base, const std::uint32_t* indices, std::size_t n, std::size_t d,
                           float* out) {
  for (std::size_t i = 0; i < n; ++i) {
    if (i + 1 < n) hwy::Prefetch(base + std::size_t{indices[i + 1]} * d);
    out[i] = sum_pair<kSum>(query, base + std::size_t{indices[i]} * d, d);
  }
}

void gather_product(const float* query, const float* base, const std::uint32_t* indices, std::size_t n, std::size_t d, float* out) {
  sum_gather<Sum::kProduct>(query, base, indices, n, d, out);
}

void gather_difference(const float* query, const float* base, const std::uint32_t* indices, std::size_t n, std::size_t d,
                       float* out) {
  sum_gather<Sum::kSquaredDifference>(query, base, indices, n, d, out);
}

const char* target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace annulus::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace annulus::kernels {

HWY_EXPORT(pair_product);
HWY_EXPORT(pair_difference);
HWY_EXPORT(rows_product);
HWY_EXPORT(rows_difference);
HWY_EXPORT(gather_product);
HWY_EXPORT(gather_difference);
HWY_EXPORT(target_name);

float pair(Sum sum, const float* x, const float* y, std::size_t d) noexcept {
  return sum == Sum::kProduct ? HWY_DYNAMIC_DISPATCH(pair_product)(x, y, d) : HWY_DYNAMIC_DISPATCH(pair_difference)(x, y, d);
}

void rows(Sum sum, const float* query, const float* rows, std::size_t n, std::size_t d, std::size_t stride, float* out) noexcept {
  if (sum == Sum::kProduct) {
    HWY_DYNAMIC_DISPATCH(rows_product)(query, rows, n, d, stride, out);
  } else {
    HWY_DYNAMIC_DISPATCH(rows_difference)(query, rows, n, d, stride, out);
  }
}

void gather(Sum sum, const float* query, const float* base, const std::uint32_t* indices, std::size_t n, std::size_t d,
            float* out) noexcept {
  if (sum == Sum::kProduct) {
    HWY_DYNAMIC_DISPATCH(gather_product)(query, base, indices, n, d, out);
  } else {
    HWY_DYNAMIC_DISPATCH(gather_difference)(query, base, indices, n, d, out);
  }
}

const char* target() noexcept { return HWY_DYNAMIC_DISPATCH(target_name)(); }

}  // namespace annulus::kernels
#endif
