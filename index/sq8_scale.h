// Internal: distances to rows that FAISS's 8-bit scalar quantizer has encoded, without decoding them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/index_spec.h"

namespace faiss {
struct ScalarQuantizer;
}

namespace annulus {

/// A query, ready to be compared with codes. Memory that is reused.
struct Sq8Query {
  std::vector<float> factors;  ///< what is left of the query for L2, else weights
  float constant = 0;          ///< of products: what codes of 0 give
};

/// How codes stand for components: number i is low[i] + steps[i] * (code[i] + 1/2), as FAISS's QT_8bit has it.
/// Thread safety: const calls from any threads at once.
class Sq8Scale {
 public:
  /// Of a trained quantizer of 8 bits a component.
  Sq8Scale(Metric metric, const faiss::ScalarQuantizer& trained);

  /// Makes a query of d floats ready for codes of what is left of rows when `origin` (d floats; null: nothing) is taken away.
  void prepare(const float* query, const float* origin, Sq8Query& out) const;

  /// The distances (index/distance.h) of a query to the rows of n codes, but for rounding. Never NaN.
  void distances(const Sq8Query& query, std::span<const std::uint8_t* const> codes, float* out) const noexcept;

 private:
  bool l2_;
  std::vector<float> middles_;  ///< what a code of 0 stands for
  std::vector<float> steps_;
};

}  // namespace annulus
