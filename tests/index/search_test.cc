// What searches return, on every kind of index, against brute force.
#include <faiss/IndexFlat.h>

#include <cmath>
#include <set>

#include "tests/index/support.h"

namespace annulus {
namespace {

using testing::Answer;
using testing::brute_force;
using testing::every_kind;
using testing::filled_index;
using testing::FilterBy;
using testing::ids_from;
using testing::Kind;
using testing::kind_name;
using testing::make_index;
using testing::make_spec;
using testing::OrderBy;
using testing::random_matrix;
using testing::recall;
using testing::rows_of;
using testing::search;

constexpr std::size_t kD = 24;
constexpr std::size_t kRows = 1200;

class SearchEveryKind : public ::testing::TestWithParam<Kind> {
 protected:
  bool unit() const { return GetParam().metric == Metric::kCosine; }
  Matrix data(std::size_t n, std::uint64_t seed) const { return random_matrix(n, kD, seed, unit()); }
  IndexSpec spec() const { return make_spec(GetParam().factory, GetParam().metric, kD); }
  bool is(const char* part) const { return GetParam().factory.find(part) != std::string::npos; }

  /// Searches as wide as there is to see.
  static SearchParams widest() { return {.ef = 200, .nprobe = 8}; }

  /// What the index holds, decoded.
  static Matrix stored(const VectorIndex& index, VectorId first, std::size_t n) {
    Matrix m(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(kD));
    for (std::size_t i = 0; i < n; ++i) {
      EXPECT_TRUE(index.reconstruct(first + i, {m.row(static_cast<Eigen::Index>(i)).data(), kD}));
    }
    return m;
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, SearchEveryKind, ::testing::ValuesIn(every_kind()), kind_name);

TEST_P(SearchEveryKind, FindsWhatBruteForceFinds) {
  const Matrix rows = data(kRows, 1);
  const Matrix queries = data(30, 2);
  const VectorIndex index = filled_index(spec(), rows, 1000);
  const Matrix decoded = stored(index, 1000, kRows);
  const Answer answer = search(index, queries, 10, widest());
  double of_stored = 0;
  double of_original = 0;
  for (std::size_t i = 0; i < 30; ++i) {
    const float* query = queries.row(static_cast<Eigen::Index>(i)).data();
    const auto truth = brute_force(GetParam().metric, query, kD, rows_of(decoded, 1000), 10);
    of_stored += recall(truth, answer.rows[i]) / 30;
    of_original += recall(brute_force(GetParam().metric, query, kD, rows_of(rows, 1000), 10), answer.rows[i]) / 30;
    if (is("Flat") && !is("IVF")) {
      EXPECT_EQ(answer.rows[i], truth);
    }
  }
  // All lists are visited, and ef is a sixth of the rows: what is missed is missed by the graph or by rounding.
  EXPECT_GE(of_stored, is("HNSW8") ? 0.98 : 0.999);
  EXPECT_GE(of_original, is("PQ") ? 0.35 : is("SQ8") ? 0.93 : 0.98);
}

TEST_P(SearchEveryKind, ComparesPairsOfManyQueriesAsItComparesThoseOfOne) {
  const Matrix queries = data(8, 4);
  const VectorIndex index = filled_index(spec(), data(kRows, 3));
  std::vector<Pair> pairs;
  for (VectorId id = 0; id < kRows + 5; ++id) pairs.push_back({id * 3 % 8, id});  // the last are in no index
  std::vector<float> found(pairs.size());
  index.distances(queries, pairs, found);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    float alone;
    index.distances(queries.row(static_cast<Eigen::Index>(pairs[i].query)), std::span(&pairs[i].id, 1), std::span(&alone, 1));
    EXPECT_EQ(found[i], alone);
  }
}

TEST_P(SearchEveryKind, ReturnsTheDistancesOfRefinementBitForBitInOrder) {
  const Matrix rows = data(kRows, 3);
  const Matrix queries = data(8, 4);
  const VectorIndex index = filled_index(spec(), rows);
  ASSERT_TRUE(index.distances_are_exact());
  const Answer answer = search(index, queries, 25, widest());
  for (std::size_t i = 0; i < answer.rows.size(); ++i) {
    const auto& found = answer.rows[i];
    ASSERT_EQ(found.size(), 25U);
    std::vector<VectorId> ids;
    for (const Candidate& candidate : found) ids.push_back(candidate.id);
    EXPECT_EQ(std::set<VectorId>(ids.begin(), ids.end()).size(), ids.size());
    std::vector<float> exact(ids.size());
    index.distances(queries.row(static_cast<Eigen::Index>(i)), ids, exact);
    std::vector<float> decoded(kD);
    for (std::size_t j = 0; j < ids.size(); ++j) {
      EXPECT_EQ(found[j].distance, exact[j]);
      ASSERT_TRUE(index.reconstruct(ids[j], decoded));
      EXPECT_EQ(exact[j], distance(GetParam().metric, queries.row(static_cast<Eigen::Index>(i)).data(), decoded.data(), kD));
      if (j > 0) {
        EXPECT_LE(found[j - 1].distance, found[j].distance);
      }
    }
  }
}

TEST_P(SearchEveryKind, AnswersAQueryTheSameAloneInABatchAndWithAStride) {
  const VectorIndex index = filled_index(spec(), data(kRows, 5));
  Matrix wide(40, 2 * kD);
  wide << data(40, 6), data(40, 7);
  const Answer batch = search(index, wide.leftCols(kD), 10);
  for (Eigen::Index i = 0; i < 40; ++i) {
    const Matrix one = wide.block(i, 0, 1, kD);
    EXPECT_EQ(search(index, one, 10).rows[0], batch.rows[static_cast<std::size_t>(i)]);
  }
}

TEST_P(SearchEveryKind, ReturnsOnlyWhatTheFilterAcceptsAtEverySelectivity) {
  const Matrix rows = data(kRows, 8);
  const Matrix queries = data(10, 9);
  const VectorIndex index = filled_index(spec(), rows);
  const Matrix decoded = stored(index, 0, kRows);
  for (const VectorId every : {1, 2, 10, 100, 1200}) {
    SCOPED_TRACE(every);
    const FilterBy filter([&](VectorId id) { return id % every == 0; });
    const std::size_t accepted = kRows / every;
    const Answer answer = search(index, queries, 10, widest(), &filter);
    auto all = rows_of(decoded);
    std::erase_if(all, [&](const auto& row) { return row.first % every != 0; });
    double found = 0;
    for (std::size_t i = 0; i < 10; ++i) {
      EXPECT_EQ(answer.rows[i].size(), std::min<std::size_t>(10, accepted));
      for (const Candidate& candidate : answer.rows[i]) EXPECT_EQ(candidate.id % every, 0U);
      found +=
          recall(brute_force(GetParam().metric, queries.row(static_cast<Eigen::Index>(i)).data(), kD, all, 10), answer.rows[i]) /
          10;
    }
    EXPECT_GE(found, 0.97);
  }
  const FilterBy nothing([](VectorId) { return false; });
  for (const auto& found : search(index, queries, 10, {}, &nothing).rows) EXPECT_TRUE(found.empty());
}

TEST_P(SearchEveryKind, OrdersEqualDistancesAsItIsTold) {
  const std::size_t n = 300;
  Matrix rows(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(kD));
  rows.rowwise() = data(1, 10).row(0);
  VectorIndex index = make_index(spec(), data(kRows, 11));
  index.upsert(ids_from(0, n), rows);
  const OrderBy descending([](VectorId a, VectorId b) { return a > b; });
  // ef and nprobe cover all rows: the order alone decides which of the equal ones come.
  const SearchParams all{.ef = 300, .nprobe = 8};
  const auto up = search(index, rows.topRows(1), 5, all).rows[0];
  const auto down = search(index, rows.topRows(1), 5, all, nullptr, &descending).rows[0];
  ASSERT_EQ(up.size(), 5U);
  ASSERT_EQ(down.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    if (!is("HNSW8")) {
      EXPECT_EQ(up[i].id, i);
      EXPECT_EQ(down[i].id, n - 1 - i);
    }
    EXPECT_EQ(up[i].distance, up[0].distance);
    if (i > 0) {
      EXPECT_LT(up[i - 1].id, up[i].id);
    }
    if (i > 0) {
      EXPECT_GT(down[i - 1].id, down[i].id);
    }
  }
}

TEST_P(SearchEveryKind, GivesAllRowsWhenKIsBeyondThem) {
  const VectorIndex index = filled_index(spec(), data(kRows, 12));
  const Matrix queries = data(2, 13);
  for (const auto& found : search(index, queries, kRows + 100, widest()).rows) EXPECT_EQ(found.size(), kRows);
}

TEST_P(SearchEveryKind, FindsNothingInAnEmptyIndexAndTakesNoQueries) {
  const VectorIndex index = make_index(spec(), data(kRows, 14));
  for (const auto& found : search(index, data(3, 15), 4).rows) EXPECT_TRUE(found.empty());
  EXPECT_TRUE(search(index, Matrix(0, kD), 4).rows.empty());
}

TEST(SearchFlat, AgreesWithFaissUpToRounding) {
  const Matrix rows = random_matrix(2000, 48, 16);
  const Matrix queries = random_matrix(20, 48, 17);
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
    const VectorIndex index = filled_index(make_spec("Flat", metric, 48), rows);
    faiss::IndexFlat flat(48, metric == Metric::kL2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT);
    flat.add(2000, rows.data());
    std::vector<float> found(20 * 10);
    std::vector<std::int64_t> labels(20 * 10);
    flat.search(20, queries.data(), 10, found.data(), labels.data());
    const Answer answer = search(index, queries, 10);
    for (std::size_t i = 0; i < 200; ++i) {
      const Candidate& ours = answer.rows[i / 10][i % 10];
      EXPECT_EQ(ours.id, static_cast<VectorId>(labels[i]));
      EXPECT_NEAR(metric == Metric::kL2 ? ours.distance : -ours.distance, found[i], 1e-3);
    }
  }
}

TEST(SearchFlat, RanksOverflowingDistancesLastAndStillReturnsThem) {
  VectorIndex index(make_spec("Flat", Metric::kInnerProduct, 2));
  Matrix rows(3, 2);
  rows << 3e38F, -3e38F, 1, 1, 2, 2;
  index.upsert(ids_from(0, 3), rows);
  Matrix query(1, 2);
  query << 3e38F, 3e38F;
  const auto found = search(index, query, 3).rows[0];
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[2].id, 0U);
  EXPECT_TRUE(std::isinf(found[2].distance));
}

TEST(SearchHnsw, ObeysEfUpwardAndDownwardOfTheDefault) {
  for (const char* factory : {"HNSW8", "HNSW8,SQ8"}) {
    SCOPED_TRACE(factory);
    IndexSpec spec = make_spec(factory, Metric::kL2, 32);
    spec.ef = 40;
    const Matrix rows = random_matrix(3000, 32, 18);
    const Matrix queries = random_matrix(50, 32, 19);
    const VectorIndex index = filled_index(spec, rows);
    const auto mean_recall = [&](const Answer& answer) {
      double sum = 0;
      for (std::size_t i = 0; i < 50; ++i) {
        sum += recall(brute_force(Metric::kL2, queries.row(static_cast<Eigen::Index>(i)).data(), 32, rows_of(rows), 10),
                      answer.rows[i]);
      }
      return sum / 50;
    };
    const Answer narrow = search(index, queries, 10, {.ef = 10, .nprobe = {}});
    const Answer usual = search(index, queries, 10);
    const Answer wide = search(index, queries, 10, {.ef = 400, .nprobe = {}});
    EXPECT_LT(narrow.work.distances * 3 / 2, usual.work.distances);
    EXPECT_LT(usual.work.distances * 3 / 2, wide.work.distances);
    EXPECT_LT(mean_recall(narrow) + 0.05, mean_recall(usual));
    EXPECT_LT(mean_recall(usual), mean_recall(wide));
    EXPECT_GE(mean_recall(wide), 0.95);
    EXPECT_EQ(wide.work.exact_scans, 0U);
    // k above ef counts as ef.
    EXPECT_EQ(search(index, queries, 60, {.ef = 1, .nprobe = {}}).work.distances,
              search(index, queries, 60, {.ef = 60, .nprobe = {}}).work.distances);
  }
}

TEST(SearchHnsw, WalksOverDeadRowsWithoutCountingThem) {
  for (const char* factory : {"HNSW8", "HNSW8,SQ8"}) {
    SCOPED_TRACE(factory);
    const Matrix rows = random_matrix(2000, 16, 20);
    VectorIndex index = filled_index(make_spec(factory, Metric::kL2, 16), rows);
    const Matrix query = rows.topRows(1);
    // The 900 rows nearest to the query, less each tenth, are erased: what is left near it is sparse.
    const auto near = brute_force(Metric::kL2, query.data(), 16, rows_of(rows), 900);
    std::vector<VectorId> doomed;
    for (std::size_t i = 0; i < near.size(); ++i) {
      if (i % 10 != 0) doomed.push_back(near[i].id);
    }
    EXPECT_EQ(index.erase(doomed), doomed.size());
    EXPECT_EQ(index.dead_rows(), doomed.size());
    const std::set<VectorId> dead(doomed.begin(), doomed.end());
    auto left = rows_of(rows);
    std::erase_if(left, [&](const auto& row) { return dead.contains(row.first); });
    const Answer answer = search(index, query, 50, {.ef = 64, .nprobe = {}});
    ASSERT_EQ(answer.rows[0].size(), 50U);
    EXPECT_EQ(answer.work.exact_scans, 0U);
    for (const Candidate& candidate : answer.rows[0]) EXPECT_FALSE(dead.contains(candidate.id));
    EXPECT_GE(recall(brute_force(Metric::kL2, query.data(), 16, left, 50), answer.rows[0]), 0.95);
  }
}

TEST(SearchHnsw, IsCompleteWhenOnlyTheEntryPointsNeighbourhoodIsDead) {
  const Matrix rows = random_matrix(500, 8, 21);
  VectorIndex index = filled_index(make_spec("HNSW4", Metric::kL2, 8), rows);
  std::vector<VectorId> doomed = ids_from(0, 497);
  index.erase(doomed);
  const auto found = search(index, rows.topRows(5), 10);
  for (const auto& row : found.rows) EXPECT_EQ(row.size(), 3U);
}

TEST(SearchHnsw, ScansEverythingWhenTheGraphFallsShort) {
  // Identical rows fill each other's links and cut the rest off: with two links a row, a walk cannot reach it all.
  Matrix rows(400, 8);
  rows << Matrix::Constant(399, 8, 1.0F), Matrix::Constant(1, 8, 50.0F);
  IndexSpec spec = make_spec("HNSW2", Metric::kL2, 8);
  spec.ef_construction = 4;
  const VectorIndex index = filled_index(spec, rows);
  const FilterBy last([](VectorId id) { return id == 399 || id == 0; });
  const Answer answer = search(index, rows.topRows(20), 3, {.ef = 1, .nprobe = {}}, &last);
  for (const auto& found : answer.rows) {
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].id, 0U);
    EXPECT_EQ(found[1].id, 399U);
  }
  EXPECT_EQ(answer.work.exact_scans, 20U);
}

TEST(SearchIvf, ObeysNprobeUpwardAndDownwardAndClipsItToTheLists) {
  for (const char* factory : {"IVF32,Flat", "IVF32,SQ8", "IVF32_HNSW8,Flat"}) {
    SCOPED_TRACE(factory);
    IndexSpec spec = make_spec(factory, Metric::kL2, 16);
    spec.nprobe = 4;
    const Matrix rows = random_matrix(3000, 16, 22);
    const Matrix queries = random_matrix(20, 16, 23);
    const VectorIndex index = filled_index(spec, rows);
    const Answer one = search(index, queries, 10, {.ef = {}, .nprobe = 1});
    const Answer usual = search(index, queries, 10);
    const Answer all = search(index, queries, 10, {.ef = {}, .nprobe = 32});
    const Answer beyond = search(index, queries, 10, {.ef = {}, .nprobe = 1000000});
    EXPECT_LT(one.work.distances * 2, usual.work.distances);
    EXPECT_LT(usual.work.distances * 2, all.work.distances);
    EXPECT_EQ(all.work.distances, beyond.work.distances);
    EXPECT_EQ(all.rows, beyond.rows);
    EXPECT_GE(all.work.distances, 20U * 3000U);
  }
}

TEST(SearchIvf, IsShortWhenTheVisitedListsAre) {
  const Matrix rows = random_matrix(64, 8, 24);
  const VectorIndex index = filled_index(make_spec("IVF32,Flat", Metric::kL2, 8), rows);
  const auto found = search(index, rows.topRows(1), 64, {.ef = {}, .nprobe = 1}).rows[0];
  EXPECT_GE(found.size(), 1U);
  EXPECT_LT(found.size(), 64U);
  EXPECT_EQ(found[0].id, 0U);
}

TEST(SearchIvf, WithAGraphOfCentroidsFindsTheListsOfAFlatOne) {
  const Matrix rows = random_matrix(4000, 16, 25);
  const VectorIndex flat = filled_index(make_spec("IVF64,Flat", Metric::kL2, 16), rows);
  const VectorIndex graph = filled_index(make_spec("IVF64_HNSW16,Flat", Metric::kL2, 16), rows);
  const Matrix queries = random_matrix(50, 16, 26);
  const auto mean_recall = [&](const VectorIndex& index) {
    const Answer answer = search(index, queries, 10, {.ef = {}, .nprobe = 8});
    double sum = 0;
    for (std::size_t i = 0; i < 50; ++i) {
      sum +=
          recall(brute_force(Metric::kL2, queries.row(static_cast<Eigen::Index>(i)).data(), 16, rows_of(rows), 10), answer.rows[i]);
    }
    return sum / 50;
  };
  EXPECT_NEAR(mean_recall(flat), mean_recall(graph), 0.05);
}

}  // namespace
}  // namespace annulus
