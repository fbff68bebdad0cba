#include "cli/demo_figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace annulus::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Figures of a demo in which all went well.
DemoFigures good() {
  DemoFigures figures;
  figures.replicas = 2;
  figures.keys = 100;
  figures.probe.recall = 0.99;
  const Proof proof{.cluster = {}, .oracle = {}, .probe = figures.probe};
  ResizeFigures resize;
  resize.change = "shard-5 joins";
  resize.report.outcome = ResizeOutcome::kCompleted;
  resize.proof = proof;
  resize.cache.report.outcome = ResizeOutcome::kCompleted;
  resize.cache.changed = resize.cache.hits = 20;
  resize.artifacts.report.outcome = ResizeOutcome::kCompleted;
  figures.resizes.push_back(resize);
  figures.shard_down.shard = "shard-1";
  figures.shard_down.probe = figures.probe;
  figures.shard_down.sync.up = true;
  figures.shard_down.proof = proof;
  figures.shard_down.heal = HealFigures{.artifact = "part-1", .host = "shard-3", .healed = true, .proof = {}};
  return figures;
}

TEST(DemoProblems, AreNoneIfAllWentWell) {
  EXPECT_THAT(problems(good()), IsEmpty());
  EXPECT_EQ(to_json(good())["ok"], true);
}

TEST(DemoProblems, EachIsASentenceThatSaysWhereAndWhat) {
  struct Case {
    std::function<void(DemoFigures&)> spoil;
    std::string where, what;
  };
  const Case cases[] = {
      {[](DemoFigures& f) { f.probe.coverage = 0.5; }, "after loading", "do not cover"},
      {[](DemoFigures& f) { f.resizes[0].report.outcome = ResizeOutcome::kBlocked; }, "shard-5 joins", "blocked"},
      {[](DemoFigures& f) { f.resizes[0].report.lost = 3; }, "shard-5 joins", "3 records"},
      {[](DemoFigures& f) { f.resizes[0].during.incomplete = 2; }, "shard-5 joins", "2 answers were incomplete"},
      {[](DemoFigures& f) { f.resizes[0].during.duplicates = 2; }, "shard-5 joins", "2 keys came twice"},
      {[](DemoFigures& f) { f.resizes[0].during.wrong = 2; }, "shard-5 joins", "wrong distance"},
      {[](DemoFigures& f) { f.resizes[0].writes.stale = 4; }, "shard-5 joins", "4 reads"},
      {[](DemoFigures& f) { f.resizes[0].writes.resurrected = 4; }, "shard-5 joins", "4 searches"},
      {[](DemoFigures& f) { f.resizes[0].proof.cluster.strangers = 5; }, "shard-5 joins", "5 records"},
      {[](DemoFigures& f) { f.resizes[0].proof.cluster.arcs_differing = 5; }, "shard-5 joins", "5 arcs differ"},
      {[](DemoFigures& f) { f.resizes[0].proof.oracle.missing = 6; }, "shard-5 joins", "6 keys are lost"},
      {[](DemoFigures& f) { f.resizes[0].proof.oracle.wrong = 6; }, "shard-5 joins", "6 keys have another vector"},
      {[](DemoFigures& f) { f.resizes[0].proof.oracle.resurrected = 6; }, "shard-5 joins", "6 erased keys"},
      {[](DemoFigures& f) { f.resizes[0].proof.probe.recall = 0.97; }, "shard-5 joins", "from 0.9900 to 0.9700"},
      {[](DemoFigures& f) { f.resizes[0].cache.report.outcome = ResizeOutcome::kAborted; }, "shard-5 joins",
       "warm-up ended as 'aborted'"},
      {[](DemoFigures& f) { f.resizes[0].cache.hits = 13; }, "shard-5 joins", "7 cache entries that moved are misses"},
      {[](DemoFigures& f) { f.resizes[0].cache.twin_hits = 2; }, "shard-5 joins", "2 cache entries that moved are hits without"},
      {[](DemoFigures& f) { f.resizes[0].cache.changed = f.resizes[0].cache.hits = 0; }, "shard-5 joins", "no cache entry changed"},
      {[](DemoFigures& f) { f.resizes[0].cache.wrong = 2; }, "shard-5 joins", "2 cache entries have another value"},
      {[](DemoFigures& f) { f.resizes[0].artifacts.report.outcome = ResizeOutcome::kBlocked; }, "shard-5 joins",
       "artifacts' resize ended as 'blocked'"},
      {[](DemoFigures& f) { f.resizes[0].artifacts.report.lost = 2; }, "shard-5 joins", "2 artifacts were missing"},
      {[](DemoFigures& f) { f.resizes[0].artifacts.proof.missing = 2; }, "shard-5 joins", "2 artifacts cannot be read"},
      {[](DemoFigures& f) { f.resizes[0].artifacts.proof.wrong = 2; }, "shard-5 joins", "2 artifacts have another content"},
      {[](DemoFigures& f) { f.resizes[0].artifacts.proof.check.strangers = 2; }, "shard-5 joins", "do not hold what they should"},
      {[](DemoFigures& f) { f.shard_down.heal->healed = false; }, "a damaged artifact", "'part-1' was not healed on shard-3"},
      {[](DemoFigures& f) { f.shard_down.probe.coverage = 0.75; }, "shard-1 down", "75.0 %"},
      {[](DemoFigures& f) { f.shard_down.probe.recall = 0.5; }, "shard-1 down", "from 0.9900 to 0.5000"},
      {[](DemoFigures& f) { f.shard_down.oracle.missing = 1; }, "shard-1 down", "1 keys are lost"},
      {[](DemoFigures& f) { f.shard_down.sync.up = false; }, "shard-1 back", "does not serve"},
      {[](DemoFigures& f) { f.shard_down.proof.cluster.not_up = {"shard-1"}; }, "shard-1 back", "not up"},
  };
  for (const Case& spoiled : cases) {
    DemoFigures figures = good();
    spoiled.spoil(figures);
    EXPECT_THAT(problems(figures), ElementsAre(testing::AllOf(HasSubstr(spoiled.where), HasSubstr(spoiled.what)))) << spoiled.what;
    EXPECT_EQ(to_json(figures)["ok"], false) << spoiled.what;
  }
}

TEST(DemoProblems, WithOneReplicaAnswersMayBePartialWhileAShardIsDown) {
  DemoFigures figures = good();
  figures.replicas = 1;
  figures.shard_down.probe.coverage = 0.75;
  figures.shard_down.probe.recall = 0.75;
  EXPECT_THAT(problems(figures), IsEmpty());
}

TEST(DemoFigures, ALossAndADoubleCountWhereverTheyWereFound) {
  DemoFigures figures = good();
  ResizeFigures& resize = figures.resizes[0];
  resize.report.lost = 1;
  resize.proof.oracle.missing = 20;
  resize.during.duplicates = 3;
  resize.proof.probe.duplicates = 40;
  resize.proof.cluster.strangers = 500;
  const Json document = to_json(figures);
  EXPECT_EQ(document["resizes"][0]["lost"], 21);
  EXPECT_EQ(document["resizes"][0]["duplicated"], 543);
}

}  // namespace
}  // namespace annulus::cli
