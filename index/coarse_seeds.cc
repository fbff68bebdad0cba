#include "index/coarse_seeds.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <random>

#include "index/distance.h"

namespace annulus {
namespace {

constexpr std::size_t kSampledPerSeed = 8;
constexpr std::size_t kDrawn = 6;

/// A sample of rows, each with its squared distance from the nearest seed.
class Sample {
 public:
  Sample(const float* rows, std::size_t n, std::size_t d, std::size_t size, std::mt19937_64& random) : d_(d) {
    std::vector<std::size_t> numbers(n);
    std::iota(numbers.begin(), numbers.end(), std::size_t{0});
    rows_.resize(size * d);
    for (std::size_t i = 0; i < size; ++i) {
      std::swap(numbers[i], numbers[i + random() % (n - i)]);
      std::copy_n(rows + numbers[i] * d, d, rows_.data() + i * d);
    }
    nearest_.assign(size, std::numeric_limits<float>::max());
    for (std::vector<float>& distances : tried_) distances.resize(size);
  }

  const float* row(std::size_t i) const noexcept { return rows_.data() + i * d_; }
  std::size_t size() const noexcept { return nearest_.size(); }

  /// A row, by its distance from the nearest seed; any if all are seeds.
  std::size_t draw(std::mt19937_64& random) const {
    const double total = std::accumulate(nearest_.begin(), nearest_.end(), 0.0);
    double left = std::uniform_real_distribution<double>(0, total)(random);
    for (std::size_t i = 0; i < size(); ++i) {
      left -= nearest_[i];
      if (left < 0) return i;
    }
    return random() % size();
  }

  /// Takes that of some rows for a seed which leaves the least distances in all. Returns it.
  std::size_t take_best(const std::array<std::size_t, kDrawn>& drawn) {
    std::array<double, kDrawn> left;
    for (std::size_t j = 0; j < kDrawn; ++j) left[j] = distances_left(drawn[j], tried_[j]);
    const std::size_t best = static_cast<std::size_t>(std::min_element(left.begin(), left.end()) - left.begin());
    std::swap(nearest_, tried_[best]);
    return drawn[best];
  }

 private:
  /// The distances if row `i` becomes a seed, and their sum.
  double distances_left(std::size_t i, std::vector<float>& out) const noexcept {
    distances(Metric::kL2, row(i), rows_.data(), size(), d_, d_, out.data());
    double sum = 0;
    for (std::size_t at = 0; at < size(); ++at) {
      out[at] = std::min(out[at], nearest_[at]);
      sum += out[at];
    }
    return sum;
  }

  std::size_t d_;
  std::vector<float> rows_;
  std::vector<float> nearest_;
  std::array<std::vector<float>, kDrawn> tried_;
};

}  // namespace

std::vector<float> coarse_seeds(const float* rows, std::size_t n, std::size_t d, std::size_t k, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Sample sample(rows, n, d, std::min(n, kSampledPerSeed * k), random);
  std::vector<float> seeds;
  seeds.reserve(k * d);
  for (std::size_t i = 0; i < k; ++i) {
    std::array<std::size_t, kDrawn> drawn;
    for (std::size_t& row : drawn) row = i == 0 ? random() % sample.size() : sample.draw(random);
    const float* best = sample.row(sample.take_best(drawn));
    seeds.insert(seeds.end(), best, best + d);
  }
  return seeds;
}

}  // namespace annulus
