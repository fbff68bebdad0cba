#include "cli/demo_oracle.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <set>
#include <string_view>
#include <unordered_map>

namespace annulus::cli {
namespace {

constexpr std::size_t kKeysAtOnce = 1024;
// The router normalises what it accepts, and the data is normalised already: both round to float.
constexpr float kSameComponent = 1e-6F;
// Of a similarity, for float sums of the length of a vector: a neighbour within it of the tenth is as good.
constexpr float kSameSimilarity = 1e-5F;

}  // namespace

std::uint64_t Oracle::live() const noexcept {
  return static_cast<std::uint64_t>(
      std::count_if(entries_.begin(), entries_.end(), [](const auto& entry) { return entry.second.has_value(); }));
}

OracleComparison Oracle::compare(const VectorRouter& router) const {
  OracleComparison result;
  Matrix read;
  std::vector<bool> found;
  for (auto next = entries_.begin(); next != entries_.end();) {
    const auto first = next;
    std::vector<KeyView> keys;
    for (; next != entries_.end() && keys.size() < kKeysAtOnce; ++next) keys.emplace_back(next->first);
    router.get(keys, read, found);
    std::size_t row = 0;
    for (auto entry = first; entry != next; ++entry, ++row) {
      const std::optional<Vector>& expected = entry->second;
      if (!expected) {
        ++result.erased;
        result.resurrected += found[row] ? 1 : 0;
        continue;
      }
      ++result.live;
      if (!found[row]) {
        ++result.missing;
      } else if (!((read.row(static_cast<Eigen::Index>(row)) - *expected).cwiseAbs().maxCoeff() <= kSameComponent)) {
        ++result.wrong;
      }
    }
  }
  return result;
}

RecallProbe Oracle::probe(const VectorRouter& router, const std::vector<std::string>& words) const {
  Matrix vectors(static_cast<Eigen::Index>(live()), static_cast<Eigen::Index>(dimension_));
  std::unordered_map<std::string_view, std::size_t> row_of;
  for (const auto& [key, vector] : entries_) {
    if (!vector) continue;
    vectors.row(static_cast<Eigen::Index>(row_of.size())) = *vector;
    row_of.emplace(key, row_of.size());
  }
  Matrix queries(static_cast<Eigen::Index>(words.size()), static_cast<Eigen::Index>(dimension_));
  std::vector<std::size_t> itself;
  for (std::size_t i = 0; i < words.size(); ++i) {
    itself.push_back(row_of.at(words[i]));
    queries.row(static_cast<Eigen::Index>(i)) = vectors.row(static_cast<Eigen::Index>(itself[i]));
  }

  RecallProbe probe;
  const auto started = std::chrono::steady_clock::now();
  const SearchResult result = router.search(queries, kRecallDepth + 1);
  probe.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  probe.coverage = result.coverage;

  const auto exact = exact_neighbors(queries, itself, vectors, kRecallDepth);
  std::size_t hits = 0;
  std::size_t wanted = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto query = queries.row(static_cast<Eigen::Index>(i));
    const auto similarity = [&](std::size_t row) { return query.dot(vectors.row(static_cast<Eigen::Index>(row))); };
    const float tenth = similarity(exact[i].back()) - kSameSimilarity;
    std::vector<std::string> neighbors;
    std::set<std::string_view> seen;
    for (const Neighbor& neighbor : result[i]) {
      if (!seen.insert(neighbor.key).second) {
        ++probe.duplicates;
      } else if (neighbor.key != words[i] && neighbors.size() < kRecallDepth) {
        neighbors.push_back(neighbor.key);
        const auto row = row_of.find(neighbor.key);
        hits += row != row_of.end() && similarity(row->second) >= tenth ? 1 : 0;
      }
    }
    wanted += exact[i].size();
    probe.answers.push_back(std::move(neighbors));
  }
  probe.recall = static_cast<double>(hits) / static_cast<double>(wanted);
  return probe;
}

std::vector<std::vector<std::size_t>> exact_neighbors(const Matrix& queries, const std::vector<std::size_t>& itself,
                                                      const Matrix& vectors, std::size_t k) {
  const Matrix similarities = queries * vectors.transpose();
  std::vector<std::vector<std::size_t>> neighbors;
  std::vector<std::size_t> order(static_cast<std::size_t>(vectors.rows()));
  for (Eigen::Index i = 0; i < queries.rows(); ++i) {
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto row = similarities.row(i);
    const auto nearer = [&](std::size_t a, std::size_t b) {
      const float x = row(static_cast<Eigen::Index>(a));
      const float y = row(static_cast<Eigen::Index>(b));
      return x != y ? x > y : a < b;
    };
    const std::size_t depth = std::min(k + 1, order.size());
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(depth), order.end(), nearer);
    std::vector<std::size_t> nearest;
    for (std::size_t j = 0; j < depth && nearest.size() < k; ++j) {
      if (order[j] != itself[static_cast<std::size_t>(i)]) nearest.push_back(order[j]);
    }
    neighbors.push_back(std::move(nearest));
  }
  return neighbors;
}

}  // namespace annulus::cli
