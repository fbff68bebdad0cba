#include "index/filter_plan.h"

#include <gtest/gtest.h>

namespace annulus {
namespace {

IndexFacts facts(IndexFamily family, std::size_t rows = 300'000) {
  return {.family = family, .coded = family != IndexFamily::kFlat, .dimension = 100, .rows = rows, .live = rows,
          .nlist = family == IndexFamily::kIvf ? std::size_t{1024} : 0};
}

constexpr SearchFacts kOne{.queries = 1, .k = 10, .ef = 64, .nprobe = 16};
constexpr SearchFacts kMany{.queries = 1000, .k = 10, .ef = 64, .nprobe = 16};

TEST(FilterPlan, HalfOfTheRowsGoThroughTheIndexAndOneInAThousandIsScanned) {
  for (const IndexFamily family : {IndexFamily::kHnsw, IndexFamily::kIvf}) {
    for (const SearchFacts& search : {kOne, kMany}) {
      EXPECT_FALSE(plan_filter({.selectivity = 0.5, .accept_ns = 10}, facts(family), search).scan) << search.queries;
    }
    EXPECT_TRUE(plan_filter({.selectivity = 0.001, .accept_ns = 10}, facts(family), kMany).scan);
    EXPECT_TRUE(plan_filter({.selectivity = 1, .accept_ns = 10, .listed = 300}, facts(family), kOne).scan);
  }
}

TEST(FilterPlan, AFilterThatIsDearToAskIsAskedAboutFewRows) {
  const IndexFacts index = facts(IndexFamily::kHnsw);
  EXPECT_TRUE(plan_filter({.selectivity = 0.01, .accept_ns = 2}, index, kMany).scan);
  EXPECT_FALSE(plan_filter({.selectivity = 0.1, .accept_ns = 1e5}, index, kOne).scan);
}

TEST(FilterPlan, AllRowsAreAskedAboutOnceForABatchAndEachQueryPaysForTheAcceptedOnes) {
  const FilterFacts filter{.selectivity = 0.01, .accept_ns = 50};
  const IndexFacts index = facts(IndexFamily::kIvf);
  const FilterPlan one = plan_filter(filter, index, kOne);
  const FilterPlan many = plan_filter(filter, index, kMany);
  EXPECT_LT(many.scan_ns, 300 * one.scan_ns);
  EXPECT_DOUBLE_EQ(many.index_ns, 1000 * one.index_ns);
}

TEST(FilterPlan, AListIsUsedWhereItIsShorterThanWhatItSaves) {
  const IndexFacts index = facts(IndexFamily::kHnsw);
  EXPECT_TRUE(plan_filter({.selectivity = 0.01, .accept_ns = 20, .listed = 3000}, index, kOne).by_list);
  EXPECT_FALSE(plan_filter({.selectivity = 0.9, .accept_ns = 20, .listed = 280'000}, index, kOne).by_list);
  EXPECT_FALSE(plan_filter({.selectivity = 0.01, .accept_ns = 20}, index, kOne).by_list);
}

TEST(FilterPlan, ListsGrowAsTheFilterAcceptsLessAndNeverBeyondAll) {
  std::size_t before = 0;
  for (const double selectivity : {1.0, 0.5, 0.1, 0.01, 0.001, 0.0}) {
    const std::size_t lists = lists_for(selectivity, 16, 1024);
    EXPECT_GE(lists, before);
    EXPECT_LE(lists, 1024U);
    before = lists;
  }
  EXPECT_EQ(lists_for(1, 16, 1024), 16U);
  EXPECT_EQ(lists_for(1e-9, 16, 1024), 1024U);
}

TEST(FilterPlan, TooFewAcceptedRowsForTheIndexAreScannedWhateverItCosts) {
  const FilterFacts filter{.selectivity = 1e-5, .accept_ns = 1e6};
  EXPECT_TRUE(plan_filter(filter, facts(IndexFamily::kHnsw), kOne).scan);
  EXPECT_TRUE(plan_filter(filter, facts(IndexFamily::kIvf), kOne).scan);
}

TEST(FilterPlan, AWalkMayKeepWhatItIsExpectedToAndMoreWhereTheScanIsDearer) {
  const IndexFacts index = facts(IndexFamily::kHnsw);
  const FilterPlan cheap = plan_filter({.selectivity = 0.1, .accept_ns = 5}, index, kOne);
  const FilterPlan dear = plan_filter({.selectivity = 0.1, .accept_ns = 5000}, index, kOne);
  EXPECT_GE(cheap.patience, 640U);
  EXPECT_GT(dear.patience, cheap.patience);
}

TEST(FilterPlan, TheMethodOverrules) {
  for (const IndexFamily family : {IndexFamily::kFlat, IndexFamily::kHnsw, IndexFamily::kIvf}) {
    for (const double selectivity : {0.0, 0.001, 0.5, 1.0}) {
      EXPECT_TRUE(plan_filter({.selectivity = selectivity}, facts(family), kOne, FilterMethod::kScan).scan);
      EXPECT_FALSE(plan_filter({.selectivity = selectivity}, facts(family), kOne, FilterMethod::kIndex).scan);
    }
  }
}

TEST(FilterPlan, AnEmptyIndexHasAPlan) {
  for (const IndexFamily family : {IndexFamily::kFlat, IndexFamily::kHnsw, IndexFamily::kIvf}) {
    const FilterPlan plan = plan_filter({.selectivity = 0.5}, facts(family, 0), kOne);
    EXPECT_GE(plan.scan_ns, 0);
    EXPECT_GE(plan.index_ns, 0);
  }
}

}  // namespace
}  // namespace annulus
