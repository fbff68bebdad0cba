// Vectors as one byte a component, so that their distances are integer sums. Start at Int8Scale.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/index_spec.h"

namespace annulus {

/// How the integer sum of a query's code with a row's becomes a distance:
/// distance ~ norm_factor * norm + product_factor * product + constant.
struct Int8Query {
  float norm_factor;     ///< of the row's norm, which encode_row returned; 0 unless the metric is kL2
  float product_factor;  ///< of the sum of products of the two codes' bytes
  float constant;
};

/// One step for all dimensions around a centre: the mean for kL2; the origin for kInnerProduct and kCosine. A component x of
/// dimension j is the signed number v = round((x - centre[j]) / scale), cut to [-127, 127].
///
/// A value, immutable once made. Thread safety: const calls from any threads.
/// Distances are approximate: each v is off by up to 1/2, and by more where it is cut.
class Int8Scale {
 public:
  /// Learns from n >= 1 finite rows of d floats at `rows`, evenly sampled: the scale is the largest over the dimensions of the
  /// 99.9 % quantile of |x - centre|, over 127. The same for the same rows. O(d) time and memory in proportion to d.
  static Int8Scale learn(Metric metric, const float* rows, std::size_t n, std::size_t d);

  /// One that was learnt before. Throws Error(kInvalidArgument) unless all is finite and `scale` is a normal number > 0.
  Int8Scale(Metric metric, std::vector<float> centre, float scale);

  /// Writes d bytes v + 128; returns the sum of v^2. Any finite row, however far from what was learnt from.
  std::int32_t encode_row(const float* x, std::uint8_t* code) const noexcept;

  /// Writes d signed bytes, from -steps to steps (1 to 127), on a scale of the query's own. Distances have the library's meaning (index/distance.h); where those
  /// would overflow or vanish in float32 they are multiplied by a constant instead, so that rows keep their order. None is NaN.
  Int8Query encode_query(const float* q, std::int8_t* code, int steps = 127) const noexcept;

  std::size_t dimension() const noexcept { return centre_.size(); }
  Metric metric() const noexcept { return metric_; }
  std::span<const float> centre() const noexcept { return centre_; }
  float scale() const noexcept { return scale_; }

  friend bool operator==(const Int8Scale&, const Int8Scale&) = default;

 private:
  Metric metric_;
  std::vector<float> centre_;
  float scale_;
  float inverse_;
};

}  // namespace annulus
