#include <cmath>
#include <map>
#include <optional>
#include <stdexcept>
#include <unordered_set>

#include "index/filtered_search.h"
#include "tests/index/support.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kDimension = 24;
constexpr std::size_t kClusters = 40;

/// Rows in clusters: row i belongs to cluster i % kClusters.
Matrix clustered(std::size_t n, std::uint64_t seed) {
  const Matrix centres = 3 * random_matrix(kClusters, kDimension, 99);
  Matrix rows = random_matrix(n, kDimension, seed);
  for (Eigen::Index i = 0; i < rows.rows(); ++i) rows.row(i) += centres.row(i % static_cast<Eigen::Index>(kClusters));
  return rows;
}

/// Whether id is among a share of all, as if drawn.
bool drawn(VectorId id, double share) {
  return static_cast<double>((id * 0x9e3779b97f4a7c15ULL) >> 11) * 0x1p-53 < share;
}

/// A filter that lists what it accepts, and ids that are nowhere.
class ListFilter final : public Filter {
 public:
  explicit ListFilter(std::vector<VectorId> ids) : ids_(std::move(ids)), set_(ids_.begin(), ids_.end()) {}
  bool accept(VectorId id) const override { return set_.contains(id); }
  std::optional<std::size_t> listed() const override { return ids_.size(); }
  void list(std::vector<VectorId>& out) const override { out.insert(out.end(), ids_.begin(), ids_.end()); }

 private:
  std::vector<VectorId> ids_;
  std::unordered_set<VectorId> set_;
};

double mean_recall(const Answer& truth, const Answer& found) {
  double sum = 0;
  for (std::size_t i = 0; i < truth.rows.size(); ++i) sum += recall(truth.rows[i], found.rows[i]);
  return sum / static_cast<double>(truth.rows.size());
}

SearchParams by(FilterMethod method, SearchParams params = {}) {
  params.filter_method = method;
  return params;
}

class LargeIndex : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr std::size_t kRows = 20'000;

  static SearchParams params() { return {.ef = 96, .nprobe = 12}; }
  static const Matrix& data() {
    static const Matrix rows = clustered(kRows, 7);
    return rows;
  }
  const VectorIndex& index() const {
    static std::map<std::string, VectorIndex> built;
    const auto found = built.find(GetParam());
    if (found != built.end()) return found->second;
    IndexSpec spec = make_spec(GetParam(), Metric::kL2, kDimension);
    VectorIndex fresh(spec, needs_training(spec) ? Codec::train(spec, data().topRows(6000)) : nullptr);
    fresh.upsert(ids_from(0, kRows), data());
    return built.emplace(GetParam(), std::move(fresh)).first->second;
  }
};

TEST_P(LargeIndex, FindsWhatIsNearestAtEverySelectivityWhetherKeysAreDrawnOrNeighbours) {
  const Matrix queries = clustered(60, 8);
  for (const double share : {0.5, 0.1, 0.01, 0.001}) {
    const FilterBy random([&](VectorId id) { return drawn(id, share); });
    // rows of the first clusters alone, and of the last of these a part
    const FilterBy alike([&](VectorId id) {
      const double cluster = static_cast<double>(id % kClusters) / kClusters;
      return cluster + 1.0 / kClusters <= share || (cluster < share && drawn(id, (share - cluster) * kClusters));
    });
    for (const Filter* filter : {static_cast<const Filter*>(&random), static_cast<const Filter*>(&alike)}) {
      const Answer truth = search(index(), queries, 10, by(FilterMethod::kScan), filter);
      for (const FilterMethod method : {FilterMethod::kByCost, FilterMethod::kIndex}) {
        const Answer found = search(index(), queries, 10, by(method, params()), filter);
        EXPECT_GE(mean_recall(truth, found), 0.95) << share << (filter == &alike ? " alike" : " drawn") << static_cast<int>(method);
      }
    }
  }
}

TEST_P(LargeIndex, TakesTheWayOfFewerDistances) {
  constexpr std::size_t kLists = 64;  // an IVF compares the query with their centroids
  const Matrix query = clustered(1, 9);
  const FilterBy half([](VectorId id) { return drawn(id, 0.5); });
  const Answer through = search(index(), query, 10, params(), &half);
  EXPECT_EQ(through.work.exact_scans, 0U);
  EXPECT_LT(through.work.distances, kRows / 2);

  std::vector<VectorId> few;
  for (VectorId id = 0; id < 2 * kRows; ++id) {
    if (drawn(id, 0.001)) few.push_back(id);
  }
  const ListFilter list(few);
  const Answer listed = search(index(), query, 10, params(), &list);
  EXPECT_EQ(listed.work.exact_scans, 1U);
  EXPECT_LE(listed.work.distances, few.size() + kLists);
}

INSTANTIATE_TEST_SUITE_P(Families, LargeIndex, ::testing::Values("HNSW16", "IVF64,Flat"),
                         [](const auto& factory) { return std::string(factory.param).substr(0, 3); });

class FilteredSearch : public ::testing::TestWithParam<Kind> {};

TEST_P(FilteredSearch, AScanIsExactInTheOrderThatIsAskedFor) {
  const Kind kind = GetParam();
  const Matrix data = random_matrix(600, kDimension, 3, true);
  VectorIndex index = filled_index(make_spec(kind.factory, kind.metric, kDimension), data);
  index.upsert(ids_from(50, 30), random_matrix(30, kDimension, 4, true));
  index.erase(ids_from(100, 40));
  const Matrix queries = random_matrix(9, kDimension, 5, true);
  const FilterBy even([](VectorId id) { return id % 2 == 0; });
  const OrderBy reverse([](VectorId a, VectorId b) { return a > b; });
  Matrix stored(600, kDimension);
  std::vector<std::pair<VectorId, const float*>> accepted;
  for (VectorId id = 0; id < 600; id += 2) {
    float* row = stored.row(static_cast<Eigen::Index>(id)).data();
    if (index.reconstruct(id, {row, kDimension})) accepted.emplace_back(id, row);
  }
  ASSERT_EQ(accepted.size(), 280U);
  const Answer found = search(index, queries, 13, by(FilterMethod::kScan), &even, &reverse);
  for (Eigen::Index i = 0; i < queries.rows(); ++i) {
    std::vector<Candidate> truth = brute_force(kind.metric, queries.row(i).data(), kDimension, accepted, 280);
    std::stable_sort(truth.begin(), truth.end(), [](const Candidate& a, const Candidate& b) {
      return a.distance != b.distance ? a.distance < b.distance : a.id > b.id;
    });
    truth.resize(13);
    EXPECT_EQ(found.rows[static_cast<std::size_t>(i)], truth);
  }
  EXPECT_EQ(found.work.exact_scans, 9U);
}

TEST_P(FilteredSearch, ScansOfTwoHalvesUnderOneBoundAreTheScanOfAll) {
  const Kind kind = GetParam();
  constexpr std::size_t kK = 7;
  const Matrix data = random_matrix(600, kDimension, 3, true);
  const Matrix queries = random_matrix(5, kDimension, 5, true);
  const IndexSpec spec = make_spec(kind.factory, kind.metric, kDimension);
  const VectorIndex all = filled_index(spec, data);
  const FilterBy even([](VectorId id) { return id % 2 == 0; });
  const Answer truth = search(all, queries, kK, by(FilterMethod::kScan), &even);

  std::vector<SharedBound> bounds(5);
  std::vector<std::vector<Candidate>> merged(5);
  std::size_t second = 0;
  for (const VectorId first : {VectorId{0}, VectorId{300}}) {
    VectorIndex half(spec, all.codec());
    half.upsert(ids_from(first, 300), data.middleRows(static_cast<Eigen::Index>(first), 300));
    const QueryBatch batch(spec, queries, by(FilterMethod::kScan), all.codec());
    std::vector<Candidate> out(5 * kK);
    std::vector<std::size_t> counts(5);
    half.candidates(batch, kK, &even, nullptr, bounds, out, counts);
    for (std::size_t i = 0; i < 5; ++i) {
      const std::span<const Candidate> found(out.data() + i * kK, counts[i]);
      if (first == 0) {
        ASSERT_EQ(found.size(), kK);
        EXPECT_EQ(bounds[i].get(), found.back().distance);
      } else {
        second += found.size();
      }
      merged[i].insert(merged[i].end(), found.begin(), found.end());
    }
  }
  EXPECT_LT(second, 5 * kK);  // the first half's bound spares the second some of its answers
  for (std::size_t i = 0; i < 5; ++i) {
    std::sort(merged[i].begin(), merged[i].end(), [](const Candidate& a, const Candidate& b) {
      return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
    });
    merged[i].resize(kK);
    EXPECT_EQ(merged[i], truth.rows[i]);
  }
}

TEST_P(FilteredSearch, AListMayNameIdsThatAreNotThereOrTwice) {
  const Kind kind = GetParam();
  VectorIndex index = filled_index(make_spec(kind.factory, kind.metric, kDimension), random_matrix(600, kDimension, 3, true));
  const Matrix queries = random_matrix(4, kDimension, 6, true);
  const ListFilter some({5, 9, 9, 5000, 17, 1'000'000});
  const ListFilter none({});
  for (const FilterMethod method : {FilterMethod::kByCost, FilterMethod::kIndex, FilterMethod::kScan}) {
    for (const auto& row : search(index, queries, 5, by(method), &some).rows) {
      std::vector<VectorId> ids;
      for (const Candidate& candidate : row) ids.push_back(candidate.id);
      std::sort(ids.begin(), ids.end());
      EXPECT_EQ(ids, (std::vector<VectorId>{5, 9, 17}));
    }
    const Answer nothing = search(index, queries, 5, by(method), &none);
    for (const auto& row : nothing.rows) EXPECT_TRUE(row.empty());
  }
}

TEST_P(FilteredSearch, WhatAFilterThrowsReachesTheCaller) {
  const Kind kind = GetParam();
  VectorIndex index = filled_index(make_spec(kind.factory, kind.metric, kDimension), random_matrix(600, kDimension, 3, true));
  const FilterBy throwing([](VectorId) -> bool { throw std::runtime_error("no"); });
  const Matrix queries = random_matrix(2, kDimension, 6, true);
  for (const FilterMethod method : {FilterMethod::kByCost, FilterMethod::kIndex, FilterMethod::kScan}) {
    EXPECT_THROW(search(index, queries, 5, by(method), &throwing), std::runtime_error);
  }
  EXPECT_EQ(search(index, queries, 5).rows.size(), 2U);
}

INSTANTIATE_TEST_SUITE_P(Kinds, FilteredSearch, ::testing::ValuesIn(every_kind()), kind_name);

TEST(SampledFilter, IsAboutAsSelectiveAsTheWhole) {
  RowTable rows;
  rows.reserve(50'000, 50'000);
  for (Row row = 0; row < 50'000; ++row) rows.assign(row, row);
  for (const double share : {0.9, 0.5, 0.1, 0.03}) {
    const FilterBy filter([&](VectorId id) { return drawn(id * 7919, share); });
    EXPECT_NEAR(std::log(sample_filter(filter, rows).selectivity), std::log(share), std::log(2.0)) << share;
  }
  std::size_t asked = 0;
  const FilterBy all([&](VectorId) { return ++asked != 0; });
  EXPECT_GT(sample_filter(all, rows).selectivity, 0.95);
  EXPECT_LT(asked, 200U);
  EXPECT_LT(sample_filter(FilterBy([](VectorId) { return false; }), rows).selectivity, 0.001);
}

TEST(SampledFilter, AnEmptyTableAsksNothing) {
  const FilterBy throwing([](VectorId) -> bool { throw std::runtime_error("asked"); });
  EXPECT_NO_THROW(sample_filter(throwing, RowTable()));
}

}  // namespace
}  // namespace annulus::testing
