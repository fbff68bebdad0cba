#include "index/int8_rows.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "core/prefetch.h"

namespace annulus {
namespace {

std::size_t padded(std::size_t d) noexcept {
  return (d + kernels::kCodeAlignment - 1) / kernels::kCodeAlignment * kernels::kCodeAlignment;
}

}  // namespace

Int8Rows::Int8Rows(Int8Scale scale, std::size_t capacity, std::size_t soon)
    : scale_(std::move(scale)),
      capacity_(capacity),
      stride_(padded(scale_.dimension())),
      codes_(capacity * stride_, soon * stride_),
      norms_(scale_.metric() == Metric::kL2 ? capacity : 0, scale_.metric() == Metric::kL2 ? soon : 0) {}

std::size_t Int8Rows::encode(Row row, const float* vector) noexcept {
  std::uint8_t* codes = codes_.data() + std::size_t{row} * stride_;
  const std::int32_t norm = scale_.encode_row(vector, codes);
  const std::size_t d = scale_.dimension();
  std::memset(codes + d, 0, stride_ - d);
  if (norms_.size() != 0) norms_.data()[row] = norm;
  return static_cast<std::size_t>(std::count_if(codes, codes + d, [](std::uint8_t code) { return code == 1 || code == 255; }));
}

Int8Rows Int8Rows::grown(std::size_t rows, std::size_t capacity) const {
  Int8Rows copy(scale_, capacity, rows);
  if (rows != 0) std::memcpy(copy.codes_.data(), codes_.data(), rows * stride_);
  if (rows != 0 && norms_.size() != 0) std::memcpy(copy.norms_.data(), norms_.data(), rows * sizeof(std::int32_t));
  return copy;
}

CodeDistances::CodeDistances(const Int8Rows& rows) : rows_(rows), own_(rows.stride()), query_(own_.data()) {
  std::memset(query_, 0, rows.stride());
}

CodeDistances::CodeDistances(const Int8Rows& rows, AlignedBuffer<std::int8_t>& memory) : rows_(rows) {
  if (memory.size() < rows.stride()) memory = AlignedBuffer<std::int8_t>(rows.stride());
  query_ = memory.data();
  std::memset(query_, 0, rows.stride());
}

void CodeDistances::from(const float* query) noexcept { ranking_ = rows_.scale().encode_query(query, query_); }

void CodeDistances::stand_on(Row row) noexcept {
  // the row's own codes, made signed; products with the others' bytes hold 128 times their sum, which the constant takes out
  const std::uint8_t* codes = rows_.codes() + std::size_t{row} * rows_.stride();
  std::int8_t* const query = query_;  // of this function's own: a store of bytes might change members, for all the compiler knows
  const std::size_t d = rows_.scale().dimension();
  std::int32_t sum = 0;
  for (std::size_t j = 0; j < d; ++j) {
    query[j] = static_cast<std::int8_t>(codes[j] - 128);
    sum += query[j];
  }
  if (rows_.norms() != nullptr) {
    ranking_ = {1.0F, -2.0F, static_cast<float>(rows_.norms()[row]) + 256.0F * static_cast<float>(sum)};
  } else {
    ranking_ = {0.0F, -1.0F, 128.0F * static_cast<float>(sum)};
  }
}

void CodeDistances::operator()(std::span<const Row> rows, float* out) {
  std::array<std::int32_t, 64> products;
  const std::int32_t* norms = rows_.norms();
  for (std::size_t begin = 0; begin < rows.size(); begin += products.size()) {
    const std::span<const Row> part = rows.subspan(begin, std::min(products.size(), rows.size() - begin));
    if (norms != nullptr) {
      for (const Row row : part) prefetch(norms + row);
    }
    kernels::products(query_, rows_.codes(), rows_.stride(), part.data(), part.size(), products.data());
    for (std::size_t i = 0; i < part.size(); ++i) {
      float distance = static_cast<float>(products[i]) * ranking_.product_factor + ranking_.constant;
      if (norms != nullptr) distance += static_cast<float>(norms[part[i]]) * ranking_.norm_factor;
      out[begin + i] = distance;
    }
  }
}

}  // namespace annulus
