// Const calls from many threads at once. The tsan preset watches; here the answers must be the single thread's.
#include <omp.h>

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "core/fair_shared_mutex.h"
#include "core/thread_budget.h"
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

struct Writing {
  const char* name;
  const char* factory;
  SearchCodes codes;
};

class SearchBesideWrites : public ::testing::TestWithParam<Writing> {};

INSTANTIATE_TEST_SUITE_P(Kinds, SearchBesideWrites,
                         ::testing::Values(Writing{"HNSW8", "HNSW8", SearchCodes::kInt8},
                                           Writing{"HNSW8_floats", "HNSW8", SearchCodes::kNone},
                                           Writing{"HNSW8_SQ8", "HNSW8,SQ8", SearchCodes::kNone},
                                           Writing{"Flat", "Flat", SearchCodes::kNone},
                                           Writing{"IVF8_Flat", "IVF8,Flat", SearchCodes::kInt8},
                                           Writing{"IVF8_floats", "IVF8,Flat", SearchCodes::kNone},
                                           Writing{"IVF8_SQ8", "IVF8,SQ8", SearchCodes::kNone}),
                         [](const auto& kind) { return std::string(kind.param.name); });

TEST_P(SearchBesideWrites, SeesCommittedRowsAloneAtTheirExactDistances) {
  const std::size_t d = 12;
  const std::size_t n = 1200;
  const Matrix rows = random_matrix(n, d, 11);
  IndexSpec spec = make_spec(GetParam().factory, Metric::kL2, d);
  spec.search_codes = GetParam().codes;
  VectorIndex index = testing::make_index(spec, rows);
  FairSharedMutex mutex;
  std::atomic<std::size_t> committed{0};
  std::atomic<int> wrong{0};
  std::atomic<bool> done{false};
  set_thread_budget(4);  // so that rows are linked by several threads, too
  std::vector<std::thread> searching;
  for (int t = 0; t < 2; ++t) {
    searching.emplace_back([&, t] {
      const Matrix queries = random_matrix(t == 0 ? 1 : 5, d, static_cast<std::uint64_t>(20 + t));  // alone, and together
      while (!done.load()) {
        const std::shared_lock lock(mutex);
        const std::size_t known = committed.load();
        const Answer answer = search(index, queries, 5, {.ef = 20, .nprobe = 8});
        wrong += index.memory_bytes() == 0;
        for (std::size_t q = 0; q < answer.rows.size(); ++q) {
          const float* query = queries.row(static_cast<Eigen::Index>(q)).data();
          wrong += answer.rows[q].size() != std::min<std::size_t>(5, known);
          for (const Candidate& found : answer.rows[q]) {
            wrong += found.id >= known;
            wrong += found.distance != distance(Metric::kL2, query, rows.row(static_cast<Eigen::Index>(found.id)).data(), d) &&
                     index.lossless();
          }
        }
      }
    });
  }
  const WhileAlone alone = [&](const std::function<void()>& step) {
    const std::unique_lock lock(mutex);
    step();
  };
  std::size_t block = 1;
  for (std::size_t first = 0; first < n; first += block, block = std::min<std::size_t>(2 * block, 200)) {
    block = std::min(block, n - first);
    const auto part = rows.middleRows(static_cast<Eigen::Index>(first), static_cast<Eigen::Index>(block));
    StagedRows staged = index.stage(testing::ids_from(first, block), part, alone);
    while (staged.left() != 0) {
      const std::unique_lock lock(mutex);
      const std::size_t before = staged.left();
      index.commit(staged, 64);
      committed += before - staged.left();
    }
  }
  done = true;
  for (std::thread& thread : searching) thread.join();
  set_thread_budget(0);
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(index.size(), n);
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
