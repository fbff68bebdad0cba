#include "index/filter_plan.h"

#include <gtest/gtest.h>

#include <algorithm>

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

TEST(FilterPlan, WhatAnIndexHasLearntCountsInEveryEstimate) {
  const FilterFacts filter{.selectivity = 0.05, .accept_ns = 20, .listed = 15'000};
  for (const IndexFamily family : {IndexFamily::kFlat, IndexFamily::kHnsw, IndexFamily::kIvf}) {
    const IndexFacts index = facts(family);
    const FilterPlan plain = plan_filter(filter, index, kOne);
    const PartFactors thrice{.ask = 3, .list = 3, .compare = 3, .walk = 3, .visit = 3};
    const FilterPlan slow = plan_filter(filter, index, kOne, FilterMethod::kByCost, thrice);
    EXPECT_DOUBLE_EQ(slow.scan_ns, 3 * plain.scan_ns);
    EXPECT_DOUBLE_EQ(slow.index_ns, 3 * plain.index_ns);
    EXPECT_EQ(slow.scan, plain.scan) << "a slow machine is slow in everything";
    EXPECT_DOUBLE_EQ(walked_cost_ns(slow, 1000, 100, 50), 3 * walked_cost_ns(plain, 1000, 100, 50));
    const FilterTally tally{.asked = 100, .accepted = 5, .questions = 100};
    EXPECT_DOUBLE_EQ(visited_ns(slow, tally, 4), 3 * visited_ns(plain, tally, 4));
    EXPECT_DOUBLE_EQ(forecast_ns(slow, tally, 4), 3 * forecast_ns(plain, tally, 4));
    EXPECT_TRUE(plan_filter(filter, index, kOne, FilterMethod::kByCost, {.walk = 1000, .visit = 1000}).scan);
    EXPECT_FALSE(plan_filter(filter, index, kOne, FilterMethod::kByCost, {.ask = 1000, .list = 1000, .compare = 1000}).scan);
  }
  EXPECT_TRUE(plan_filter(filter, facts(IndexFamily::kIvf), kOne).by_list);
  EXPECT_FALSE(plan_filter(filter, facts(IndexFamily::kIvf), kOne, FilterMethod::kByCost, {.list = 1000}).by_list);
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

TEST(FilterPlan, QueriesOfAGraphChooseForThemselvesUnlessTheyWouldAllGoOneWay) {
  const IndexFacts index = facts(IndexFamily::kHnsw);
  EXPECT_TRUE(plan_filter({.selectivity = 0.1, .accept_ns = 10}, index, kOne).chooses);
  EXPECT_TRUE(plan_filter({.selectivity = 0.01, .accept_ns = 2}, index, kOne).chooses);
  EXPECT_FALSE(plan_filter({.selectivity = 0.001, .accept_ns = 2}, index, kMany).chooses);
  EXPECT_FALSE(plan_filter({.selectivity = 0.0001, .accept_ns = 10}, index, kOne).chooses);  // fewer than a walk keeps
  EXPECT_FALSE(plan_filter({.selectivity = 0.1}, index, kOne, FilterMethod::kIndex).chooses);
  EXPECT_FALSE(plan_filter({.selectivity = 0.1}, index, kOne, FilterMethod::kScan).chooses);
  EXPECT_FALSE(plan_filter({.selectivity = 0.1, .accept_ns = 10}, facts(IndexFamily::kIvf), kOne).chooses);
}

TEST(FilterPlan, ASampleCostsASmallPartOfTheSearchOrIsNotTaken) {
  for (const double selectivity : {0.9, 0.5, 0.1, 0.01}) {
    for (const double accept_ns : {2.0, 50.0, 5000.0}) {
      for (const SearchFacts& search : {kOne, kMany}) {
        const FilterFacts filter{.selectivity = selectivity, .accept_ns = accept_ns, .asked = 32};
        const FilterPlan plan = plan_filter(filter, facts(IndexFamily::kHnsw), search);
        const double more = plan.sampled > 32 ? static_cast<double>(plan.sampled - 32) * filter.apart_ns : 0;
        EXPECT_LE(more, 0.05 * std::min(plan.index_ns, plan.scan_ns)) << selectivity << ' ' << accept_ns;
      }
    }
  }
}

/// A plan that goes through the lists, under a filter of which 10 % are accepted overall.
FilterPlan plan_of_lists(double accept_ns = 5) {
  return plan_filter({.selectivity = 0.1, .accept_ns = accept_ns}, facts(IndexFamily::kIvf), kOne);
}

TEST(FilterPlan, AQueryNearWhichTheFilterAcceptsAsMuchAsElsewhereVisitsTheListsThatWerePlanned) {
  const FilterPlan plan = plan_of_lists();
  ASSERT_FALSE(plan.scan);
  for (const std::size_t accepted : {26U, 32U, 64U, 320U}) {
    EXPECT_EQ(further_lists(plan, {.asked = 320, .accepted = accepted}, 1).total, plan.nprobe) << accepted;
    EXPECT_EQ(further_lists(plan, {.asked = 320, .accepted = accepted}, plan.nprobe).next, plan.nprobe) << accepted;
  }
}

TEST(FilterPlan, AQueryNearWhichTheFilterAcceptsLessVisitsMoreListsAndPaysMore) {
  const FilterPlan plan = plan_of_lists();
  FurtherLists before{.total = plan.nprobe};
  for (const std::size_t accepted : {10U, 3U, 0U}) {
    const FurtherLists further = further_lists(plan, {.asked = 320, .accepted = accepted}, plan.nprobe);
    EXPECT_GT(further.total, before.total) << accepted;
    EXPECT_GT(further.cost_ns, before.cost_ns) << accepted;
    EXPECT_EQ(further.next, std::min(further.total, 4 * plan.nprobe)) << accepted;
    before = further;
  }
  EXPECT_EQ(before.total, 1024U);
  EXPECT_EQ(further_lists(plan, {.asked = 320, .accepted = 0}, 1024).next, 1024U);
}

TEST(FilterPlan, FewAnswersOfTheFilterAreNoReasonToGoFar) {
  const FilterPlan plan = plan_of_lists();
  EXPECT_EQ(further_lists(plan, {.asked = 20, .accepted = 0}, 3).next, 6U);
}

TEST(FilterPlan, TheFirstLookIsASmallPartOfTheScan) {
  const FilterPlan near_the_scan = plan_filter({.selectivity = 0.02, .accept_ns = 2}, facts(IndexFamily::kIvf), kOne);
  ASSERT_FALSE(near_the_scan.scan);
  EXPECT_LT(near_the_scan.first_lists, near_the_scan.nprobe / 2);
  const FilterPlan far_below = plan_filter({.selectivity = 0.5, .accept_ns = 2}, facts(IndexFamily::kIvf), kOne);
  EXPECT_EQ(far_below.first_lists, far_below.nprobe);
}

TEST(FilterPlan, AQueryGoesOnFromTheFirstListsToThosePlannedAndFromThereInRoundsThatGrow) {
  const FilterPlan plan = plan_filter({.selectivity = 0.02, .accept_ns = 2}, facts(IndexFamily::kIvf), kOne);
  const FilterTally none_near{.asked = 1000};
  EXPECT_EQ(further_lists(plan, {}, 0).next, plan.first_lists);
  EXPECT_EQ(further_lists(plan, {}, 0).total, plan.nprobe);
  std::vector<std::size_t> rounds{plan.first_lists};
  while (further_lists(plan, none_near, rounds.back()).next > rounds.back()) {
    rounds.push_back(further_lists(plan, none_near, rounds.back()).next);
    ASSERT_LT(rounds.size(), 20U);
  }
  ASSERT_GE(rounds.size(), 2U);
  EXPECT_EQ(rounds[1], std::max(plan.nprobe, 4 * plan.first_lists));
  EXPECT_EQ(rounds.back(), 1024U);
}

TEST(FilterPlan, QueriesThatLookFirstSpendASmallPartOfTheScan) {
  const FilterFacts dear{.selectivity = 0.1, .accept_ns = 1000, .apart_ns = 1000};
  std::size_t before = 0;
  for (const std::size_t queries : {50U, 200U, 1000U}) {
    const FilterPlan plan = plan_filter(dear, facts(IndexFamily::kIvf), {.queries = queries, .k = 10, .kept = 40, .nprobe = 16});
    ASSERT_LT(plan.first_lists, plan.nprobe) << queries;
    // a list of 1.5 times as many rows as the mean, each asked about
    const double list_ns = 1.5 * static_cast<double>(facts(IndexFamily::kIvf).live) / 1024 * 1000;
    const double looks = static_cast<double>(std::min(plan.scouts, queries) * plan.first_lists);
    EXPECT_LE(looks * list_ns, std::max(0.1 * plan.scan_ns, list_ns)) << queries;
    if (queries >= 200) {
      EXPECT_LT(plan.scouts, queries);
      EXPECT_GE(looks * list_ns, 0.08 * plan.scan_ns) << queries;
    }
    EXPECT_GE(plan.scouts, before) << queries;
    before = plan.scouts;
  }
  const FilterPlan cheap = plan_filter({.selectivity = 0.5, .accept_ns = 2}, facts(IndexFamily::kIvf), kMany);
  ASSERT_GE(cheap.first_lists, cheap.nprobe);
  EXPECT_GE(cheap.scouts, kMany.queries);
}

TEST(FilterPlan, APilotGoesWhereBothWaysCostAboutTheSameAndItselfLittle) {
  const Doubt doubt{.each_ns = 100, .index_ns = 1000, .scan_ns = 900};
  EXPECT_TRUE(wants_pilot(doubt));
  EXPECT_FALSE(wants_pilot({.each_ns = 300, .index_ns = 1000, .scan_ns = 900}));
  EXPECT_FALSE(wants_pilot({.each_ns = 100, .index_ns = 1000, .scan_ns = 9000}));
  EXPECT_FALSE(wants_pilot({.each_ns = 100, .index_ns = 10000, .scan_ns = 900}));
}

TEST(FilterPlan, WhatAPilotPaidIsComparedWithItsForecast) {
  const FilterPlan plan = plan_of_lists();
  const FilterTally many{.asked = 320, .accepted = 0, .questions = 100'000};
  const FilterTally few{.asked = 320, .accepted = 0, .questions = 320};
  EXPECT_EQ(forecast_ns(plan, many, 200), forecast_ns(plan, few, 200));  // what it met later is no part of the forecast
  EXPECT_GT(visited_ns(plan, many, 200), forecast_ns(plan, many, 200));
  EXPECT_LT(visited_ns(plan, few, 200), forecast_ns(plan, few, 200));
  // as elsewhere, the forecast of the lists planned is the plan's
  EXPECT_DOUBLE_EQ(forecast_ns(plan, {.asked = 320, .accepted = 32}, plan.nprobe), plan.index_ns);
}

TEST(FilterPlan, NearestListsFirstFewerQuestions) {
  IndexFacts index = facts(IndexFamily::kIvf);
  const double in_blocks = plan_filter({.selectivity = 0.1, .accept_ns = 5}, index, kOne).index_ns;
  index.one_by_one = true;
  EXPECT_LT(plan_filter({.selectivity = 0.1, .accept_ns = 5}, index, kOne).index_ns, in_blocks);
}

TEST(FilterPlan, ATallyKeepsToTheRowsThatCameFirst) {
  FilterTally tally{.most = 3};
  for (const bool accepted : {true, false, false, true, true}) tally.count(accepted);
  EXPECT_EQ(tally.asked, 3U);
  EXPECT_EQ(tally.accepted, 1U);
  EXPECT_EQ(tally.questions, 5U);
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
