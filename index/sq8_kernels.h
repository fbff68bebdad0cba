// Internal: what sq8_kernels.cc compiles once for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace annulus::kernels {

/// For each of n codes the sum over d components of (offsets[i] - steps[i] * code[i])^2. Each has one order, whatever n.
void sq8_differences(const float* offsets, const float* steps, const std::uint8_t* const* codes, std::size_t n, std::size_t d,
                     float* out) noexcept;

/// For each of n codes the sum over d components of weights[i] * code[i].
void sq8_products(const float* weights, const std::uint8_t* const* codes, std::size_t n, std::size_t d, float* out) noexcept;

const char* sq8_target() noexcept;

}  // namespace annulus::kernels
