#include "index/sq8_scale.h"

#include <faiss/impl/ScalarQuantizer.h>

#include <cmath>
#include <limits>

#include "index/distance.h"
#include "index/sq8_kernels.h"

namespace annulus {

Sq8Scale::Sq8Scale(Metric metric, const faiss::ScalarQuantizer& trained) : l2_(metric == Metric::kL2) {
  // FAISS keeps the least value of each component, then the width of its range
  const std::size_t d = trained.d;
  middles_.resize(d);
  steps_.resize(d);
  for (std::size_t i = 0; i < d; ++i) {
    steps_[i] = trained.trained[d + i] / 255;
    middles_[i] = trained.trained[i] + steps_[i] / 2;
  }
}

void Sq8Scale::prepare(const float* query, const float* origin, Sq8Query& out) const {
  const std::size_t d = steps_.size();
  out.factors.resize(d);
  if (l2_) {
    for (std::size_t i = 0; i < d; ++i) out.factors[i] = query[i] - middles_[i];
    for (std::size_t i = 0; origin != nullptr && i < d; ++i) out.factors[i] -= origin[i];
    return;
  }
  for (std::size_t i = 0; i < d; ++i) out.factors[i] = query[i] * steps_[i];
  out.constant = inner_product(query, middles_.data(), d) + (origin == nullptr ? 0.0F : inner_product(query, origin, d));
}

void Sq8Scale::distances(const Sq8Query& query, std::span<const std::uint8_t* const> codes, float* out) const noexcept {
  const std::size_t d = steps_.size();
  if (l2_) {
    kernels::sq8_differences(query.factors.data(), steps_.data(), codes.data(), codes.size(), d, out);
  } else {
    kernels::sq8_products(query.factors.data(), codes.data(), codes.size(), d, out);
    for (std::size_t i = 0; i < codes.size(); ++i) out[i] = -(query.constant + out[i]);
  }
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if (std::isnan(out[i])) out[i] = std::numeric_limits<float>::infinity();
  }
}

}  // namespace annulus
