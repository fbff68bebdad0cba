// One budget of threads: what runs at once for many callers, and that FAISS and BLAS start none of their own.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "core/thread_budget.h"
#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

constexpr const char* kFactories[] = {"Flat", "HNSW8", "IVF4,Flat", "IVF4,SQ8", "IVF4,PQ4", "IVF8_HNSW4,Flat"};

class ThreadsOf : public ::testing::TestWithParam<const char*> {
 protected:
  ~ThreadsOf() override { set_thread_budget(0); }
};

INSTANTIATE_TEST_SUITE_P(Indexes, ThreadsOf, ::testing::ValuesIn(kFactories), [](const auto& instance) {
  std::string name = instance.param;
  std::replace(name.begin(), name.end(), ',', '_');
  return name;
});

TEST_P(ThreadsOf, EightCallersAreNotManyMoreThanTheBudget) {
  constexpr std::size_t kBudget = 3;
  constexpr std::size_t kCallers = 8;
  set_thread_budget(kBudget);
  TestCluster cluster(4, router_options(1, spec_of(GetParam(), 8)));
  cluster.fill(1000);
  // the filter is asked by whichever thread searches
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  const KeyFilter filter = [&](KeyView key) {
    const int now = ++running;
    int seen = most.load();
    while (seen < now && !most.compare_exchange_weak(seen, now)) {
    }
    std::this_thread::yield();
    --running;
    return key.back() != '7';
  };
  const Matrix queries = random_matrix(100, 8, 3);
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&] {
      omp_set_num_threads(16);  // of no account
      SearchOptions options;
      options.filter = &filter;
      options.params.filter_method = FilterMethod::kScan;
      for (int i = 0; i < 3; ++i) {
        const SearchResult result = cluster.router.search(queries, 10, options);
        EXPECT_EQ(result[0].size(), 10U);
      }
      EXPECT_EQ(omp_get_max_threads(), 16);
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_LE(most.load(), static_cast<int>(kBudget - 1 + kCallers));
  EXPECT_GE(most.load(), 2);
}

/// Ticks of processor time that all threads of this process but the calling one have used.
long ticks_of_others() {
  const std::string own = std::to_string(::syscall(SYS_gettid));
  long ticks = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    if (task.path().filename() == own) continue;
    std::ifstream file(task.path() / "stat");
    std::string line;
    std::getline(file, line);
    std::istringstream fields(line.substr(line.rfind(')') + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    long user = 0, system = 0;
    fields >> user >> system;
    ticks += user + system;
  }
  return ticks;
}

/// The same, when those that are idle, but look for work for some time before they sleep, do sleep.
long ticks_once_idle() {
  for (long before = ticks_of_others();;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const long now = ticks_of_others();
    if (now == before) return now;
    before = now;
  }
}

TEST_P(ThreadsOf, ABudgetOfOneIsOneWhateverTheCallersSettings) {
  set_thread_budget(1);
  const int before = omp_get_max_threads();
  omp_set_num_threads(4);
  const auto set_blas = reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  if (set_blas != nullptr) set_blas(4);
  const long others = ticks_once_idle();
  const IndexSpec spec = spec_of(GetParam(), 32);
  if (needs_training(spec)) Codec::train(spec, random_matrix(20000, 32, 1));
  TestCluster cluster(2, router_options(1, spec));
  cluster.fill(4000);
  const Matrix queries = random_matrix(300, 32, 3);
  for (int i = 0; i < 10; ++i) cluster.router.search(queries, 10);
  cluster.fill(3000);  // written over: a graph is built anew
  EXPECT_LE(ticks_of_others() - others, 2) << "hundredths of a second in other threads";
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace annulus::testing
