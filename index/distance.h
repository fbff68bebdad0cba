// Distances between float vectors: SIMD kernels picked at run time for the processor (Google Highway).
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/matrix.h"
#include "index/index_spec.h"

namespace annulus {

// Every form of one function sums in one order for a given instruction set, whatever the batch, the alignment or the
// number of rows: a distance is a pure function of (x, y, d), bit for bit. Another instruction set may round otherwise.
// Pointers need no alignment. Relative error against exact arithmetic: about d/lanes * 2^-24 of sum |terms|.

/// Sum of (x[i] - y[i])^2 over d floats.
float l2_squared(const float* x, const float* y, std::size_t d) noexcept;

/// Sum of x[i] * y[i] over d floats.
float inner_product(const float* x, const float* y, std::size_t d) noexcept;

/// The library's distance, smaller is nearer: squared L2, or the negative inner product (also for kCosine).
/// Never NaN: what overflows to NaN counts as +infinity, the farthest.
float distance(Metric metric, const float* x, const float* y, std::size_t d) noexcept;

/// distance(query, rows[i]) for n rows of d floats at `rows`, `stride` floats apart; n floats at `out`.
void distances(Metric metric, const float* query, const float* rows, std::size_t n, std::size_t d, std::size_t stride,
               float* out) noexcept;

/// distance(query, base + indices[i] * d) for n indices; n floats at `out`.
void distances_gather(Metric metric, const float* query, const float* base, const std::uint32_t* indices, std::size_t n,
                      std::size_t d, float* out) noexcept;

/// Sum of squares of d floats.
float squared_norm(const float* x, std::size_t d) noexcept;

/// Whether none of d floats is NaN or infinite.
bool all_finite(const float* x, std::size_t d) noexcept;

/// Scales d floats at `x` to unit length; computed in double, so that huge and denormal vectors work too.
/// False, and `x` is untouched, if all are zero or one is not finite.
bool normalise(float* x, std::size_t d) noexcept;

/// The instruction set in use, e.g. "AVX3", "AVX2", "SSE4". The environment variable ANNULUS_SIMD, read once when the program
/// starts, holds all kernels, of integers too, to the given set or a lower one: "baseline", "sse4", "avx2", "avx512" (without VNNI)
/// on x86; another value, and elsewhere any, counts for nothing: see check_simd_limit.
const char* simd_target() noexcept;

/// Throws Error(kInvalidArgument) if ANNULUS_SIMD names no instruction set that kernels can be held to.
void check_simd_limit();

/// Throws Error(kInvalidArgument) unless `vectors` is n x d, finite, and, under kCosine, without a zero vector.
/// `what` names the argument in the message ("the queries").
void validate_vectors(const MatrixView& vectors, std::size_t d, Metric metric, const char* what);

}  // namespace annulus
