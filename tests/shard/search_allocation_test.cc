// A search allocates nothing once its threads have searched before: memory is reused, at every level.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>

#include "core/thread_budget.h"
#include "tests/shard/failing_allocations.h"
#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kBatch = 100;

struct Setting {
  const char* factory;
  Metric metric = Metric::kL2;
  std::size_t threads = 1;
};

void PrintTo(const Setting& setting, std::ostream* out) {
  *out << setting.factory << ' ' << to_string(setting.metric) << ' ' << setting.threads;
}

class SearchAllocation : public ::testing::TestWithParam<Setting> {
 protected:
  SearchAllocation() {
    set_thread_budget(GetParam().threads);
    cluster.fill(1000);
  }
  ~SearchAllocation() override { set_thread_budget(0); }

  /// Of some searches, once those before them have made none: what a filter costs is measured by the clock, which may take a
  /// search a way that none has gone before.
  long allocations_of(std::size_t queries, const SearchOptions& options) {
    constexpr int kRounds = 10;
    constexpr int kSearches = 5;
    const Matrix asked = random_matrix(queries, cluster.dimension(), 3);
    SearchResult result;
    for (int i = 0; i < 20; ++i) cluster.router.search(asked, 10, options, result);
    long made = 1;
    for (int round = 0; round < kRounds && made != 0; ++round) {
      const long before = allocations_made;
      for (int i = 0; i < kSearches; ++i) cluster.router.search(asked, 10, options, result);
      made = allocations_made - before;
      EXPECT_GT(result.distances, 0u);
    }
    return made;
  }

  TestCluster cluster{4, router_options(2, spec_of(GetParam().factory, 8, GetParam().metric))};
};

constexpr auto kCosine = Metric::kCosine;
constexpr auto kInnerProduct = Metric::kInnerProduct;
INSTANTIATE_TEST_SUITE_P(Indexes, SearchAllocation,
                         ::testing::Values(Setting{"Flat"}, Setting{"HNSW8"}, Setting{"IVF4,Flat"}, Setting{"Flat", kCosine},
                                           Setting{"HNSW8", kCosine}, Setting{"IVF4,Flat", kCosine}, Setting{"HNSW8,SQ8"},
                                           Setting{"IVF4,SQ8"}, Setting{"IVF4,PQ4"}, Setting{"IVF4,PQ4", kInnerProduct},
                                           Setting{"IVF8_HNSW4,Flat"}, Setting{"Flat", kCosine, 2}, Setting{"HNSW8", kCosine, 2},
                                           Setting{"IVF4,Flat", kCosine, 2}, Setting{"IVF4,SQ8", kCosine, 2}),
                         [](const auto& instance) {
                           std::string name = std::string(instance.param.factory) + "_" + std::string(to_string(instance.param.metric)) +
                                              "_" + std::to_string(instance.param.threads);
                           std::replace(name.begin(), name.end(), ',', '_');
                           return name;
                         });

TEST(CountedAllocations, AreThoseOfLibrariesAndOfOtherThreadsToo) {
  const auto made_by = [](const auto& allocate) {
    const long before = allocations_made;
    allocate();
    return allocations_made - before;
  };
  // kept where all can see them: an allocation that nobody would miss may be left out
  static std::unique_ptr<int> number;
  static Matrix matrix;
  EXPECT_EQ(made_by([] { number = std::make_unique<int>(1); }), 1);
  EXPECT_GE(made_by([] { std::thread([] { number = std::make_unique<int>(1); }).join(); }), 2);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_EQ(made_by([] { matrix.resize(10, 10); }), 1);
#endif
}

TEST_P(SearchAllocation, ASingleSearchMakesNone) { EXPECT_EQ(allocations_of(1, {}), 0); }

TEST_P(SearchAllocation, ABatchMakesNone) { EXPECT_EQ(allocations_of(kBatch, {}), 0); }

TEST_P(SearchAllocation, AFilteredSearchMakesNoneWhicheverWayItGoes) {
  const KeyFilter half = [](KeyView key) { return (key.back() - '0') % 2 == 0; };
  const KeyFilter few = [](KeyView key) { return key.ends_with("00"); };
  for (const KeyFilter& filter : {half, few}) {
    for (const FilterMethod method : {FilterMethod::kByCost, FilterMethod::kIndex, FilterMethod::kScan}) {
      SearchOptions options;
      options.filter = &filter;
      options.params.filter_method = method;
      for (const std::size_t queries : {std::size_t{1}, kBatch}) {
        EXPECT_EQ(allocations_of(queries, options), 0) << queries << " queries, method " << static_cast<int>(method);
      }
    }
  }
}

TEST_P(SearchAllocation, ASearchOfAKeySetMakesNone) {
  const KeyView keys[] = {"key1", "key2", "key500", "nowhere"};
  const KeySet some(keys);
  SearchOptions options;
  options.allow = &some;
  EXPECT_EQ(allocations_of(1, options), 0);
  EXPECT_EQ(allocations_of(kBatch, options), 0);
}

}  // namespace
}  // namespace annulus::testing
