// Calls of hosts that fail, each in turn: first, second, ..., until the story completes.
#include "tests/artifact/faulty_host.h"
#include "tests/artifact/sweep.h"

namespace annulus {
namespace {

using testing::FaultyArtifactHost;
using testing::HostFault;
using testing::kSweepStride;
using testing::PreparedStory;
using testing::Story;
using testing::TestStore;

/// The hosts of a folder, each behind a faulty one.
struct FaultyStore {
  explicit FaultyStore(const std::filesystem::path& root) {
    for (const std::string& id : testing::sweep_hosts()) {
      hosts.push_back(std::make_shared<FaultyArtifactHost>(std::make_shared<DirectoryArtifactHost>(root / id)));
      store.attach_node(hosts.back());
    }
  }
  std::uint64_t struck() const {
    std::uint64_t all = 0;
    for (const auto& host : hosts) all += host->struck();
    return all;
  }
  std::vector<std::shared_ptr<FaultyArtifactHost>> hosts;
  ArtifactDistributor store;
};

/// How a call fails.
struct Kind {
  std::string name;
  HostFault fault;
  bool may_show;  ///< what failed may show nevertheless: nobody can take back a commit whose answer was lost at a host that is gone
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> kinds{
      {"one call fails", {.after = 0, .times = 1, .once_done = false, .code = ErrorCode::kUnavailable}, false},
      {"the host is gone",
       {.after = 0, .times = std::numeric_limits<std::uint64_t>::max(), .once_done = false, .code = ErrorCode::kUnavailable},
       false},
      {"the disk is full", {.after = 0, .times = 1, .once_done = false, .code = ErrorCode::kResourceExhausted}, false},
      {"an answer is lost", {.after = 0, .times = 1, .once_done = true, .code = ErrorCode::kUnavailable}, false},
      {"the host is gone after its answer is lost",
       {.after = 0, .times = std::numeric_limits<std::uint64_t>::max(), .once_done = true, .code = ErrorCode::kUnavailable},
       true},
  };
  return kinds;
}

/// Runs a story with the fault at call `step` of the hosts in `at`; returns whether it struck.
bool run(const Story& story, const std::filesystem::path& root, const Kind& kind, const std::vector<std::size_t>& at,
         std::uint64_t step) {
  FaultyStore faulty(root);
  HostFault fault = kind.fault;
  fault.after = step;
  for (const std::size_t host : at) faulty.hosts[host]->set_fault(fault);
  bool done = true;
  try {
    story.act(faulty.store);
  } catch (const Error& error) {
    done = false;
    const bool expected = error.code() == ErrorCode::kUnavailable || error.code() == ErrorCode::kResourceExhausted;
    EXPECT_TRUE(expected) << error.what();
  }
  for (const auto& host : faulty.hosts) host->heal();
  const bool struck = faulty.struck() > 0;

  if (!story.damaged) testing::expect_whole_versions(root);
  {
    SCOPED_TRACE("read by the object that did it");
    testing::expect_before_or_after(faulty.store, story, done, !done && !kind.may_show);
  }
  {
    SCOPED_TRACE("read by another");
    TestStore restarted(root, testing::sweep_hosts());
    testing::expect_before_or_after(restarted.store, story, done, !done && !kind.may_show);
  }
  testing::expect_repairs(faulty.store, story, root);
  return struck;
}

class FaultSweep : public ::testing::TestWithParam<Story> {};

TEST_P(FaultSweep, LosesNothingAndShowsNoPartWhicheverCallOfAHostFails) {
  const PreparedStory prepared(GetParam());
  for (const Kind& kind : kinds()) {
    std::uint64_t steps = 0;
    for (std::size_t host = 0; host < testing::sweep_hosts().size(); ++host) {
      for (std::uint64_t step = host % kSweepStride;; step += kSweepStride, steps += kSweepStride) {
        SCOPED_TRACE(kind.name + ", host " + testing::sweep_hosts()[host] + ", call " + std::to_string(step));
        if (!run(GetParam(), prepared.clone(), kind, {host}, step)) break;
        ASSERT_FALSE(HasFailure());
      }
    }
    EXPECT_GT(steps, 5u) << kind.name;
  }
}

TEST_P(FaultSweep, LosesNothingAndShowsNoPartWhicheverCallOfAllHostsFails) {
  const PreparedStory prepared(GetParam());
  for (const Kind& kind : kinds()) {
    std::uint64_t step = 0;
    for (;; step += kSweepStride) {
      SCOPED_TRACE(kind.name + ", all hosts, call " + std::to_string(step));
      if (!run(GetParam(), prepared.clone(), kind, {0, 1, 2}, step)) break;
      ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(step, 2u) << kind.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Artifact, FaultSweep, ::testing::ValuesIn(testing::stories()), [](const auto& param) {
  std::string name = param.param.name;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
});

}  // namespace
}  // namespace annulus
