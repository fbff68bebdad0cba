// Internal: products of int8 codes that lie row after row, compiled once for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace annulus::kernels {

/// Rows of codes start at multiples of this, and are padded with anything up to it; a query is padded with zeros.
inline constexpr std::size_t kCodeAlignment = 64;

/// out[i] = sum over `stride` bytes of query[j] * base[rows[i] * stride + j], exact. The rows' bytes are Int8Scale's,
/// v + 128 of a v from -127 to 127; the query's are from -127 to 127.
/// `stride` is a multiple of kCodeAlignment; base and query are aligned to it. Rows are prefetched.
void products(const std::int8_t* query, const std::uint8_t* base, std::size_t stride, const std::uint32_t* rows, std::size_t n,
              std::int32_t* out) noexcept;

const char* products_target() noexcept;

}  // namespace annulus::kernels
