// What the tests of index/ share: data, every kind of index, brute force.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <ostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "index/distance.h"
#include "index/vector_index.h"
#include "tests/core/expect_error.h"

namespace annulus::testing {

/// n x d normal floats; rows of unit length if asked.
inline Matrix random_matrix(std::size_t n, std::size_t d, std::uint64_t seed, bool unit = false) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal;
  Matrix m(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(d));
  for (Eigen::Index i = 0; i < m.size(); ++i) m.data()[i] = normal(generator);
  for (Eigen::Index i = 0; unit && i < m.rows(); ++i) normalise(m.row(i).data(), d);
  return m;
}

inline std::vector<VectorId> ids_from(VectorId first, std::size_t n) {
  std::vector<VectorId> ids(n);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

inline IndexSpec make_spec(const std::string& factory, Metric metric, std::size_t d) {
  IndexSpec spec;
  spec.dimension = d;
  spec.metric = metric;
  spec.factory = factory;
  spec.ef_construction = 64;
  return spec;
}

/// An empty index that is ready: trained on `samples` (the first 512: enough, and quick under sanitizers) if it needs to be.
inline VectorIndex make_index(const IndexSpec& spec, const Matrix& samples) {
  return VectorIndex(
      spec, needs_training(spec) ? Codec::train(spec, samples.topRows(std::min<Eigen::Index>(samples.rows(), 512))) : nullptr);
}

/// An index of all rows of `data`, row i under id first + i.
inline VectorIndex filled_index(const IndexSpec& spec, const Matrix& data, VectorId first = 0) {
  VectorIndex index = make_index(spec, data);
  index.upsert(ids_from(first, static_cast<std::size_t>(data.rows())), data);
  return index;
}

struct Answer {
  std::vector<std::vector<Candidate>> rows;
  SearchWork work;
};

inline Answer search(const VectorIndex& index, const MatrixView& queries, std::size_t k, const SearchParams& params = {},
                     const Filter* filter = nullptr, const TieOrder* order = nullptr) {
  const auto n = static_cast<std::size_t>(queries.rows());
  std::vector<Candidate> out(n * k);
  std::vector<std::size_t> counts(n);
  Answer answer;
  index.search(queries, k, params, filter, order, out, counts, &answer.work);
  for (std::size_t i = 0; i < n; ++i) {
    EXPECT_LE(counts[i], k);
    const auto first = out.begin() + static_cast<std::ptrdiff_t>(i * k);
    answer.rows.emplace_back(first, first + static_cast<std::ptrdiff_t>(counts[i]));
  }
  return answer;
}

/// The true answer over (id, vector) pairs, by the kernel that the index must agree with bit for bit.
inline std::vector<Candidate> brute_force(Metric metric, const float* query, std::size_t d,
                                          const std::vector<std::pair<VectorId, const float*>>& rows, std::size_t k) {
  std::vector<Candidate> all;
  for (const auto& [id, x] : rows) all.push_back({id, distance(metric, query, x, d)});
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
  });
  all.resize(std::min(all.size(), k));
  return all;
}

inline std::vector<std::pair<VectorId, const float*>> rows_of(const Matrix& data, VectorId first = 0) {
  std::vector<std::pair<VectorId, const float*>> rows;
  for (Eigen::Index i = 0; i < data.rows(); ++i) rows.emplace_back(first + static_cast<VectorId>(i), data.row(i).data());
  return rows;
}

/// The part of `truth` that is in `found`.
inline double recall(const std::vector<Candidate>& truth, const std::vector<Candidate>& found) {
  std::size_t hits = 0;
  for (const Candidate& t : truth) {
    hits += std::any_of(found.begin(), found.end(), [&](const Candidate& f) { return f.id == t.id; });
  }
  return truth.empty() ? 1 : static_cast<double>(hits) / static_cast<double>(truth.size());
}

/// A filter or a tie order from a lambda.
class FilterBy final : public Filter {
 public:
  explicit FilterBy(std::function<bool(VectorId)> accept) : accept_(std::move(accept)) {}
  bool accept(VectorId id) const override { return accept_(id); }

 private:
  std::function<bool(VectorId)> accept_;
};

class OrderBy final : public TieOrder {
 public:
  explicit OrderBy(std::function<bool(VectorId, VectorId)> less) : less_(std::move(less)) {}
  bool less(VectorId a, VectorId b) const override { return less_(a, b); }

 private:
  std::function<bool(VectorId, VectorId)> less_;
};

/// A kind of index that tests are repeated over.
struct Kind {
  std::string factory;
  Metric metric;
};

inline void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.factory << ' ' << to_string(kind.metric); }

inline std::string kind_name(const ::testing::TestParamInfo<Kind>& info) {
  std::string name = info.param.factory + "_" + std::string(to_string(info.param.metric));
  std::replace(name.begin(), name.end(), ',', '_');
  return name;
}

inline std::vector<Kind> every_kind() {
  std::vector<Kind> kinds;
  for (const char* factory :
       {"Flat", "HNSW8", "HNSW8,SQ8", "IVF8,Flat", "IVF8,SQ8", "IVF8,PQ8", "IVF8_HNSW4,Flat", "IVF8_HNSW4,SQ8", "IVF8_HNSW4,PQ8"}) {
    for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine}) kinds.push_back({factory, metric});
  }
  return kinds;
}

}  // namespace annulus::testing
