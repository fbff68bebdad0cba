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

  long allocations_of(std::size_t queries, const SearchOptions& options) {
    const Matrix asked = random_matrix(queries, cluster.dimension(), 3);
    SearchResult result;
    for (int i = 0; i < 20; ++i) cluster.router.search(asked, 10, options, result);
    const long before = allocations_made;
    constexpr int kSearches = 5;
    for (int i = 0; i < kSearches; ++i) cluster.router.search(asked, 10, options, result);
    EXPECT_GT(result.distances, 0u);
    return allocations_made - before;
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

TEST_P(SearchAllocation, AFilteredSearchMakesNone) {
  if (spec_of(GetParam()).factory.starts_with("IVF")) GTEST_SKIP() << "it goes in rounds, whose number depends on the filter";
  const KeyFilter even = [](KeyView key) { return (key.back() - '0') % 2 == 0; };
  SearchOptions options;
  options.filter = &even;
  EXPECT_EQ(allocations_of(1, options), 0);
}

}  // namespace
}  // namespace annulus::testing
