// Building and walking the graph of an HNSW.
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>

#include <new>
#include <set>

#include "core/thread_budget.h"
#include "index/graph_builder.h"
#include "index/int8_rows.h"
#include "tests/index/support.h"
#include "tests/index/targets.h"

namespace annulus {
namespace {

using testing::brute_force;
using testing::ids_from;
using testing::make_index;
using testing::make_spec;
using testing::random_matrix;
using testing::recall;
using testing::rows_of;
using testing::search;

constexpr std::size_t kD = 24;

/// Rows around 40 centres, as data is.
Matrix clustered(std::size_t n, std::uint64_t seed) {
  const Matrix centres = random_matrix(40, kD, 99) * 2;
  Matrix m = random_matrix(n, kD, seed);
  for (Eigen::Index i = 0; i < m.rows(); ++i) m.row(i) += centres.row(i * 7 % 40);
  return m;
}

/// Exact distances between the rows of a matrix. Its cursors fail when `left` distances have been computed.
class PlainSpace final : public RowSpace {
 public:
  explicit PlainSpace(const Matrix& rows, std::size_t left = SIZE_MAX) : rows_(rows), left_(left) {}
  std::unique_ptr<RowCursor> cursor() const override { return std::make_unique<Cursor>(*this); }

 private:
  class Cursor final : public RowCursor {
   public:
    explicit Cursor(const PlainSpace& space) : space_(space) {}
    void stand_on(Row row) override { at_ = row; }
    void operator()(std::span<const Row> rows, float* out) override {
      if (space_.left_.fetch_sub(rows.size()) < rows.size()) throw std::bad_alloc();
      for (std::size_t i = 0; i < rows.size(); ++i) {
        out[i] = l2_squared(space_.rows_.row(at_).data(), space_.rows_.row(rows[i]).data(), kD);
      }
    }

   private:
    const PlainSpace& space_;
    Row at_ = 0;
  };

  const Matrix& rows_;
  mutable std::atomic<std::size_t> left_;
};

/// Room for `n` more rows in `graph`, not linked yet.
void add_room(faiss::HNSW& graph, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const int level = level_of_row(1, static_cast<Row>(graph.levels.size()), graph.assign_probas) + 1;
    graph.levels.push_back(level);
    graph.offsets.push_back(graph.offsets.back() +
                            static_cast<std::size_t>(graph.cum_nneighbor_per_level[static_cast<std::size_t>(level)]));
  }
  graph.neighbors.resize(graph.offsets.back(), -1);
}

std::vector<std::vector<int>> links_of(const faiss::HNSW& graph, int level) {
  std::vector<std::vector<int>> all(graph.levels.size());
  for (std::size_t row = 0; row < all.size(); ++row) {
    if (graph.levels[row] <= level) continue;
    std::size_t begin;
    std::size_t end;
    graph.neighbor_range(static_cast<std::int64_t>(row), level, &begin, &end);
    for (std::size_t i = begin; i < end && graph.neighbors[i] >= 0; ++i) all[row].push_back(graph.neighbors[i]);
  }
  return all;
}

TEST(GraphBuilder, LinksEachRowToOthersOnItsLevelsOnceEach) {
  const Matrix rows = clustered(1500, 1);
  faiss::HNSW graph(6);
  GraphEntry entry;
  for (std::size_t first = 0; first < 1500; first += 300) {
    add_room(graph, 300);
    entry = insert_rows(graph, PlainSpace(rows), static_cast<Row>(first), 300, 40, entry);
  }
  EXPECT_EQ(entry.level, *std::max_element(graph.levels.begin(), graph.levels.end()) - 1);
  EXPECT_EQ(graph.levels[entry.row], entry.level + 1);
  for (int level = 0; level <= entry.level; ++level) {
    const auto links = links_of(graph, level);
    for (std::size_t row = 0; row < links.size(); ++row) {
      const std::set<int> distinct(links[row].begin(), links[row].end());
      EXPECT_EQ(distinct.size(), links[row].size()) << row;
      EXPECT_FALSE(distinct.contains(static_cast<int>(row)));
      for (const int to : distinct) EXPECT_GT(graph.levels[static_cast<std::size_t>(to)], level);
      if (level == 0) {
        EXPECT_FALSE(distinct.empty()) << row;
      }
    }
  }
}

TEST(GraphBuilder, ForgetsRowsWhoseInsertionFailedHalfWay) {
  const Matrix rows = clustered(600, 2);
  for (const std::size_t distances : {1UL, 100UL, 5000UL, 20000UL}) {
    faiss::HNSW graph(6);
    add_room(graph, 300);
    const GraphEntry entry = insert_rows(graph, PlainSpace(rows), 0, 300, 40, {});
    add_room(graph, 300);
    EXPECT_THROW(insert_rows(graph, PlainSpace(rows, distances), 300, 300, 40, entry), std::bad_alloc);
    forget_rows(graph, 300);
    const auto links = links_of(graph, 0);
    for (std::size_t row = 0; row < 300; ++row) {
      for (const int to : links[row]) ASSERT_LT(to, 300);
    }
  }
}

TEST(GraphBuilder, PutsAShareOfOneInMOnEachHigherLevel) {
  const faiss::HNSW graph(16);
  std::vector<std::size_t> on(8);
  for (Row row = 0; row < 100000; ++row) {
    for (int level = level_of_row(7, row, graph.assign_probas); level >= 0; --level) ++on[static_cast<std::size_t>(level)];
  }
  EXPECT_EQ(on[0], 100000U);
  EXPECT_NEAR(static_cast<double>(on[1]), 100000.0 / 16, 300);
  EXPECT_NEAR(static_cast<double>(on[2]), 100000.0 / 256, 80);
}

class GraphOfEachCoding : public ::testing::TestWithParam<std::pair<const char*, SearchCodes>> {
 protected:
  IndexSpec spec(Metric metric = Metric::kL2) const {
    IndexSpec spec = make_spec(GetParam().first, metric, kD);
    spec.search_codes = GetParam().second;
    return spec;
  }
};

INSTANTIATE_TEST_SUITE_P(Codings, GraphOfEachCoding,
                         ::testing::Values(std::pair{"HNSW8", SearchCodes::kInt8}, std::pair{"HNSW8", SearchCodes::kNone},
                                           std::pair{"HNSW8,SQ8", SearchCodes::kNone}));

TEST_P(GraphOfEachCoding, IsTheSameForAnyNumberOfThreads) {
  const Matrix rows = clustered(1200, 3);
  const auto build = [&](std::size_t threads) {
    set_thread_budget(threads);
    VectorIndex index = make_index(spec(), rows);
    for (Eigen::Index i = 0; i < 1200; i += 400) index.upsert(ids_from(static_cast<VectorId>(i), 400), rows.middleRows(i, 400));
    set_thread_budget(0);
    return index.to_bytes();
  };
  const std::string one = build(1);
  EXPECT_EQ(build(2), one);
  EXPECT_EQ(build(5), one);
}

TEST_P(GraphOfEachCoding, IsAsGoodAsFaissBuildsIt) {
  const std::size_t n = 3000;
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
    const Matrix rows = clustered(n, 4);
    const Matrix queries = clustered(100, 5);
    faiss::IndexHNSWFlat faiss_graph(kD, 8, metric == Metric::kL2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT);
    faiss_graph.hnsw.efConstruction = 64;
    faiss_graph.hnsw.efSearch = 40;
    faiss_graph.add(static_cast<std::int64_t>(n), rows.data());
    std::vector<float> distances(1000);
    std::vector<std::int64_t> labels(1000);
    faiss_graph.search(100, queries.data(), 10, distances.data(), labels.data());
    const VectorIndex whole = testing::filled_index(spec(metric), rows);
    VectorIndex parts = make_index(spec(metric), rows);
    for (Eigen::Index i = 0; i < rows.rows(); i += 100)
      parts.upsert(ids_from(static_cast<VectorId>(i), 100), rows.middleRows(i, 100));
    double of_faiss = 0;
    double of_whole = 0;
    double of_parts = 0;
    for (Eigen::Index q = 0; q < queries.rows(); ++q) {
      const auto truth = brute_force(metric, queries.row(q).data(), kD, rows_of(rows), 10);
      std::vector<Candidate> found;
      for (Eigen::Index j = 0; j < 10; ++j)
        found.push_back({static_cast<VectorId>(labels[static_cast<std::size_t>(q * 10 + j)]), 0});
      of_faiss += recall(truth, found) / 100;
      of_whole += recall(truth, search(whole, queries.middleRows(q, 1), 10, {.ef = 40}).rows[0]) / 100;
      of_parts += recall(truth, search(parts, queries.middleRows(q, 1), 10, {.ef = 40}).rows[0]) / 100;
    }
    const double lost = GetParam().first == std::string("HNSW8") ? 0.01 : 0.06;  // SQ8 answers with what it has stored
    EXPECT_GE(of_whole, of_faiss - lost) << to_string(metric);
    EXPECT_GE(of_parts, of_faiss - lost) << to_string(metric);
  }
}

TEST_P(GraphOfEachCoding, HangsTogetherWhereEachBlockIsAClusterOfItsOwn) {
  const Matrix centres = random_matrix(20, kD, 31);
  Matrix rows = random_matrix(2000, kD, 32) * 0.1;
  Matrix queries = random_matrix(100, kD, 33) * 0.1;
  for (Eigen::Index i = 0; i < 2000; ++i) rows.row(i) += centres.row(i / 100);
  for (Eigen::Index i = 0; i < 100; ++i) queries.row(i) += centres.row(i / 5);
  VectorIndex index = make_index(spec(), rows);
  for (Eigen::Index i = 0; i < 2000; i += 100) index.upsert(ids_from(static_cast<VectorId>(i), 100), rows.middleRows(i, 100));
  double found = 0;
  for (Eigen::Index q = 0; q < 100; ++q) {
    found += recall(brute_force(Metric::kL2, queries.row(q).data(), kD, rows_of(rows), 10),
                    search(index, queries.middleRows(q, 1), 10, {.ef = 32}).rows[0]);
  }
  EXPECT_GE(found / 100, GetParam().first == std::string("HNSW8") ? 0.9 : 0.6);
}

TEST(GraphOfCodes, LearnsItsScaleAnewWhenWhatComesIsFartherThanWhatCameFirst) {
  Matrix rows = clustered(4000, 6);
  rows.bottomRows(2000) *= 20;
  const auto found = [&](SearchCodes codes) {
    IndexSpec spec = make_spec("HNSW8", Metric::kL2, kD);
    spec.search_codes = codes;
    VectorIndex index(spec);
    index.upsert(ids_from(0, 2000), rows.topRows(2000));
    for (Eigen::Index i = 2000; i < 4000; i += 200) index.upsert(ids_from(static_cast<VectorId>(i), 200), rows.middleRows(i, 200));
    double sum = 0;
    for (Eigen::Index q = 2000; q < 2100; ++q) {
      sum += recall(brute_force(Metric::kL2, rows.row(q).data(), kD, rows_of(rows), 10),
                    search(index, rows.middleRows(q, 1), 10).rows[0]);
    }
    return sum / 100;
  };
  const double of_floats = found(SearchCodes::kNone);
  EXPECT_GE(of_floats, 0.9);
  EXPECT_GE(found(SearchCodes::kInt8), of_floats - 0.02);
}

TEST_P(GraphOfEachCoding, LosesNoRecallToDeadRows) {
  const Matrix rows = clustered(4000, 7);
  VectorIndex index = make_index(spec(), rows);
  index.upsert(ids_from(0, 4000), rows);
  std::vector<VectorId> erased;
  std::vector<std::pair<VectorId, const float*>> live;
  for (VectorId id = 0; id < 4000; ++id) {
    if (id % 10 < 3) {
      erased.push_back(id);
    } else {
      live.emplace_back(id, rows.row(static_cast<Eigen::Index>(id)).data());
    }
  }
  index.erase(erased);
  const VectorIndex clean = index.compacted();
  const Matrix queries = clustered(100, 8);
  double with_dead = 0;
  double without = 0;
  for (Eigen::Index q = 0; q < queries.rows(); ++q) {
    const auto truth = brute_force(Metric::kL2, queries.row(q).data(), kD, live, 10);
    with_dead += recall(truth, search(index, queries.middleRows(q, 1), 10, {.ef = 30}).rows[0]) / 100;
    without += recall(truth, search(clean, queries.middleRows(q, 1), 10, {.ef = 30}).rows[0]) / 100;
  }
  EXPECT_GE(with_dead, without - 0.02);
}

class Int8RowsOnEachTarget : public ::testing::TestWithParam<std::pair<std::string, std::int64_t>> {
 protected:
  void SetUp() override { testing::force_target(GetParam().second); }
  void TearDown() override { testing::force_nothing(); }
};

INSTANTIATE_TEST_SUITE_P(Targets, Int8RowsOnEachTarget, ::testing::ValuesIn(testing::targets(&kernels::products_target)),
                         [](const auto& target) { return target.param.first; });

TEST_P(Int8RowsOnEachTarget, GiveDistancesFromQueriesAndFromRows) {
  const std::size_t n = 150;
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine}) {
    for (const std::size_t d : {1UL, 7UL, 64UL, 100UL, 129UL}) {
      Matrix vectors = random_matrix(n + 1, d, d, metric == Metric::kCosine);
      vectors = vectors.cwiseMax(-2.0F).cwiseMin(2.0F);  // so that nothing is cut
      Int8Rows rows(Int8Scale::learn(metric, vectors.data(), n, d), 100);
      for (Row row = 0; row < 100; ++row) rows.encode(row, vectors.row(row).data());
      rows = rows.grown(100, n);
      for (Row row = 100; row < n; ++row) rows.encode(row, vectors.row(row).data());
      std::vector<Row> all(n);
      for (Row row = 0; row < n; ++row) all[row] = static_cast<Row>(n) - 1 - row;
      std::vector<float> found(n);
      CodeDistances distances(rows);
      distances.from(vectors.row(static_cast<Eigen::Index>(n)).data());
      distances(all, found.data());
      const double norm = vectors.row(static_cast<Eigen::Index>(n)).norm();
      for (std::size_t i = 0; i < n; ++i) {
        const float* x = vectors.row(all[i]).data();
        ASSERT_NEAR(found[i], distance(metric, vectors.row(static_cast<Eigen::Index>(n)).data(), x, d),
                    0.1 * (norm + vectors.row(all[i]).norm() + 0.1))
            << d;
      }
      const double unit = double{rows.scale().scale()} * double{rows.scale().scale()};
      distances.stand_on(17);
      distances(all, found.data());
      for (std::size_t i = 0; i < n; ++i) {
        const double exact = distance(metric, vectors.row(17).data(), vectors.row(all[i]).data(), d);
        ASSERT_NEAR(unit * found[i], exact, 0.1 * (vectors.row(17).norm() + vectors.row(all[i]).norm() + 0.1)) << d;
        float back = 0;
        const Row from = 17;
        CodeDistances other(rows);
        other.stand_on(all[i]);
        other({&from, 1}, &back);
        ASSERT_EQ(back, found[i]) << "not symmetric";
      }
    }
  }
}

TEST(Int8Rows, CountComponentsThatTheScaleCuts) {
  Int8Rows rows(Int8Scale(Metric::kInnerProduct, {0, 0, 0}, 1), 1);
  const std::vector<float> far = {500, -500, 3};
  EXPECT_EQ(rows.encode(0, far.data()), 2U);
  EXPECT_GE(rows.row_bytes(), 3U);
}

}  // namespace
}  // namespace annulus
