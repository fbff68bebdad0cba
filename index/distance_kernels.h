// Internal: what distance_kernels.cc compiles once for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace annulus::kernels {

/// The sum over d floats: squared differences, or products.
enum class Sum { kSquaredDifference, kProduct };

float pair(Sum sum, const float* x, const float* y, std::size_t d) noexcept;

/// pair(query, rows + i * stride) for i in [0, n).
void rows(Sum sum, const float* query, const float* rows, std::size_t n, std::size_t d, std::size_t stride, float* out) noexcept;

/// pair(query, base + indices[i] * d) for i in [0, n).
void gather(Sum sum, const float* query, const float* base, const std::uint32_t* indices, std::size_t n, std::size_t d,
            float* out) noexcept;

const char* target() noexcept;

}  // namespace annulus::kernels
