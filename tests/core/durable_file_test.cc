#include "core/durable_file.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "tests/core/expect_error.h"

namespace annulus {
namespace {

using testing::expect_error;

/// A folder of this test's own.
class DurableFile : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(::testing::TempDir()) / ("annulus_core_" + std::to_string(::getpid()) + "_" + test->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::size_t files() const { return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_), {})); }

  std::filesystem::path folder_;
};

TEST_F(DurableFile, GivesBackWhatWasWritten) {
  const std::filesystem::path path = folder_ / "a";
  for (const std::string& bytes : {std::string("first"), std::string(3000000, '\xff'), std::string(), std::string("a\0b", 3)}) {
    write_file_atomically(path, bytes);
    EXPECT_EQ(read_file(path), bytes);
    EXPECT_EQ(files(), 1U) << "a temporary file stayed behind";
  }
}

TEST_F(DurableFile, WorksInTheCurrentFolder) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_);
  write_file_atomically("plain_name", "x");
  EXPECT_EQ(read_file("plain_name"), "x");
  std::filesystem::current_path(before);
}

TEST_F(DurableFile, ReportsWhatIsNotThere) {
  expect_error(ErrorCode::kNotFound, {"absent", "No such file"}, [&] { read_file(folder_ / "absent"); });
  expect_error(ErrorCode::kNotFound, {"nowhere"}, [&] { write_file_atomically(folder_ / "nowhere" / "a", "x"); });
}

TEST_F(DurableFile, ReportsAFolderInTheFilesPlace) {
  std::filesystem::create_directories(folder_ / "taken" / "full");
  expect_error(ErrorCode::kUnavailable, {"taken"}, [&] { write_file_atomically(folder_ / "taken", "x"); });
  expect_error(ErrorCode::kUnavailable, {"taken"}, [&] { read_file(folder_ / "taken"); });
  EXPECT_EQ(files(), 1U);
}

TEST_F(DurableFile, KeepsTheOldFileWhenTheDiskIsFull) {
  // A limit on the size of files is a full disk that a test can have: EFBIG once SIGXFSZ is ignored. In a child process,
  // whose limits are its own.
  const std::filesystem::path path = folder_ / "a";
  write_file_atomically(path, "old");
  const std::string big(1 << 16, 'n');
  for (const rlim_t limit : {rlim_t{0}, rlim_t{1}, rlim_t{4096}, rlim_t{65535}, rlim_t{65536}}) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit small{limit, limit};
      if (::setrlimit(RLIMIT_FSIZE, &small) != 0) ::_exit(9);
      try {
        write_file_atomically(path, big);
        ::_exit(0);
      } catch (const Error& e) {
        const bool right =
            e.code() == ErrorCode::kResourceExhausted && std::string(e.what()).find("free some space") != std::string::npos;
        ::_exit(right ? 1 : 2);
      }
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), limit == big.size() ? 0 : 1) << limit;
    EXPECT_EQ(read_file(path), limit == big.size() ? big : "old") << limit;
    EXPECT_EQ(files(), 1U) << limit;
  }
}

TEST_F(DurableFile, IsAlwaysOneOfTheWholeVersionsToAReader) {
  const std::filesystem::path path = folder_ / "a";
  const auto version = [](int i) { return std::string(20000, static_cast<char>('a' + i)); };
  write_file_atomically(path, version(0));
  std::vector<std::thread> writers;
  for (int w = 0; w < 2; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < 25; ++i) write_file_atomically(path, version(1 + (2 * i + w) % 20));
    });
  }
  for (int i = 0; i < 200; ++i) {
    const std::string seen = read_file(path);
    ASSERT_EQ(seen.size(), 20000U);
    ASSERT_EQ(seen, std::string(20000, seen[0]));
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(files(), 1U);
}

}  // namespace
}  // namespace annulus
