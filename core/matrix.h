// Views of vectors and matrices in the public API. Header-only, on Eigen.
#pragma once

#include <Eigen/Core>
#include <cstddef>

namespace annulus {

/// n vectors of d floats, one a row, row-major.
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// One vector of d floats.
using Vector = Eigen::Matrix<float, 1, Eigen::Dynamic, Eigen::RowMajor>;

/// Read-only view of an n x d row-major matrix; rows are contiguous, their stride may exceed d. Other layouts are copied.
using MatrixView = Eigen::Ref<const Matrix>;

/// Read-only view of one contiguous vector of d floats.
using VectorView = Eigen::Ref<const Vector>;

/// A view of `n` rows of `d` floats at `data`.
inline Eigen::Map<const Matrix> map_rows(const float* data, std::size_t n, std::size_t d) noexcept {
  return {data, static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(d)};
}

/// Pointer to row i.
inline const float* row_data(const MatrixView& m, std::size_t i) noexcept {
  return m.data() + static_cast<Eigen::Index>(i) * m.outerStride();
}

}  // namespace annulus
