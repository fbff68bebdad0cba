#include "index/filter_costs.h"

#include <gtest/gtest.h>

namespace annulus {
namespace {

constexpr double kLongNs = 1e6;

TEST(FilterCosts, AreThoseOfTheConstantsUntilSomethingWasSeen) {
  const FilterCosts costs;
  for (const std::size_t queries : {1, 8, 1000}) {
    const PartFactors factors = costs.factors(0.1, queries);
    for (const double factor : {factors.ask, factors.list, factors.compare, factors.walk, factors.foreseen, factors.visit}) {
      EXPECT_EQ(factor, 1);
    }
  }
}

TEST(FilterCosts, FollowWhatASearchTook) {
  FilterCosts costs;
  costs.learn(FilterPart::kWalk, 0.1, 1, kLongNs, 3 * kLongNs);
  EXPECT_NEAR(costs.factors(0.1, 1).walk, 3, 1e-5) << "the first counts in full";
  for (int i = 0; i < 100; ++i) costs.learn(FilterPart::kWalk, 0.1, 1, kLongNs, 0.5 * kLongNs);
  EXPECT_NEAR(costs.factors(0.1, 1).walk, 0.5, 1e-3) << "what is long ago is forgotten";
  costs.learn(FilterPart::kWalk, 0.1, 1, kLongNs, 1000 * kLongNs);
  EXPECT_LT(costs.factors(0.1, 1).walk, 1) << "one interruption is no rule";
}

TEST(FilterCosts, OfWhatWasNotSeenAreTakenToBeALittleLessThanOfWhatWas) {
  FilterCosts costs;
  costs.learn(FilterPart::kVisit, 0.1, 1, kLongNs, 4 * kLongNs);
  const PartFactors here = costs.factors(0.1, 1);
  EXPECT_NEAR(here.visit, 4, 1e-5);
  for (const double factor : {here.list, here.compare, here.walk, costs.factors(0.001, 1).visit}) {
    EXPECT_GT(factor, 2);
    EXPECT_LT(factor, 4);
  }
  EXPECT_GT(here.ask, 0.5) << "what a question costs is measured each time";
  EXPECT_LT(here.ask, 1);
  EXPECT_EQ(here.foreseen, 1) << "how far walks go has nothing to do with the machine";
  EXPECT_EQ(costs.factors(0.1, 100).visit, 1) << "batches are another kind";
  costs.learn(FilterPart::kVisit, 0.001, 1, kLongNs, kLongNs);
  EXPECT_NEAR(costs.factors(0.001, 1).visit, 1, 1e-5);
  EXPECT_NEAR(costs.factors(0.1, 1).visit, 4, 1e-5) << "each by itself";
  EXPECT_NEAR(costs.factors(0.13, 3).visit, 4, 1e-5) << "much the same search";
}

TEST(FilterCosts, GiveUpPlansThatTakeLongerThanScansAndTryThemAgain) {
  FilterCosts costs;
  EXPECT_TRUE(costs.plan_pays(0.01, false)) << "nothing was seen";
  costs.learn_whole(false, 0.01, false, kLongNs, 2 * kLongNs);
  EXPECT_TRUE(costs.plan_pays(0.01, false)) << "the first search may have been disturbed";
  for (int i = 0; i < 20; ++i) {
    costs.learn_whole(false, 0.01, false, kLongNs, 2 * kLongNs);
    costs.learn_whole(true, 0.01, false, kLongNs, 1.2 * kLongNs);  // the estimate is wrong for both
  }
  int tried = 0;
  for (int i = 0; i < 320; ++i) tried += costs.plan_pays(0.01, false) ? 1 : 0;
  EXPECT_EQ(tried, 10);
  EXPECT_TRUE(costs.plan_pays(0.5, false)) << "other filters are other cases";
  EXPECT_TRUE(costs.plan_pays(0.01, true)) << "so are those with a list";
  for (int i = 0; i < 20; ++i) costs.learn_whole(false, 0.01, false, kLongNs, 1.25 * kLongNs);
  EXPECT_TRUE(costs.plan_pays(0.01, false)) << "as long as a scan";
  for (int i = 0; i < 20; ++i) costs.learn_whole(false, 0.01, false, kLongNs, kLongNs);
  costs.learn_whole(false, 0.01, false, kLongNs, 1000 * kLongNs);
  EXPECT_TRUE(costs.plan_pays(0.01, false) && costs.plan_pays(0.01, false)) << "one interruption is no rule";
  for (int i = 0; i < 20; ++i) costs.learn_whole(false, 0.01, false, kLongNs, 2 * kLongNs);
  FilterCosts::set_learning(false);
  EXPECT_TRUE(costs.plan_pays(0.01, false) && costs.plan_pays(0.01, false));
  FilterCosts::set_learning(true);
  EXPECT_FALSE(costs.plan_pays(0.01, false));
}

TEST(FilterCosts, AreNotLearntFromWhatTheClockCannotTell) {
  FilterCosts costs;
  costs.learn(FilterPart::kAsk, 0.1, 1, 10, 100);
  costs.learn(FilterPart::kAsk, 0.1, 1, 0, kLongNs);
  EXPECT_EQ(costs.factors(0.1, 1).ask, 1);
  FilterCosts::set_learning(false);
  costs.learn(FilterPart::kAsk, 0.1, 1, kLongNs, 2 * kLongNs);
  FilterCosts::set_learning(true);
  EXPECT_EQ(costs.factors(0.1, 1).ask, 1);
  costs.learn(FilterPart::kAsk, 0, 1, kLongNs, 2 * kLongNs);
  EXPECT_NEAR(costs.factors(1e-12, 1).ask, 2, 1e-5) << "nothing accepted is as little as can be";
}

}  // namespace
}  // namespace annulus
