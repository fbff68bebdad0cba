// Hosts in a folder of the test's own, and contents that say what they are.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "artifact/artifact_distributor.h"
#include "artifact/directory_artifact_host.h"
#include "tests/core/expect_error.h"

namespace annulus::testing {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

/// Random bytes that follow from the seed.
inline Bytes content_of(std::uint64_t seed, std::size_t size) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; i += 8) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, std::min<std::size_t>(8, size - i));
  }
  return bytes;
}

/// A folder that goes with the test. In memory where that can be had: no test here can tell whether a sync was one.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::string& of = "") {
    const std::filesystem::path memory = "/dev/shm";
    const std::filesystem::path parent = ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::path(::testing::TempDir());
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    std::string name =
        std::string("annulus_artifact_") + std::to_string(::getpid()) + "_" + of + test->test_suite_name() + "_" + test->name();
    std::replace(name.begin(), name.end(), '/', '_');
    path_ = parent / name;
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// The files below a folder that end so, sorted.
inline std::vector<std::filesystem::path> files_below(const std::filesystem::path& folder, std::string_view suffix = "") {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_directory() && entry.path().filename().string().ends_with(suffix)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// Alters one byte of a file.
inline void flip_byte(const std::filesystem::path& path, std::uint64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char old = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(old ^ 0x40));
  ASSERT_TRUE(file.good()) << path;
}

/// What a host of its own object says that it holds.
inline Bytes read_at(ArtifactHost& host, std::string_view name, Version version) {
  const auto reader = host.open(name, version);
  Bytes content;
  Bytes buffer(kArtifactChunkBytes);
  for (std::size_t i = 0; i < reader->manifest().chunks.size(); ++i) {
    const auto chunk = reader->read_chunk(i, buffer);
    content.insert(content.end(), chunk.begin(), chunk.end());
  }
  return content;
}

inline std::string describe(const ArtifactCheckReport& report) {
  std::string text = std::to_string(report.damaged) + " damaged, " + std::to_string(report.missing) + " missing, " +
                     std::to_string(report.strangers) + " strangers, " + std::to_string(report.superseded) + " superseded, " +
                     std::to_string(report.lost) + " lost";
  for (const ArtifactFinding& finding : report.findings)
    text += "\n  " + finding.name + " at " + finding.host + ": " + finding.what;
  for (const ArtifactHostError& problem : report.problems) text += "\n  " + problem.host + ": " + problem.message;
  return text;
}

/// A verification of a store in which nothing is left to do.
inline void expect_clean(ArtifactDistributor& store) {
  const ArtifactCheckReport report = store.verify();
  EXPECT_TRUE(report.ok()) << describe(report);
  EXPECT_EQ(report.superseded, 0u) << describe(report);
}

/// Directory hosts and a distributor over them. Opens what is there already, so that a second one is a restart.
struct TestStore {
  TestStore(const std::filesystem::path& folder, std::vector<std::string> ids, ArtifactDistributorOptions options = {})
      : root(folder), store(options) {
    for (const std::string& id : ids) {
      if (!std::filesystem::exists(root / id)) DirectoryArtifactHost::create(root / id, id);
      hosts.push_back(std::make_shared<DirectoryArtifactHost>(root / id));
      store.attach_node(hosts.back());
    }
  }

  std::filesystem::path folder_of(std::string_view id) const { return root / id; }
  DirectoryArtifactHost& host(std::string_view id) {
    return **std::find_if(hosts.begin(), hosts.end(), [&](const auto& host) { return host->id() == id; });
  }
  /// A host that owns no replica of the name.
  std::string stranger_of(std::string_view name) const {
    const auto owners = store.placement(name);
    for (const auto& host : hosts) {
      if (std::find(owners.begin(), owners.end(), host->id()) == owners.end()) return host->id();
    }
    return "";
  }

  std::filesystem::path root;
  std::vector<std::shared_ptr<DirectoryArtifactHost>> hosts;
  ArtifactDistributor store;
};

}  // namespace annulus::testing
