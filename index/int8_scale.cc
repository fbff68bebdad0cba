#include "index/int8_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "core/error.h"

namespace annulus {
namespace {

constexpr float kSteps = 127;

/// Rows that are looked at: enough for the quantile, and at most about 8 MB of them where d allows.
std::size_t sample_size(std::size_t n, std::size_t d) noexcept {
  constexpr std::size_t kFloats = std::size_t{1} << 21;
  constexpr std::size_t kLeast = 512;
  constexpr std::size_t kMost = 4096;
  return std::min(n, std::clamp(kFloats / d, kLeast, kMost));
}

/// The 99.9 % quantile of |values - centre|; the largest where that is 0. Reorders `values`.
float spread_of(std::span<float> values, float centre) {
  for (float& value : values) value = std::abs(value - centre);
  const auto at = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) * 999 / 1000);
  std::nth_element(values.begin(), at, values.end());
  return *at != 0 ? *at : *std::max_element(at, values.end());
}

/// `spread` over 127, and a number that can be divided by.
float scale_of(float spread) noexcept {
  if (spread == 0) return 1;
  return std::clamp(spread / kSteps, 2 * std::numeric_limits<float>::min(), std::numeric_limits<float>::max() / kSteps);
}

/// What distances that add up to `largest` are to be multiplied by, if anything: a power of two.
double rescaling(double largest) noexcept {
  constexpr double kHuge = 0x1p126;
  constexpr double kTiny = 0x1p-96;
  if (largest == 0 || (largest <= kHuge && largest >= kTiny)) return 1;
  return std::ldexp(1.0, (largest > kHuge ? 126 : 0) - std::ilogb(largest) - 1);
}

}  // namespace

Int8Scale Int8Scale::learn(Metric metric, const float* rows, std::size_t n, std::size_t d) {
  constexpr std::size_t kTogether = 16;  // dimensions: a cache line of a row
  const std::size_t samples = sample_size(n, d);
  std::vector<float> centre(d, 0.0F);
  std::vector<float> columns(kTogether * samples);
  float spread = 0;
  for (std::size_t first = 0; first < d; first += kTogether) {
    const std::size_t together = std::min(kTogether, d - first);
    for (std::size_t i = 0; i < samples; ++i) {
      const float* row = rows + i * n / samples * d + first;
      for (std::size_t j = 0; j < together; ++j) columns[j * samples + i] = row[j];
    }
    for (std::size_t j = 0; j < together; ++j) {
      const auto column = std::span(columns).subspan(j * samples, samples);
      if (metric == Metric::kL2) {
        double sum = 0;
        for (const float value : column) sum += value;
        centre[first + j] = static_cast<float>(sum / static_cast<double>(samples));
      }
      spread = std::max(spread, spread_of(column, centre[first + j]));
    }
  }
  return {metric, std::move(centre), scale_of(spread)};
}

Int8Scale::Int8Scale(Metric metric, std::vector<float> centre, float scale)
    : metric_(metric), centre_(std::move(centre)), scale_(scale), inverse_(1 / scale) {
  const bool finite = std::all_of(centre_.begin(), centre_.end(), [](float value) { return std::isfinite(value); });
  if (!finite || !std::isnormal(scale) || scale < 0 || !std::isfinite(inverse_)) {
    throw Error(ErrorCode::kInvalidArgument, "an int8 scale of " + std::to_string(scale) +
                                                 (finite ? "" : " around a centre that is not finite") +
                                                 ", expected a normal number > 0 and a finite centre");
  }
}

std::int32_t Int8Scale::encode_row(const float* x, std::uint8_t* code) const noexcept {
  std::int32_t norm = 0;
  for (std::size_t j = 0; j < centre_.size(); ++j) {
    const float steps = std::clamp((x[j] - centre_[j]) * inverse_, -kSteps, kSteps);
    const auto shifted = static_cast<std::int32_t>(steps + 128.5F);  // rounds, as it is positive
    code[j] = static_cast<std::uint8_t>(shifted);
    norm += (shifted - 128) * (shifted - 128);
  }
  return norm;
}

Int8Query Int8Scale::encode_query(const float* q, std::int8_t* code, int steps) const noexcept {
  const std::size_t d = centre_.size();
  const auto most_steps = static_cast<double>(steps);
  double largest = 0;
  double squares = 0;
  for (std::size_t j = 0; j < d; ++j) {
    const double difference = double{q[j]} - double{centre_[j]};
    largest = std::max(largest, std::abs(difference));
    squares += difference * difference;
  }
  const double step = largest / most_steps;
  const double inverse = largest == 0 ? 0 : most_steps / largest;
  std::int64_t sum = 0;
  for (std::size_t j = 0; j < d; ++j) {
    const double at = std::clamp((double{q[j]} - double{centre_[j]}) * inverse, -most_steps, most_steps);
    const auto shifted = static_cast<std::int32_t>(at + 128.5);
    code[j] = static_cast<std::int8_t>(shifted - 128);
    sum += shifted - 128;
  }
  // The product with v is that with v + 128 less 128 times the sum of the query's code.
  const double unit = double{scale_} * step;
  const bool l2 = metric_ == Metric::kL2;
  const double norm_factor = l2 ? double{scale_} * double{scale_} : 0;
  const double product_factor = l2 ? -2 * unit : -unit;
  const double constant = (l2 ? squares : 0) - product_factor * 128 * static_cast<double>(sum);
  const double most = static_cast<double>(d) * double{kSteps};
  const double factor = rescaling(norm_factor * most * double{kSteps} + std::abs(product_factor) * most * 255 + std::abs(constant));
  return {static_cast<float>(norm_factor * factor), static_cast<float>(product_factor * factor),
          static_cast<float>(constant * factor)};
}

}  // namespace annulus
