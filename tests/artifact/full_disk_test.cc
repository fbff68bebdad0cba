// Disks that are full at every block and inode in turn.
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>

#include "tests/artifact/test_store.h"

namespace annulus {
namespace {

using testing::Bytes;
using testing::bytes_of;
using testing::content_of;
using testing::expect_clean;
using testing::files_below;
using ::testing::IsEmpty;
using testing::ScratchFolder;
using testing::TestStore;

/// A limit on the size of files is a full disk that any process can have: EFBIG once SIGXFSZ is ignored. In a child, whose limits
/// are its own. Returns the child's exit code: 0 stored, 1 refused as a full disk, 2 anything else.
int put_with_limit(const std::filesystem::path& root, rlim_t limit, const Bytes& content) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{limit, limit};
    if (::setrlimit(RLIMIT_FSIZE, &small) != 0) ::_exit(2);
    try {
      TestStore test(root, {"a", "b"});
      test.store.put("x", content);
      ::_exit(0);
    } catch (const Error& e) {
      const bool right =
          e.code() == ErrorCode::kResourceExhausted && std::string(e.what()).find("free some space") != std::string::npos;
      ::_exit(right ? 1 : 2);
    } catch (...) {
      ::_exit(2);
    }
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

TEST(FullDisk, ALimitOnTheSizeOfFilesLosesNothing) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a", "b"});
  test.store.put("x", bytes_of("old"));
  const auto files = files_below(scratch.path());
  const Bytes content = content_of(1, kArtifactChunkBytes + 100);
  for (const rlim_t limit : {rlim_t{0}, rlim_t{1}, rlim_t{4096}, rlim_t{kArtifactChunkBytes}, rlim_t{kArtifactChunkBytes + 99}}) {
    EXPECT_EQ(put_with_limit(scratch.path(), limit, content), 1) << limit;
    EXPECT_EQ(test.store.get("x"), bytes_of("old")) << limit;
    EXPECT_EQ(files_below(scratch.path()), files) << limit;
  }
  EXPECT_EQ(put_with_limit(scratch.path(), kArtifactChunkBytes + 100, content), 0);
  EXPECT_TRUE(test.store.get("x") == content);
  expect_clean(test.store);
}

/// A host on a small disk of its own, beside one on a large disk.
class SmallDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(disk());
    if (::mount("tmpfs", disk().c_str(), "tmpfs", 0, "size=256k") != 0)
      GTEST_SKIP() << "this process may not mount: " << std::strerror(errno);
    mounted_ = true;
    DirectoryArtifactHost::create(disk() / "a", "a");
    std::filesystem::create_directories(scratch_.path() / "hosts");
    std::filesystem::create_directory_symlink(disk() / "a",
                                              scratch_.path() / "hosts" / "a");  // the path of the host itself may be one
    test_ = std::make_unique<TestStore>(scratch_.path() / "hosts", std::vector<std::string>{"a", "b"});
    test_->store.put("x/y", old_);
  }
  void TearDown() override {
    test_.reset();
    if (mounted_) ::umount2(disk().c_str(), MNT_DETACH);
  }
  std::filesystem::path disk() const { return scratch_.path() / "disk"; }
  void remount(const std::string& options) {
    ASSERT_EQ(::mount("tmpfs", disk().c_str(), "tmpfs", MS_REMOUNT, options.c_str()), 0) << options;
  }

  /// Puts a new version of x/y; returns whether it was stored. A refusal leaves all as it was.
  bool put(const Bytes& content) {
    const auto files = files_below(scratch_.path());
    try {
      test_->store.put("x/y", content);
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.code()), to_string(ErrorCode::kResourceExhausted)) << error.what();
      EXPECT_TRUE(std::string(error.what()).starts_with("a: ")) << error.what();
      EXPECT_EQ(test_->store.get("x/y"), old_);
      EXPECT_EQ(files_below(scratch_.path()), files);
      expect_clean(test_->store);
      return false;
    }
    EXPECT_TRUE(test_->store.get("x/y") == content);
    expect_clean(test_->store);
    return true;
  }

  ScratchFolder scratch_;
  bool mounted_ = false;
  const Bytes old_ = bytes_of("old");
  std::unique_ptr<TestStore> test_;
};

TEST_F(SmallDisk, FullAtWhicheverBlockLosesNothing) {
  const Bytes content = content_of(1, 40 << 10);
  int refused = 0;
  std::size_t size = 12;  // KiB: what is there, and then a block more each time
  for (;; size += 4) {
    SCOPED_TRACE(std::to_string(size) + " KiB");
    if (::mount("tmpfs", disk().c_str(), "tmpfs", MS_REMOUNT, ("size=" + std::to_string(size) + "k").c_str()) != 0)
      continue;  // less than is used
    if (put(content)) break;
    ++refused;
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(refused, 8) << "40 KiB are ten blocks";
}

TEST_F(SmallDisk, WithoutAFreeInodeLosesNothing) {
  int refused = 0;
  for (int inodes = 4;; ++inodes) {
    SCOPED_TRACE(std::to_string(inodes) + " inodes");
    if (::mount("tmpfs", disk().c_str(), "tmpfs", MS_REMOUNT, ("nr_inodes=" + std::to_string(inodes)).c_str()) != 0) continue;
    if (put(bytes_of("new"))) break;
    ++refused;
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GE(refused, 2) << "a blob and its manifest";
}

TEST_F(SmallDisk, WhatIsFreedCanBeUsedAgain) {
  const Bytes content = content_of(1, 150 << 10);
  EXPECT_TRUE(put(content));
  const auto put_other = [&] { test_->store.put("other", content); };
  testing::expect_error(ErrorCode::kResourceExhausted, {"a: ", "free some space"}, put_other);
  test_->store.erase("x/y");
  put_other();
  EXPECT_TRUE(test_->store.get("other") == content);
}

TEST_F(SmallDisk, AHealThatFindsNoRoomIsReportedAndTheGetServed) {
  const Bytes content = content_of(1, 150 << 10);
  ASSERT_TRUE(put(content));
  testing::flip_byte(files_below(disk(), ".blob").at(0), 5);  // a new replica needs room beside the damaged one
  for (int i = 0; i < 2; ++i) {
    Bytes got;
    const auto report =
        test_->store.get("x/y", [&](std::span<const std::byte> bytes) { got.insert(got.end(), bytes.begin(), bytes.end()); });
    EXPECT_TRUE(got == content);
    EXPECT_THAT(report.healed, IsEmpty());
    if (test_->store.placement("x/y")[0] != "a") continue;  // not read
    ASSERT_EQ(report.problems.size(), 1u);
    EXPECT_EQ(report.problems[0].host, "a");
  }
  EXPECT_FALSE(test_->store.repair().repaired());
  remount("size=1m");
  EXPECT_TRUE(test_->store.repair().repaired());
  expect_clean(test_->store);
}

}  // namespace
}  // namespace annulus
