// Replicas that are damaged, missing or old, and hosts that are out of reach.
#include "tests/artifact/faulty_host.h"
#include "tests/artifact/test_store.h"

namespace annulus {
namespace {

using testing::Bytes;
using testing::bytes_of;
using ::testing::Contains;
using testing::content_of;
using ::testing::ElementsAre;
using testing::expect_clean;
using testing::expect_error;
using testing::FaultyArtifactHost;
using testing::files_below;
using testing::flip_byte;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ScratchFolder;
using ::testing::SizeIs;
using testing::TestStore;

constexpr std::size_t kChunk = kArtifactChunkBytes;

/// What can happen to a replica on a disk, each found by a get and healed.
struct Damage {
  const char* name;
  std::function<void(const std::filesystem::path& folder)> inflict;  ///< `folder` holds the files of the name
};

const std::vector<Damage>& damages() {
  const auto blob = [](const std::filesystem::path& folder) { return files_below(folder, ".blob").at(0); };
  const auto manifest = [](const std::filesystem::path& folder) { return files_below(folder, ".manifest").at(0); };
  static const std::vector<Damage> damages{
      {"first chunk", [=](const auto& folder) { flip_byte(blob(folder), 0); }},
      {"second chunk", [=](const auto& folder) { flip_byte(blob(folder), kChunk + 5); }},
      {"last byte", [=](const auto& folder) { flip_byte(blob(folder), 2 * kChunk + 9); }},
      {"truncated", [=](const auto& folder) { std::filesystem::resize_file(blob(folder), kChunk); }},
      {"longer", [=](const auto& folder) { std::filesystem::resize_file(blob(folder), 3 * kChunk); }},
      {"empty", [=](const auto& folder) { std::filesystem::resize_file(blob(folder), 0); }},
      {"blob gone", [=](const auto& folder) { std::filesystem::remove(blob(folder)); }},
      {"manifest altered", [=](const auto& folder) { flip_byte(manifest(folder), 60); }},
      {"manifest truncated", [=](const auto& folder) { std::filesystem::resize_file(manifest(folder), 30); }},
      {"manifest gone", [=](const auto& folder) { std::filesystem::remove(manifest(folder)); }},
      {"all gone", [](const auto& folder) { std::filesystem::remove_all(folder); }},
  };
  return damages;
}

class Healing : public ::testing::Test {
 protected:
  Healing() : test_(scratch_.path(), {"a", "b", "c"}), content_(content_of(1, 2 * kChunk + 10)) {
    version_ = test_.store.put("x", content_).info.version;
    owners_ = test_.store.placement("x");
  }
  std::filesystem::path replica(std::size_t rank) const { return test_.folder_of(owners_[rank]) / "artifacts" / "x"; }

  ScratchFolder scratch_;
  TestStore test_;
  const Bytes content_;
  Version version_;
  std::vector<std::string> owners_;
};

TEST_F(Healing, AGetFindsAnyDamageOfAReplicaAndHealsIt) {
  for (const Damage& damage : damages()) {
    for (const std::size_t rank : {0, 1}) {
      SCOPED_TRACE(std::string(damage.name) + " at rank " + std::to_string(rank));
      damage.inflict(replica(rank));
      const bool seen_by_listing =
          std::string_view(damage.name).starts_with("manifest") || std::string_view(damage.name) == "all gone";
      Bytes got;
      const ArtifactGetReport report =
          test_.store.get("x", [&](std::span<const std::byte> bytes) { got.insert(got.end(), bytes.begin(), bytes.end()); });
      EXPECT_TRUE(got == content_);
      EXPECT_THAT(report.problems, IsEmpty());
      if (rank == 0 || seen_by_listing) {
        EXPECT_THAT(report.healed, ElementsAre(owners_[rank]));
      } else {  // the second replica of a blob is not read; a verification finds what is wrong with it
        EXPECT_THAT(report.healed, IsEmpty());
        const ArtifactCheckReport found = test_.store.verify();
        EXPECT_EQ(found.damaged, 1u) << testing::describe(found);
        EXPECT_FALSE(found.ok());
        ASSERT_THAT(found.findings, SizeIs(1));
        EXPECT_EQ(found.findings[0].name, "x");
        EXPECT_EQ(found.findings[0].host, owners_[rank]);
        EXPECT_EQ(test_.store.repair().healed, 1u);
      }
      for (const std::string& owner : owners_) EXPECT_TRUE(testing::read_at(test_.host(owner), "x", version_) == content_);
      test_.store.repair();  // a blob without manifest is garbage
      expect_clean(test_.store);
    }
  }
}

TEST_F(Healing, AVerificationNamesWhatIsWrongAndARepairMendsIt) {
  for (const Damage& damage : damages()) {
    SCOPED_TRACE(damage.name);
    damage.inflict(replica(1));
    const ArtifactCheckReport found = test_.store.verify();
    EXPECT_FALSE(found.ok());
    EXPECT_EQ(found.damaged + found.missing, 1u) << testing::describe(found);
    EXPECT_EQ(found.artifacts, 1u);
    EXPECT_EQ(found.replicas, 1u);
    EXPECT_EQ(found.lost, 0u);
    EXPECT_EQ(found.healed, 0u);
    const ArtifactCheckReport repair = test_.store.repair();
    EXPECT_TRUE(repair.repaired()) << testing::describe(repair);
    EXPECT_EQ(repair.healed, 1u);
    expect_clean(test_.store);
  }
}

TEST_F(Healing, WhenEveryReplicaIsDamagedThatIsSaidAndNothingIsRemoved) {
  for (const auto& [suffix, at] : {std::pair(".blob", 3), std::pair(".manifest", 60)}) {
    SCOPED_TRACE(suffix);
    for (const std::size_t rank : {0, 1}) flip_byte(files_below(replica(rank), suffix).at(0), static_cast<std::uint64_t>(at));
    const auto files = files_below(scratch_.path());
    expect_error(ErrorCode::kDataLoss, {"'x'", "no whole replica", owners_[0] + ":", owners_[1] + ":"},
                 [&] { test_.store.get("x"); });
    for (const ArtifactCheckReport& report : {test_.store.verify(), test_.store.repair()}) {
      EXPECT_EQ(report.damaged, 2u) << testing::describe(report);
      EXPECT_EQ(report.lost, 1u);
      EXPECT_EQ(report.artifacts, 1u);
      EXPECT_FALSE(report.ok());
      EXPECT_FALSE(report.repaired());
    }
    EXPECT_EQ(files_below(scratch_.path()), files);
    for (const std::size_t rank : {0, 1}) flip_byte(files_below(replica(rank), suffix).at(0), static_cast<std::uint64_t>(at));
  }
  EXPECT_TRUE(test_.store.get("x") == content_);
  expect_clean(test_.store);
}

TEST_F(Healing, AManifestThatNobodyCanReadIsDataLossAndAPutMendsIt) {
  for (const std::size_t rank : {0, 1}) flip_byte(files_below(replica(rank), ".manifest").at(0), 60);
  expect_error(ErrorCode::kDataLoss, {"'x'"}, [&] { test_.store.find("x"); });
  ASSERT_THAT(test_.store.list(), SizeIs(1));
  EXPECT_EQ(test_.store.list()[0].kind, ArtifactKind::kDamaged);
  test_.store.put("x", bytes_of("again"));
  EXPECT_EQ(test_.store.get("x"), bytes_of("again"));
  expect_clean(test_.store);
}

TEST_F(Healing, TwoReplicasDamagedInDifferentChunksStillGiveTheContent) {
  flip_byte(files_below(replica(0), ".blob").at(0), kChunk + 1);  // gives chunk 0
  flip_byte(files_below(replica(1), ".blob").at(0), 1);           // gives chunks 1 and 2
  EXPECT_TRUE(test_.store.get("x") == content_);
}

TEST_F(Healing, AReplicaThatOnlyAStrangerHoldsIsFoundAndBroughtHome) {
  const std::string stranger = test_.stranger_of("x");
  ASSERT_TRUE(test_.store.copy("x", owners_[0], stranger));
  for (const std::size_t rank : {0, 1}) std::filesystem::remove_all(replica(rank));
  const ArtifactGetReport report = test_.store.get("x", [](std::span<const std::byte>) {});
  EXPECT_EQ(report.host, stranger);
  EXPECT_EQ(report.healed, owners_);
  const ArtifactCheckReport found = test_.store.verify();
  EXPECT_EQ(found.strangers, 1u);
  EXPECT_FALSE(found.ok());
  EXPECT_EQ(test_.store.repair().removed, 1u);
  expect_clean(test_.store);
  EXPECT_TRUE(test_.store.get("x") == content_);
}

TEST_F(Healing, AnOldReplicaOnAnOwnerIsBroughtUpToDate) {
  const auto old = scratch_.path() / "old";
  std::filesystem::copy(replica(1), old, std::filesystem::copy_options::recursive);
  test_.store.put("x", bytes_of("new"));
  std::filesystem::remove_all(replica(1));
  std::filesystem::copy(old, replica(1), std::filesystem::copy_options::recursive);  // a disk restored from a backup
  const ArtifactGetReport report = test_.store.get("x", [](std::span<const std::byte>) {});
  EXPECT_THAT(report.healed, ElementsAre(owners_[1]));
  EXPECT_EQ(test_.store.verify().superseded, 1u);
  EXPECT_EQ(test_.store.repair().removed, 1u);
  expect_clean(test_.store);
}

// ---- hosts out of reach

/// Hosts that can be taken out of reach.
class OutOfReach : public ::testing::Test {
 protected:
  OutOfReach() : store_(std::make_unique<ArtifactDistributor>()) {
    for (const char* id : {"a", "b", "c"}) {
      DirectoryArtifactHost::create(scratch_.path() / id, id);
      hosts_.push_back(std::make_shared<FaultyArtifactHost>(std::make_shared<DirectoryArtifactHost>(scratch_.path() / id)));
      store_->attach_node(hosts_.back());
    }
    owners_ = store_->placement("x");
  }
  FaultyArtifactHost& host(const std::string& id) {
    for (const auto& host : hosts_) {
      if (host->id() == id) return *host;
    }
    throw Error(ErrorCode::kInternal, id);
  }
  void restart() {
    store_ = std::make_unique<ArtifactDistributor>();
    for (const auto& host : hosts_) store_->attach_node(host);
  }

  ScratchFolder scratch_;
  std::vector<std::shared_ptr<FaultyArtifactHost>> hosts_;
  std::unique_ptr<ArtifactDistributor> store_;
  std::vector<std::string> owners_;
};

TEST_F(OutOfReach, OneOwnerIsEnoughForAPutAndTheOtherIsReported) {
  for (const std::size_t down : {0, 1}) {
    host(owners_[down]).fail();
    const std::string text = "without " + owners_[down];
    const ArtifactPutReport put = store_->put("x", bytes_of(text));
    EXPECT_THAT(put.replicas, ElementsAre(owners_[1 - down]));
    ASSERT_THAT(put.missed, SizeIs(1));
    EXPECT_EQ(put.missed[0].host, owners_[down]);
    EXPECT_THAT(put.missed[0].message, HasSubstr("as the test wants"));
    ASSERT_THAT(store_->missed(), SizeIs(1));
    EXPECT_EQ(store_->missed()[0].host, owners_[down]);

    const ArtifactGetReport got = store_->get("x", [](std::span<const std::byte>) {});
    ASSERT_THAT(got.problems, SizeIs(1));
    EXPECT_EQ(got.problems[0].host, owners_[down]);
    host(owners_[down]).heal();
    EXPECT_THAT(store_->get("x", [](std::span<const std::byte>) {}).healed, ElementsAre(owners_[down]));
    EXPECT_THAT(store_->missed(), IsEmpty());
    store_->repair();
    expect_clean(*store_);
  }
}

TEST_F(OutOfReach, WithoutAnOwnerAPutFailsAndShowsNothing) {
  store_->put("x", bytes_of("old"));
  for (const std::string& owner : owners_) host(owner).fail();
  expect_error(ErrorCode::kUnavailable, {"'x'", owners_[0] + ":", owners_[1] + ":"}, [&] { store_->put("x", bytes_of("new")); });
  expect_error(ErrorCode::kUnavailable, {"'x'", owners_[0] + ":", owners_[1] + ":"}, [&] { store_->get("x"); });
  expect_error(ErrorCode::kUnavailable, {"'x'"}, [&] { store_->erase("x"); });
  for (const std::string& owner : owners_) host(owner).heal();
  EXPECT_EQ(store_->get("x"), bytes_of("old"));
}

TEST_F(OutOfReach, AnOwnerThatMissedAPutDoesNotAnswerForTheOthers) {
  store_->put("x", bytes_of("old"));
  host(owners_[1]).fail();
  store_->put("x", bytes_of("new"));
  host(owners_[1]).heal();
  host(owners_[0]).fail();
  // It holds an older version, and would say so.
  for (const auto& call : std::vector<std::function<void()>>{[&] { store_->get("x"); }, [&] { store_->find("x"); }}) {
    expect_error(ErrorCode::kUnavailable, {"'x'", owners_[0] + ":"}, call);
  }
  const ArtifactCheckReport report = store_->repair();
  EXPECT_FALSE(report.repaired());
  EXPECT_EQ(report.removed, 0u) << "the older version is all that is in reach";
  host(owners_[0]).heal();
  EXPECT_EQ(store_->get("x"), bytes_of("new"));
  host(owners_[0]).fail();
  EXPECT_EQ(store_->get("x"), bytes_of("new")) << "it has been healed";
}

TEST_F(OutOfReach, AnOwnerThatMissedAnEraseDoesNotBringTheNameBack) {
  store_->put("x", bytes_of("old"));
  host(owners_[0]).fail();
  EXPECT_THAT(store_->erase("x").missed, SizeIs(1));
  host(owners_[0]).heal();
  expect_error(ErrorCode::kNotFound, {"erased"}, [&] { store_->get("x"); });
  host(owners_[1]).fail();
  expect_error(ErrorCode::kUnavailable, {"'x'"}, [&] { store_->get("x"); });
  EXPECT_FALSE(store_->repair().repaired());
  host(owners_[1]).heal();
  restart();  // what it knew is gone: the erase itself must hold
  expect_error(ErrorCode::kNotFound, {"erased"}, [&] { store_->get("x"); });
  EXPECT_THAT(store_->list(), IsEmpty());
  EXPECT_TRUE(store_->repair().repaired());
  for (const auto& host : hosts_) EXPECT_THAT(host->list(), IsEmpty());
}

TEST_F(OutOfReach, AnEraseOfANameThatASilentHostMayHoldIsWritten) {
  host(owners_[0]).fail();
  EXPECT_THAT(store_->erase("x").replicas, ElementsAre(owners_[1]));
  host(owners_[0]).heal();
  EXPECT_TRUE(store_->repair().repaired());
  for (const auto& host : hosts_) EXPECT_THAT(host->list(), IsEmpty());
}

TEST_F(OutOfReach, ARepairForgetsNoEraseAndRemovesNothingWhileAHostIsSilent) {
  store_->put("x", bytes_of("old"));
  store_->erase("x");
  for (const auto& silent : hosts_) {
    silent->fail();
    const ArtifactCheckReport report = store_->repair();
    EXPECT_FALSE(report.repaired());
    EXPECT_THAT(report.problems, Contains(::testing::Field(&ArtifactHostError::host, silent->id())));
    EXPECT_EQ(report.removed, 0u);
    silent->heal();
  }
  EXPECT_EQ(store_->repair().removed, 2u);
}

TEST_F(OutOfReach, NobodySaysThatANameIsNotThereWhileAnOwnerIsSilent) {
  host(owners_[0]).fail();
  expect_error(ErrorCode::kUnavailable, {"'x'", owners_[0] + ":"}, [&] { store_->get("x"); });
  host(owners_[0]).heal();
  expect_error(ErrorCode::kNotFound, {"'x'"}, [&] { store_->get("x"); });
}

TEST_F(OutOfReach, AListNamesTheHostsThatItLacks) {
  store_->put("x", bytes_of("x"));
  host(owners_[0]).fail();
  std::vector<ArtifactHostError> problems;
  EXPECT_THAT(store_->list("", &problems), SizeIs(1));
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].host, owners_[0]);
  EXPECT_THAT(store_->list(), SizeIs(1)) << "one silent host of two replicas hides no name";
  host(owners_[1]).fail();
  expect_error(ErrorCode::kUnavailable, {owners_[0] + ":", owners_[1] + ":"}, [&] { store_->list(); });
  EXPECT_THAT(store_->list("", &problems), IsEmpty());
  EXPECT_THAT(problems, SizeIs(3));
  for (const auto& host : hosts_) host->fail();
  expect_error(ErrorCode::kUnavailable, {"a:", "b:", "c:"}, [&] { store_->list("", &problems); });
}

TEST_F(OutOfReach, AGetGoesOnAtTheNextReplicaWhereTheFirstStopped) {
  const Bytes content = content_of(1, 3 * kChunk);
  store_->put("x", content);
  // versions, open, chunk 0, and then no more
  host(owners_[0]).set_fault({.after = 3});
  Bytes got;
  const ArtifactGetReport report =
      store_->get("x", [&](std::span<const std::byte> bytes) { got.insert(got.end(), bytes.begin(), bytes.end()); });
  EXPECT_TRUE(got == content);
  EXPECT_EQ(report.host, owners_[1]);
  ASSERT_THAT(report.problems, SizeIs(1));
  EXPECT_EQ(report.problems[0].host, owners_[0]);
  EXPECT_THAT(report.healed, IsEmpty());
}

TEST_F(OutOfReach, AFullDiskFailsThePutAndTheOldVersionStays) {
  store_->put("x", bytes_of("old"));
  for (std::uint64_t step = 1; step < 4; ++step) {  // stage, append, seal
    host(owners_[1]).set_fault({.after = step, .times = 1, .code = ErrorCode::kResourceExhausted});
    expect_error(ErrorCode::kResourceExhausted, {owners_[1] + ":"}, [&] { store_->put("x", bytes_of("new")); });
    EXPECT_EQ(host(owners_[1]).struck(), 1u) << step;
    EXPECT_EQ(store_->get("x"), bytes_of("old"));
    expect_clean(*store_);
  }
}

}  // namespace
}  // namespace annulus
