// A resize of artifacts that is stopped at every step: by a call that fails, and by a process that dies.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "rebalance/artifact_rebalancer.h"
#include "tests/rebalance/artifact_support.h"

namespace annulus {
namespace {

using testing::ArtifactCluster;
using testing::Bytes;
using testing::bytes_of;
using testing::HostFault;

constexpr int kArtifacts = 8;

/// Eight artifacts, of which one was overwritten and one erased; then a host joins and another leaves.
void prepare(ArtifactCluster& cluster) {
  cluster.fill(kArtifacts);
  cluster.put(ArtifactCluster::name(1), "again");
  cluster.erase(ArtifactCluster::name(2));
  cluster.attach("d");
  cluster.store.detach_node("b");
}

void expect_finished(ArtifactCluster& cluster, const MoveReport& report) {
  ASSERT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
  EXPECT_EQ(report.lost, 0u);
  // Only a host that failed while it dropped keeps something, and the report says so.
  if (report.warnings.empty()) {
    const ArtifactCheckReport found = cluster.store.verify();
    EXPECT_TRUE(found.ok()) << testing::describe(found);
    EXPECT_EQ(cluster.bytes_on("b"), 0u);
  }
  cluster.store.repair();  // erases that are not needed any more, remains of dead writers
  cluster.expect_intact();
}

class ArtifactResizeSweep : public ::testing::TestWithParam<const char*> {};

// One call fails, or all from then on, at the host of the parameter: with a pause in between, the resize completes.
TEST_P(ArtifactResizeSweep, LosesNothingWhicheverCallOfAHostFails) {
  for (const bool stays_down : {false, true}) {
    for (const bool once_done : {false, true}) {
      std::uint64_t step = 0;
      for (;; step += testing::kSweepStride) {
        SCOPED_TRACE("step " + std::to_string(step) + (stays_down ? ", stays down" : "") + (once_done ? ", answer lost" : ""));
        ArtifactCluster cluster({"a", "b", "c"});
        prepare(cluster);
        HostFault fault{.after = step, .once_done = once_done};
        if (!stays_down) fault.times = 1;
        cluster.faulty(GetParam()).set_fault(fault);
        ArtifactRebalancer rebalancer(cluster.store);
        MoveReport report = rebalancer.execute();
        const bool struck = cluster.faulty(GetParam()).struck() > 0;
        cluster.faulty(GetParam()).heal();
        cluster.expect_readable();
        if (report.outcome == ResizeOutcome::kBlocked) {
          EXPECT_TRUE(struck);
          EXPECT_FALSE(report.message.empty());
          report = rebalancer.execute();
        }
        expect_finished(cluster, report);
        ASSERT_FALSE(HasFailure());
        if (!struck) break;
      }
      EXPECT_GT(step, 10u);
    }
  }
}

// The same, and it is taken back, as far as that can be.
TEST_P(ArtifactResizeSweep, CanBeAbortedAfterAnyFailure) {
  std::uint64_t step = 0;
  std::uint64_t aborted = 0;
  for (;; step += testing::kSweepStride) {
    SCOPED_TRACE("step " + std::to_string(step));
    ArtifactCluster cluster({"a", "b", "c"});
    prepare(cluster);
    cluster.faulty(GetParam()).set_fault({.after = step});
    ArtifactRebalancer rebalancer(cluster.store);
    MoveReport report = rebalancer.execute();
    const bool struck = cluster.faulty(GetParam()).struck() > 0;
    cluster.faulty(GetParam()).heal();
    if (report.outcome == ResizeOutcome::kBlocked && report.stage == ResizeStage::kCopying) {
      rebalancer.abort();
      ++aborted;
      EXPECT_EQ(cluster.store.stage(), ResizeStage::kNone);
      EXPECT_TRUE(cluster.store.ring().index_of("b").has_value());
      EXPECT_EQ(cluster.bytes_on("d"), 0u);
      cluster.store.repair();
      cluster.expect_intact();
    } else {
      if (report.outcome == ResizeOutcome::kBlocked) report = rebalancer.execute();
      expect_finished(cluster, report);
    }
    ASSERT_FALSE(HasFailure());
    if (!struck) break;
  }
  EXPECT_GT(step, 10u);
  // what only b's silence stops, another holder gives
  EXPECT_TRUE(aborted * testing::kSweepStride > 5 || std::string(GetParam()) != "d") << aborted;
}

INSTANTIATE_TEST_SUITE_P(Hosts, ArtifactResizeSweep, ::testing::Values("a", "b", "c", "d"));

/// The contents that the sweep of dying processes begins with.
std::map<std::string, Bytes> contents() {
  std::map<std::string, Bytes> all;
  for (int i = 0; i < kArtifacts; ++i) all[ArtifactCluster::name(i)] = bytes_of("content of " + std::to_string(i));
  return all;
}

/// What a process does that resizes: opens what is there as the old ring, declares the new one, executes.
MoveReport open_and_resize(const std::filesystem::path& root, ArtifactDistributor& store, const DirectoryArtifactHost::StepHook& hook) {
  std::map<std::string, std::shared_ptr<DirectoryArtifactHost>> hosts;
  for (const char* id : {"a", "b", "c", "d"}) hosts[id] = std::make_shared<DirectoryArtifactHost>(root / id, hook);
  for (const char* id : {"a", "b", "c"}) store.attach_node(hosts[id]);
  (void)store.list();  // the old ring serves from here on
  store.attach_node(hosts["d"]);
  store.detach_node("b");
  return ArtifactRebalancer(store).execute();
}

// A process kills itself before its first, second, ... change of a disk, until one completes. The next process finds the old or the
// new ring's placement, or a mixture, and goes on from there.
TEST(ArtifactResizeKill, AProcessThatDiesAtAnyStepLosesNothingAndTheNextOneFinishes) {
  int step = 0;
  for (bool completed = false; !completed; ++step) {
    SCOPED_TRACE("killed at step " + std::to_string(step));
    testing::ScratchFolder scratch;
    for (const char* id : {"a", "b", "c", "d"}) DirectoryArtifactHost::create(scratch.path() / id, id);
    {
      testing::TestStore old(scratch.path(), {"a", "b", "c"});
      for (const auto& [name, content] : contents()) old.store.put(name, content);
    }
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      std::atomic<int> left = step;  // hosts are written side by side
      ArtifactDistributor store;
      const MoveReport report = open_and_resize(scratch.path(), store, [&](std::string_view) {
        if (left-- == 0) ::kill(::getpid(), SIGKILL);
      });
      ::_exit(report.outcome == ResizeOutcome::kCompleted ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    completed = WIFEXITED(status);
    ASSERT_EQ(completed ? WEXITSTATUS(status) : WTERMSIG(status), completed ? 0 : SIGKILL);

    const auto expect_contents = [&](ArtifactDistributor& store) {
      for (const auto& [name, content] : contents()) ASSERT_TRUE(store.get(name) == content) << name;
    };
    ArtifactDistributor store;
    if (completed) {  // a process that knows the new ring finds it in place
      testing::TestStore fresh(scratch.path(), {"a", "c", "d"});
      testing::expect_clean(fresh.store);
      expect_contents(fresh.store);
      break;
    }
    const MoveReport report = open_and_resize(scratch.path(), store, {});
    ASSERT_EQ(report.outcome, ResizeOutcome::kCompleted) << report.message;
    expect_contents(store);
    testing::expect_clean(store);
    EXPECT_TRUE(DirectoryArtifactHost(scratch.path() / "b").list().empty());
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(step, 20);
}

}  // namespace
}  // namespace annulus
