// A search allocates nothing once its thread has searched before: memory is reused, at every level.
#include <gtest/gtest.h>

#include "core/thread_budget.h"
#include "tests/shard/failing_allocations.h"
#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

class SearchAllocation : public ::testing::TestWithParam<const char*> {
 protected:
  SearchAllocation() {
    set_thread_budget(1);  // counts are a thread's own
    cluster.fill(2000);
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

  TestCluster cluster{4, router_options(2, spec_of(GetParam()))};
};

INSTANTIATE_TEST_SUITE_P(Indexes, SearchAllocation, ::testing::Values("Flat", "HNSW8", "IVF4,Flat"), [](const auto& instance) {
  std::string name = instance.param;
  std::erase(name, ',');
  return name;
});

TEST_P(SearchAllocation, ASingleSearchMakesNone) { EXPECT_EQ(allocations_of(1, {}), 0); }

TEST_P(SearchAllocation, ABatchMakesNone) { EXPECT_EQ(allocations_of(300, {}), 0); }

TEST_P(SearchAllocation, AFilteredSearchMakesNoneWhicheverWayItGoes) {
  const KeyFilter half = [](KeyView key) { return (key.back() - '0') % 2 == 0; };
  const KeyFilter few = [](KeyView key) { return key.ends_with("00"); };
  for (const KeyFilter& filter : {half, few}) {
    for (const FilterMethod method : {FilterMethod::kByCost, FilterMethod::kIndex, FilterMethod::kScan}) {
      SearchOptions options;
      options.filter = &filter;
      options.params.filter_method = method;
      for (const std::size_t queries : {std::size_t{1}, std::size_t{300}}) {
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
  EXPECT_EQ(allocations_of(300, options), 0);
}

}  // namespace
}  // namespace annulus::testing
