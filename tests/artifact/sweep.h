// Stories that are stopped at every step, and what must hold after each.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "tests/artifact/test_store.h"

namespace annulus::testing {

/// Contents of names; nothing: erased, or never there.
using Contents = std::map<std::string, std::optional<Bytes>>;

/// Something that is done to a store, to be stopped at each of its steps.
struct Story {
  std::string name;
  std::function<void(TestStore&)> prepare;        ///< nothing fails yet
  std::function<void(ArtifactDistributor&)> act;  ///< what is stopped
  Contents before;                                ///< what can be read before `act`
  Contents after;                                 ///< and after it
  bool damaged = false;                           ///< `prepare` leaves replicas that are not whole
};

inline const std::vector<std::string>& sweep_hosts() {
  static const std::vector<std::string> ids{"a", "b", "c"};
  return ids;
}

inline void PrintTo(const Story& story, std::ostream* out) { *out << story.name; }

/// More than a chunk, so that there are steps between chunks.
inline Bytes big(std::uint64_t seed) { return content_of(seed, kArtifactChunkBytes + 99); }

/// A store that is prepared once, and cloned for each step: by links, because files of hosts are replaced and never written again.
class PreparedStory {
 public:
  explicit PreparedStory(const Story& story) {
    TestStore store(scratch_.path() / "prepared", sweep_hosts());
    story.prepare(store);
  }
  std::filesystem::path clone() const {
    const std::filesystem::path copy = scratch_.path() / "clone";
    std::filesystem::remove_all(copy);
    std::filesystem::copy(scratch_.path() / "prepared", copy,
                          std::filesystem::copy_options::recursive | std::filesystem::copy_options::create_hard_links);
    return copy;
  }

 private:
  ScratchFolder scratch_;
};

/// The stories of one store of three hosts, two replicas.
std::vector<Story> stories();

/// Reads every name that a story knows.
inline Contents read_all(ArtifactDistributor& store, const Story& story) {
  Contents read;
  for (const auto& [name, content] : story.before) {
    try {
      read[name] = store.get(name);
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.code()), to_string(ErrorCode::kNotFound)) << error.what();
      read[name] = std::nullopt;
    }
  }
  return read;
}

/// Every version that a host shows is whole.
inline void expect_whole_versions(const std::filesystem::path& root) {
  for (const std::string& id : sweep_hosts()) {
    DirectoryArtifactHost host(root / id);
    for (const ArtifactInfo& info : host.list()) {
      ASSERT_NE(info.kind, ArtifactKind::kDamaged) << id << ' ' << info.name;
      if (info.kind == ArtifactKind::kErased) continue;
      ASSERT_EQ(read_at(host, info.name, info.version).size(), info.bytes) << id << ' ' << info.name;
    }
  }
}

/// Which of the two states a store is in. Fails the test if it is in neither, or parts of both.
inline void expect_before_or_after(ArtifactDistributor& store, const Story& story, bool after_only, bool before_only) {
  const Contents read = read_all(store, story);
  const bool is_before = read == story.before;
  const bool is_after = read == story.after;
  if (after_only) {
    EXPECT_TRUE(is_after) << "it was done, and does not show";
  } else if (before_only) {
    EXPECT_TRUE(is_before) << "it failed, and shows";
  } else {
    EXPECT_TRUE(is_before || is_after) << "neither before nor after";
  }
}

/// A repair leaves a clean store, with the same contents, and no file that belongs to nobody.
inline void expect_repairs(ArtifactDistributor& store, const Story& story, const std::filesystem::path& root) {
  const Contents read = read_all(store, story);
  const ArtifactCheckReport report = store.repair();
  EXPECT_TRUE(report.repaired()) << describe(report);
  expect_clean(store);
  EXPECT_TRUE(read_all(store, story) == read) << "the repair changed what can be read";
  for (const std::string& id : sweep_hosts()) {
    const auto blobs = files_below(root / id / "artifacts", ".blob");
    const auto manifests = files_below(root / id / "artifacts", ".manifest");
    EXPECT_EQ(files_below(root / id / "artifacts").size(), blobs.size() + manifests.size()) << id << " keeps remains of dead puts";
    for (std::filesystem::path blob : blobs) EXPECT_TRUE(std::filesystem::exists(blob.replace_extension(".manifest"))) << blob;
  }
}

}  // namespace annulus::testing
