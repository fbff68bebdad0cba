// Const calls from many threads at once. The tsan preset watches; here the answers must be the single thread's.
#include <omp.h>

#include <atomic>
#include <thread>

#include "tests/index/support.h"

namespace annulus {
namespace {

using testing::Answer;
using testing::filled_index;
using testing::FilterBy;
using testing::Kind;
using testing::kind_name;
using testing::make_spec;
using testing::random_matrix;
using testing::search;

class ConcurrentReads : public ::testing::TestWithParam<Kind> {};

INSTANTIATE_TEST_SUITE_P(Kinds, ConcurrentReads,
                         ::testing::Values(Kind{"Flat", Metric::kL2}, Kind{"HNSW8", Metric::kL2},
                                           Kind{"HNSW8,SQ8", Metric::kInnerProduct}, Kind{"IVF8,Flat", Metric::kL2},
                                           Kind{"IVF8_HNSW4,SQ8", Metric::kL2}, Kind{"IVF8,PQ4", Metric::kL2}),
                         kind_name);

TEST_P(ConcurrentReads, GiveEveryThreadTheSameAnswers) {
  const std::size_t d = 16;
  const Matrix rows = random_matrix(600, d, 1);
  const VectorIndex index = filled_index(make_spec(GetParam().factory, GetParam().metric, d), rows);
  const Matrix queries = random_matrix(20, d, 2);
  const FilterBy odd([](VectorId id) { return id % 2 == 1; });
  const Answer expected = search(index, queries, 10);
  const Answer expected_odd = search(index, queries, 10, {}, &odd);
  const std::string bytes = index.to_bytes();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<float> vector(d);
      for (int round = 0; round < 5; ++round) {
        wrong += search(index, queries, 10).rows != expected.rows;
        wrong += search(index, queries, 10, {}, &odd).rows != expected_odd.rows;
        wrong += !index.reconstruct(static_cast<VectorId>(t), vector);
        wrong += t == 0 && index.to_bytes() != bytes;
        wrong += t == 1 && round == 0 && index.compacted().size() != 600;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ConcurrentReads, AFilterMaySearchInTurn) {
  const Matrix rows = random_matrix(400, 8, 3);
  const VectorIndex index = filled_index(make_spec("HNSW8", Metric::kL2, 8), rows);
  const Answer plain = search(index, rows.topRows(1), 5);
  const FilterBy nested([&](VectorId) { return search(index, rows.bottomRows(1), 2).rows[0].size() == 2; });
  EXPECT_EQ(search(index, rows.topRows(1), 5, {}, &nested).rows, plain.rows);
}

TEST(FaissThreads, AreTheCallersOwnAgainAfterEachCall) {
  omp_set_num_threads(3);
  const Matrix rows = random_matrix(400, 8, 4);
  VectorIndex index = filled_index(make_spec("IVF8_HNSW4,SQ8", Metric::kL2, 8), rows);
  search(index, rows.topRows(3), 5);
  VectorIndex::from_bytes(index.to_bytes());
  EXPECT_EQ(omp_get_max_threads(), 3);
}

}  // namespace
}  // namespace annulus
