#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "index/sq8_kernels.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first: it includes this file once for each instruction set.
#include <hwy/highway.h>

#include <cstring>

#include "index/sq8_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace annulus::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Lanes = hn::ScalableTag<float>;
using Floats = hn::Vec<Lanes>;
using Bytes = hn::Rebind<std::uint8_t, Lanes>;
using Ints = hn::Rebind<std::int32_t, Lanes>;

HWY_INLINE Floats to_floats(const std::uint8_t* code) {
  return hn::ConvertTo(Lanes(), hn::PromoteTo(Ints(), hn::LoadU(Bytes(), code)));
}

/// Squares of what is left of `offsets`, or products with them.
struct Difference {
  const float* offsets;
  const float* steps;

  HWY_INLINE Floats add(Floats sum, std::size_t i, Floats code) const {
    const Lanes lanes;
    return add(sum, hn::LoadU(lanes, offsets + i), hn::LoadU(lanes, steps + i), code);
  }
  HWY_INLINE Floats add(Floats sum, Floats offset, Floats step, Floats code) const {
    const Floats difference = hn::NegMulAdd(step, code, offset);
    return hn::MulAdd(difference, difference, sum);
  }
  HWY_INLINE Floats add_tail(Floats sum, std::size_t i, std::size_t count, Floats code) const;
};

struct Product {
  const float* weights;

  HWY_INLINE Floats add(Floats sum, std::size_t i, Floats code) const {
    return hn::MulAdd(hn::LoadU(Lanes(), weights + i), code, sum);
  }
  HWY_INLINE Floats add_tail(Floats sum, std::size_t i, std::size_t count, Floats code) const;
};

/// The last count < lanes floats, padded with zeros.
HWY_INLINE Floats load_tail(const float* p, std::size_t count) {
  HWY_ALIGN float padded[hn::MaxLanes(Lanes())] = {};
  std::memcpy(padded, p, count * sizeof(float));
  return hn::Load(Lanes(), padded);
}

HWY_INLINE Floats Difference::add_tail(Floats sum, std::size_t i, std::size_t count, Floats code) const {
  return add(sum, load_tail(offsets + i, count), load_tail(steps + i, count), code);
}

HWY_INLINE Floats Product::add_tail(Floats sum, std::size_t i, std::size_t count, Floats code) const {
  return hn::MulAdd(load_tail(weights + i, count), code, sum);
}

template <class Term>
HWY_INLINE float sum_of(const Term& term, const std::uint8_t* code, std::size_t d) {
  const Lanes lanes;
  const std::size_t n = hn::Lanes(lanes);
  Floats sum0 = hn::Zero(lanes);
  Floats sum1 = sum0;
  std::size_t i = 0;
  for (; i + 2 * n <= d; i += 2 * n) {
    sum0 = term.add(sum0, i, to_floats(code + i));
    sum1 = term.add(sum1, i + n, to_floats(code + i + n));
  }
  if (i + n <= d) {
    sum0 = term.add(sum0, i, to_floats(code + i));
    i += n;
  }
  if (i < d) {
    std::uint8_t padded[hn::MaxLanes(Lanes())] = {};
    std::memcpy(padded, code + i, d - i);
    sum1 = term.add_tail(sum1, i, d - i, to_floats(padded));
  }
  return hn::GetLane(hn::SumOfLanes(lanes, hn::Add(sum0, sum1)));
}

void all_differences(const float* offsets, const float* steps, const std::uint8_t* const* codes, std::size_t n, std::size_t d,
                     float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = sum_of(Difference{offsets, steps}, codes[i], d);
}

void all_products(const float* weights, const std::uint8_t* const* codes, std::size_t n, std::size_t d, float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = sum_of(Product{weights}, codes[i], d);
}

const char* sq8_target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace annulus::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace annulus::kernels {

HWY_EXPORT(all_differences);
HWY_EXPORT(all_products);
HWY_EXPORT(sq8_target_name);

void sq8_differences(const float* offsets, const float* steps, const std::uint8_t* const* codes, std::size_t n, std::size_t d,
                     float* out) noexcept {
  HWY_DYNAMIC_DISPATCH(all_differences)(offsets, steps, codes, n, d, out);
}

void sq8_products(const float* weights, const std::uint8_t* const* codes, std::size_t n, std::size_t d, float* out) noexcept {
  HWY_DYNAMIC_DISPATCH(all_products)(weights, codes, n, d, out);
}

const char* sq8_target() noexcept { return HWY_DYNAMIC_DISPATCH(sq8_target_name)(); }

}  // namespace annulus::kernels
#endif
