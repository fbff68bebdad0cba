// Internal: int8 codes of the rows of an index, one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "index/aligned_buffer.h"
#include "index/graph_builder.h"
#include "index/int8_kernels.h"
#include "index/int8_scale.h"

namespace annulus {

/// Codes and norms of rows 0 to capacity() - 1 on one scale. Rows are encoded one by one; a row's codes may be written while
/// others are read.
class Int8Rows {
 public:
  /// Rows below `soon` are encoded before long.
  Int8Rows(Int8Scale scale, std::size_t capacity, std::size_t soon);
  Int8Rows(Int8Scale scale, std::size_t capacity) : Int8Rows(std::move(scale), capacity, capacity) {}

  const Int8Scale& scale() const noexcept { return scale_; }
  std::size_t capacity() const noexcept { return capacity_; }
  std::size_t stride() const noexcept { return stride_; }  ///< bytes from row to row
  const std::uint8_t* codes() const noexcept { return codes_.data(); }
  const std::int32_t* norms() const noexcept { return norms_.data(); }  ///< null where distances need none (not L2)

  /// Returns how many components lie at the ends of the scale or beyond: they may have been cut.
  std::size_t encode(Row row, const float* vector) noexcept;

  /// Asks for huge pages behind rows [begin, end), which are encoded.
  void advise(std::size_t begin, std::size_t end) noexcept {
    codes_.advise(begin * stride_, end * stride_);
    if (norms_.size() != 0) norms_.advise(begin, end);
  }

  /// A copy of the first `rows` rows with room for `capacity`.
  Int8Rows grown(std::size_t rows, std::size_t capacity) const;

  /// Bytes of codes and norms a row.
  std::size_t row_bytes() const noexcept { return stride_ + (norms() != nullptr ? sizeof(std::int32_t) : 0); }

 private:
  Int8Scale scale_;
  std::size_t capacity_;
  std::size_t stride_;
  AlignedBuffer<std::uint8_t> codes_;
  AlignedBuffer<std::int32_t> norms_;
};

/// Approximate distances from a query, or a row, to rows of codes. Those from rows are distances between the rows as they are
/// encoded, in units of the scale squared, so that they compare with each other.
class CodeDistances final : public RowCursor {
 public:
  explicit CodeDistances(const Int8Rows& rows);

  /// The same without an allocation, if `memory`, which it borrows, has been used so before.
  CodeDistances(const Int8Rows& rows, AlignedBuffer<std::int8_t>& memory);

  void from(const float* query) noexcept;
  void stand_on(Row row) noexcept override;
  void operator()(std::span<const Row> rows, float* out) override;

 private:
  const Int8Rows& rows_;
  AlignedBuffer<std::int8_t> own_;
  std::int8_t* query_;
  Int8Query ranking_{};
};

}  // namespace annulus
