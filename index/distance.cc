#include "index/distance.h"

#include <hwy/targets.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

#include "core/error.h"
#include "index/distance_kernels.h"

namespace annulus {
namespace {

using kernels::Sum;

Sum sum_of(Metric metric) noexcept { return metric == Metric::kL2 ? Sum::kSquaredDifference : Sum::kProduct; }

/// From the kernel's sum to a distance. 0 - x rather than -x: no negative zero. An inner product whose terms overflow in
/// both directions is NaN, which has no place in an order.
float to_distance(Metric metric, float sum) noexcept {
  const float value = metric == Metric::kL2 ? sum : 0.0F - sum;
  return std::isnan(value) ? std::numeric_limits<float>::infinity() : value;
}

bool all_zero(const float* x, std::size_t d) noexcept {
  for (std::size_t i = 0; i < d; ++i) {
    if (x[i] != 0) return false;
  }
  return true;
}

std::string_view simd_limit() noexcept {
  const char* variable = std::getenv("ANNULUS_SIMD");
  return variable == nullptr ? "" : variable;
}

/// Obeys ANNULUS_SIMD, before any kernel is chosen. Highway numbers better sets with lower bits.
bool limit_instructions() noexcept {
#if HWY_ARCH_X86
  const std::string_view most = simd_limit();
  if (most == "avx512") hwy::DisableTargets(HWY_AVX3 - 1);
  if (most == "avx2") hwy::DisableTargets(HWY_AVX2 - 1);
  if (most == "sse4") hwy::DisableTargets(HWY_SSE4 - 1);
  if (most == "baseline") hwy::DisableTargets(HWY_EMU128 - 1);
#endif
  return true;
}

[[maybe_unused]] const bool limited = limit_instructions();

}  // namespace

void check_simd_limit() {
  const std::string_view most = simd_limit();
  for (const char* known : {"", "baseline", "sse4", "avx2", "avx512"}) {
    if (most == known) return;
  }
  throw Error(ErrorCode::kInvalidArgument, "ANNULUS_SIMD=" + std::string(most) +
                                               " is no set that kernels can be held to; there are baseline, sse4, avx2 and avx512");
}

float l2_squared(const float* x, const float* y, std::size_t d) noexcept { return kernels::pair(Sum::kSquaredDifference, x, y, d); }

float inner_product(const float* x, const float* y, std::size_t d) noexcept { return kernels::pair(Sum::kProduct, x, y, d); }

float distance(Metric metric, const float* x, const float* y, std::size_t d) noexcept {
  return to_distance(metric, kernels::pair(sum_of(metric), x, y, d));
}

void distances(Metric metric, const float* query, const float* rows, std::size_t n, std::size_t d, std::size_t stride,
               float* out) noexcept {
  kernels::rows(sum_of(metric), query, rows, n, d, stride, out);
  for (std::size_t i = 0; i < n; ++i) out[i] = to_distance(metric, out[i]);
}

void distances_gather(Metric metric, const float* query, const float* base, const std::uint32_t* indices, std::size_t n,
                      std::size_t d, float* out) noexcept {
  kernels::gather(sum_of(metric), query, base, indices, n, d, out);
  for (std::size_t i = 0; i < n; ++i) out[i] = to_distance(metric, out[i]);
}

float squared_norm(const float* x, std::size_t d) noexcept { return inner_product(x, x, d); }

bool all_finite(const float* x, std::size_t d) noexcept {
  constexpr std::uint32_t kExponent = 0x7f800000;
  std::uint32_t special = 0;
  for (std::size_t i = 0; i < d; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    special |= static_cast<std::uint32_t>((bits & kExponent) == kExponent);
  }
  return special == 0;
}

bool normalise(float* x, std::size_t d) noexcept {
  if (!all_finite(x, d)) return false;
  double norm = 0;
  for (std::size_t i = 0; i < d; ++i) norm += double{x[i]} * double{x[i]};
  if (norm == 0) return false;
  norm = std::sqrt(norm);
  for (std::size_t i = 0; i < d; ++i) x[i] = static_cast<float>(double{x[i]} / norm);
  return true;
}

const char* simd_target() noexcept { return kernels::target(); }

void validate_vectors(const MatrixView& vectors, std::size_t d, Metric metric, const char* what) {
  const auto n = static_cast<std::size_t>(vectors.rows());
  if (static_cast<std::size_t>(vectors.cols()) != d) {
    throw Error(ErrorCode::kInvalidArgument,
                std::string(what) + " have dimension " + std::to_string(vectors.cols()) + ", expected " + std::to_string(d));
  }
  for (std::size_t i = 0; i < n; ++i) {
    const float* row = row_data(vectors, i);
    if (!all_finite(row, d)) {
      throw Error(ErrorCode::kInvalidArgument,
                  "row " + std::to_string(i) + " of " + what + " has a NaN or infinite component; expected finite numbers");
    }
    if (metric == Metric::kCosine && all_zero(row, d)) {
      throw Error(ErrorCode::kInvalidArgument,
                  "row " + std::to_string(i) + " of " + what + " is a zero vector, which has no direction to compare by cosine");
    }
  }
}

}  // namespace annulus
