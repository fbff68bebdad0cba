// Processes that die at every change of the disk, each in turn: first, second, ..., until the story completes.
#include <sys/wait.h>

#include <atomic>
#include <csignal>

#include "tests/artifact/sweep.h"

namespace annulus {
namespace {

using testing::PreparedStory;
using testing::Story;
using testing::TestStore;

/// Acts in a process that kills itself before change `step` of its disks; returns whether it lived to the end.
bool act_and_die(const Story& story, const std::filesystem::path& root, std::uint64_t step) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::atomic<std::uint64_t> steps = 0;
    try {
      ArtifactDistributor store;
      for (const std::string& id : testing::sweep_hosts()) {
        store.attach_node(std::make_shared<DirectoryArtifactHost>(root / id, [&](std::string_view) {
          if (steps++ == step) ::kill(::getpid(), SIGKILL);
        }));
      }
      story.act(store);
    } catch (...) {
      ::_exit(2);
    }
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  if (WIFSIGNALED(status)) {
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
    return false;
  }
  EXPECT_EQ(WEXITSTATUS(status), 0) << "it failed instead of dying";
  return true;
}

class KillSweep : public ::testing::TestWithParam<Story> {};

TEST_P(KillSweep, LosesNothingAndShowsNoPartWhereverItsProcessDies) {
  const Story& story = GetParam();
  const PreparedStory prepared(story);
  std::uint64_t step = 0;
  for (bool done = false; !done; ++step) {
    SCOPED_TRACE("killed before change " + std::to_string(step));
    const std::filesystem::path root = prepared.clone();
    done = act_and_die(story, root, step);
    if (!story.damaged) testing::expect_whole_versions(root);
    TestStore restarted(root, testing::sweep_hosts());
    testing::expect_before_or_after(restarted.store, story, done, false);
    testing::expect_repairs(restarted.store, story, root);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(step, 5u);
}

INSTANTIATE_TEST_SUITE_P(Artifact, KillSweep, ::testing::ValuesIn(testing::stories()), [](const auto& param) {
  std::string name = param.param.name;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
});

}  // namespace
}  // namespace annulus
