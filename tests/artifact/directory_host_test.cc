// What a directory host promises: names, files, damage, garbage.
#include <fcntl.h>
#include <sys/stat.h>

#include "artifact/directory_artifact_host.h"
#include "tests/artifact/test_store.h"

namespace annulus {
namespace {

using testing::Bytes;
using testing::bytes_of;
using testing::content_of;
using ::testing::ElementsAre;
using testing::expect_error;
using testing::files_below;
using testing::flip_byte;
using ::testing::IsEmpty;
using testing::read_at;
using testing::ScratchFolder;
using ::testing::SizeIs;

constexpr Version kFirst{std::uint64_t{1} << 40, 3};
constexpr Version kSecond{(std::uint64_t{1} << 40) + 1, 0};

/// Manifests as the distributor makes them are tested through it; here one is made by putting to a scratch store.
ArtifactManifest manifest_of(std::string_view name, Version version, const Bytes& content) {
  ScratchFolder scratch("manifest");
  testing::TestStore store(scratch.path(), {"m"});
  store.store.put("m", content);
  auto host = store.hosts[0];
  const auto reader = host->open("m", host->versions("m").at(0).version);
  ArtifactManifest manifest = reader->manifest();
  manifest.info.name = name;
  manifest.info.version = version;
  return manifest;
}

void put(ArtifactHost& host, std::string_view name, Version version, const Bytes& content) {
  const auto writer = host.stage(name, version);
  writer->append(content);
  writer->seal(manifest_of(name, version, content));
  writer->commit();
}

class DirectoryHost : public ::testing::Test {
 protected:
  DirectoryHost() : root_(scratch_.path() / "host") {
    DirectoryArtifactHost::create(root_, "h");
    host_ = std::make_unique<DirectoryArtifactHost>(root_);
  }
  std::filesystem::path artifacts() const { return root_ / "artifacts"; }

  ScratchFolder scratch_;
  std::filesystem::path root_;
  std::unique_ptr<DirectoryArtifactHost> host_;
};

TEST_F(DirectoryHost, KeepsVersionsNewestFirst) {
  EXPECT_EQ(host_->id(), "h");
  EXPECT_EQ(host_->folder(), root_);
  EXPECT_THAT(host_->versions("x"), IsEmpty());
  put(*host_, "x", kSecond, bytes_of("two"));
  put(*host_, "x", kFirst, bytes_of("one"));
  put(*host_, "a/b", kFirst, bytes_of("ab"));
  const auto versions = host_->versions("x");
  ASSERT_THAT(versions, SizeIs(2));
  EXPECT_EQ(versions[0], manifest_of("x", kSecond, bytes_of("two")).info);
  EXPECT_EQ(versions[1].version, kFirst);
  const auto all = host_->list();
  ASSERT_THAT(all, SizeIs(3));
  EXPECT_EQ(all[0].name, "a/b");
  EXPECT_EQ(all[1], versions[1]);
  EXPECT_EQ(all[2], versions[0]);
  EXPECT_EQ(read_at(*host_, "x", kFirst), bytes_of("one"));
  // Another object, as in another process.
  EXPECT_EQ(DirectoryArtifactHost(root_).list(), all);
}

TEST_F(DirectoryHost, ShowsAVersionOnlyOnceItIsCommitted) {
  const Bytes content = content_of(1, 100);
  const auto writer = host_->stage("x", kFirst);
  EXPECT_THAT(host_->versions("x"), IsEmpty());
  writer->append(std::span(content).first(60));
  writer->append(std::span(content).subspan(60));
  writer->seal(manifest_of("x", kFirst, content));
  EXPECT_THAT(host_->versions("x"), IsEmpty());
  expect_error(ErrorCode::kNotFound, {"'h'", "'x'"}, [&] { host_->open("x", kFirst); });
  writer->commit();
  EXPECT_EQ(read_at(*host_, "x", kFirst), content);
}

TEST_F(DirectoryHost, RefusesCallsOfAWriterOutOfOrder) {
  const auto manifest = manifest_of("x", kFirst, bytes_of("x"));
  const auto writer = host_->stage("x", kFirst);
  expect_error(ErrorCode::kFailedPrecondition, {"commit", "'x'"}, [&] { writer->commit(); });
  expect_error(ErrorCode::kInvalidArgument, {"1 bytes", "0 bytes"}, [&] { writer->seal(manifest); });
  writer->append(bytes_of("x"));
  auto other = manifest;
  other.info.version = kSecond;
  expect_error(ErrorCode::kInvalidArgument, {"'x'"}, [&] { writer->seal(other); });
  writer->seal(manifest);
  expect_error(ErrorCode::kFailedPrecondition, {"append", "'x'"}, [&] { writer->append(bytes_of("y")); });
  expect_error(ErrorCode::kFailedPrecondition, {"seal", "'x'"}, [&] { writer->seal(manifest); });
  writer->commit();
  expect_error(ErrorCode::kFailedPrecondition, {"commit", "'x'"}, [&] { writer->commit(); });
}

TEST_F(DirectoryHost, AWriterThatIsLetGoLeavesNothing) {
  for (const bool sealed : {false, true}) {
    const auto writer = host_->stage("deep/er/x", kFirst);
    writer->append(bytes_of("x"));
    if (sealed) writer->seal(manifest_of("deep/er/x", kFirst, bytes_of("x")));
  }
  EXPECT_TRUE(std::filesystem::is_empty(artifacts()));
}

TEST_F(DirectoryHost, TheSameVersionMayBeStagedTwice) {
  const auto manifest = manifest_of("x", kFirst, bytes_of("x"));
  const auto one = host_->stage("x", kFirst);
  const auto other = host_->stage("x", kFirst);
  for (const auto& writer : {one.get(), other.get()}) {
    writer->append(bytes_of("x"));
    writer->seal(manifest);
    writer->commit();
  }
  EXPECT_EQ(read_at(*host_, "x", kFirst), bytes_of("x"));
  EXPECT_THAT(files_below(artifacts()), SizeIs(2));
}

TEST_F(DirectoryHost, AReaderReadsOnWhenItsVersionIsRemoved) {
  const Bytes content = content_of(1, kArtifactChunkBytes + 10);
  put(*host_, "x", kFirst, content);
  const auto reader = host_->open("x", kFirst);
  Bytes buffer(kArtifactChunkBytes);
  ASSERT_EQ(reader->read_chunk(0, buffer).size(), kArtifactChunkBytes);
  host_->remove("x", kFirst);
  EXPECT_THAT(host_->versions("x"), IsEmpty());
  const auto last = reader->read_chunk(1, buffer);
  EXPECT_TRUE(std::equal(last.begin(), last.end(), content.begin() + kArtifactChunkBytes, content.end()));
  expect_error(ErrorCode::kInvalidArgument, {"chunk 2"}, [&] { reader->read_chunk(2, buffer); });
  expect_error(ErrorCode::kInvalidArgument, {"buffer of 9 bytes", "10"},
               [&] { reader->read_chunk(1, std::span(buffer).first(9)); });
}

TEST_F(DirectoryHost, RemovesAVersionAndTheFoldersThatItLeavesEmpty) {
  put(*host_, "a/b/c", kFirst, bytes_of("1"));
  put(*host_, "a/b/c", kSecond, bytes_of("2"));
  put(*host_, "a/d", kFirst, bytes_of("3"));
  host_->remove("a/b/c", kFirst);
  EXPECT_THAT(host_->versions("a/b/c"), SizeIs(1));
  host_->remove("a/b/c", kSecond);
  EXPECT_FALSE(std::filesystem::exists(artifacts() / "a" / "b"));
  EXPECT_TRUE(std::filesystem::exists(artifacts() / "a" / "d"));
  host_->remove("a/d", kFirst);
  EXPECT_TRUE(std::filesystem::is_empty(artifacts()));
  host_->remove("a/d", kFirst);  // there is none
}

TEST_F(DirectoryHost, AnEraseIsAVersionWithoutABlob) {
  const auto writer = host_->stage("x", kFirst);
  writer->seal({.info = {.name = "x", .version = kFirst, .kind = ArtifactKind::kErased, .bytes = 0, .sha256 = {}}, .chunks = {}});
  writer->commit();
  ASSERT_THAT(host_->versions("x"), SizeIs(1));
  EXPECT_EQ(host_->versions("x")[0].kind, ArtifactKind::kErased);
  EXPECT_THAT(files_below(artifacts()), SizeIs(1));
  expect_error(ErrorCode::kNotFound, {"no blob", "'x'"}, [&] { host_->open("x", kFirst); });
}

// ---- names

TEST_F(DirectoryHost, RefusesEveryNameThatWouldLeaveItsFolder) {
  const std::vector<std::pair<std::string, std::string>> bad{{"", "empty"},
                                                             {"/", "absolute"},
                                                             {"/etc/passwd", "absolute"},
                                                             {"..", "'..'"},
                                                             {"../x", "'..'"},
                                                             {"a/../../x", "'..'"},
                                                             {"a/..", "'..'"},
                                                             {".", "'.'"},
                                                             {"./x", "'.'"},
                                                             {"a/./b", "'.'"},
                                                             {"a//b", "empty part"},
                                                             {"a/", "empty part"},
                                                             {"@host.json", "'@'"},
                                                             {"a/@x", "'@'"},
                                                             {std::string("a\0b", 3), "NUL"},
                                                             {std::string(201, 'x'), "201 bytes"},
                                                             {std::string(1025, 'x'), "1025 bytes"}};
  for (const auto& entry : bad) {
    const std::string& name = entry.first;
    const std::string& why = entry.second;
    SCOPED_TRACE(name);
    for (const auto& call : std::vector<std::function<void()>>{
             [&] { host_->versions(name); }, [&] { host_->stage(name, kFirst); }, [&] { host_->open(name, kFirst); },
             [&] { host_->remove(name, kFirst); }, [&] { validate_artifact_name(name); }}) {
      expect_error(ErrorCode::kInvalidArgument, {why}, call);
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(artifacts()));
  for (const std::string& good :
       {std::string("a"), std::string("..."), std::string(".a"), std::string("a@b"), std::string(200, 'x')}) {
    validate_artifact_name(good);
  }
  std::string longest;  // 1024 bytes in parts
  while (longest.size() < 1022) longest += "x/";
  longest += "xx";
  put(*host_, longest, kFirst, bytes_of("deep"));
  EXPECT_EQ(read_at(*host_, longest, kFirst), bytes_of("deep"));
  EXPECT_EQ(host_->list().at(0).name, longest);
  host_->remove(longest, kFirst);
  EXPECT_TRUE(std::filesystem::is_empty(artifacts()));
}

TEST_F(DirectoryHost, FollowsNoSymbolicLinkOnTheWayToAName) {
  const auto outside = scratch_.path() / "outside";
  std::filesystem::create_directories(outside / "sub");
  put(*host_, "inside/x", kFirst, bytes_of("x"));
  std::filesystem::create_directory_symlink(outside, artifacts() / "link");
  std::filesystem::create_directory_symlink(artifacts() / "inside", artifacts() / "inner");  // not even inside
  std::filesystem::create_directory_symlink(outside, artifacts() / "inside" / "deep");
  for (const std::string name : {"link", "link/x", "link/sub/x", "inner/x", "inside/deep/x"}) {
    SCOPED_TRACE(name);
    for (const auto& call :
         std::vector<std::function<void()>>{[&] { host_->versions(name); }, [&] { host_->stage(name, kFirst); },
                                            [&] { host_->open(name, kFirst); }, [&] { host_->remove(name, kFirst); }}) {
      expect_error(ErrorCode::kInvalidArgument, {"symbolic link"}, call);
    }
  }
  EXPECT_THAT(files_below(outside), IsEmpty());
  EXPECT_THAT(host_->list(), SizeIs(1));
  EXPECT_EQ(host_->collect_garbage(), 0u);
}

TEST_F(DirectoryHost, FollowsNoSymbolicLinkInPlaceOfAFile) {
  put(*host_, "x", kFirst, bytes_of("x"));
  const auto blob = files_below(artifacts(), ".blob").at(0);
  const auto manifest = files_below(artifacts(), ".manifest").at(0);
  std::filesystem::rename(blob, scratch_.path() / "blob");
  std::filesystem::create_symlink(scratch_.path() / "blob", blob);
  expect_error(ErrorCode::kDataLoss, {blob.string(), "symbolic link"}, [&] { host_->open("x", kFirst); });
  // It is replaced, and what it pointed to is not touched.
  put(*host_, "x", kFirst, bytes_of("x"));
  EXPECT_EQ(read_at(*host_, "x", kFirst), bytes_of("x"));
  EXPECT_TRUE(std::filesystem::is_regular_file(std::filesystem::symlink_status(blob)));
  EXPECT_TRUE(std::filesystem::exists(scratch_.path() / "blob"));

  std::filesystem::rename(manifest, scratch_.path() / "manifest");
  std::filesystem::create_symlink(scratch_.path() / "manifest", manifest);
  EXPECT_EQ(host_->versions("x").at(0).kind, ArtifactKind::kDamaged);
  std::filesystem::remove(manifest);
  ASSERT_EQ(::mkfifo(manifest.c_str(), 0600), 0);  // it must not wait for a writer
  EXPECT_EQ(host_->versions("x").at(0).kind, ArtifactKind::kDamaged);
}

TEST_F(DirectoryHost, RefusesAFileInPlaceOfAFolder) {
  std::ofstream(artifacts() / "file") << "not ours";
  expect_error(ErrorCode::kInvalidArgument, {"file"}, [&] { host_->stage("file/x", kFirst); });
  EXPECT_THAT(host_->list(), IsEmpty());
}

// ---- the folder itself

TEST_F(DirectoryHost, IsMadeOnceAndOpenedOften) {
  expect_error(ErrorCode::kAlreadyExists, {root_.string(), "@host.json"}, [&] { DirectoryArtifactHost::create(root_, "h"); });
  expect_error(ErrorCode::kNotFound, {"@host.json", "mounted"}, [&] { DirectoryArtifactHost(scratch_.path() / "nothing"); });
  std::filesystem::create_directories(scratch_.path() / "empty");
  expect_error(ErrorCode::kNotFound, {"@host.json", "mounted"}, [&] { DirectoryArtifactHost(scratch_.path() / "empty"); });
  std::filesystem::create_directories(scratch_.path() / "was" / "artifacts" / "model");
  expect_error(ErrorCode::kAlreadyExists, {"artifacts"}, [&] { DirectoryArtifactHost::create(scratch_.path() / "was", "h"); });
  std::filesystem::create_directories(scratch_.path() / "half" / "artifacts");  // of a process that died while it made one
  DirectoryArtifactHost::create(scratch_.path() / "half", "h");
  EXPECT_EQ(DirectoryArtifactHost(scratch_.path() / "half").id(), "h");
  std::ofstream(scratch_.path() / "file") << "x";
  expect_error(ErrorCode::kUnavailable, {"file"}, [&] { DirectoryArtifactHost::create(scratch_.path() / "file" / "h", "h"); });
  for (const std::string& id : {std::string(), std::string(1025, 'i')}) {
    expect_error(ErrorCode::kInvalidArgument, {std::to_string(id.size()) + " bytes"},
                 [&] { DirectoryArtifactHost::create(scratch_.path() / "new", id); });
  }
  for (const std::string& id : {std::string("\xff/\"\\x"), std::string(1024, 'i')}) {
    const auto folder = scratch_.path() / ("id" + std::to_string(id.size()));
    DirectoryArtifactHost::create(folder, id);
    EXPECT_EQ(DirectoryArtifactHost(folder).id(), id);
  }
}

TEST_F(DirectoryHost, RefusesADamagedOrNewerMarker) {
  const auto marker = root_ / "@host.json";
  const auto size = std::filesystem::file_size(marker);
  for (std::uint64_t at = 0; at < size; ++at) {
    flip_byte(marker, at);
    EXPECT_THROW(DirectoryArtifactHost{root_}, Error) << at;
    flip_byte(marker, at);
  }
  EXPECT_EQ(DirectoryArtifactHost(root_).id(), "h");
  std::ofstream(marker) << R"({"annulus_artifact_host":2,"id":"h"})";
  expect_error(ErrorCode::kUnimplemented, {"version 2", "up to 1"}, [&] { DirectoryArtifactHost{root_}; });
}

TEST_F(DirectoryHost, IsOutOfReachWhenItsFolderIsGoneOrAnothers) {
  put(*host_, "x", kFirst, bytes_of("x"));
  const auto expect_unavailable = [&] {
    for (const auto& call : std::vector<std::function<void()>>{
             [&] { host_->versions("x"); }, [&] { host_->list(); }, [&] { host_->stage("x", kSecond); },
             [&] { host_->open("x", kFirst); }, [&] { host_->remove("x", kFirst); }, [&] { host_->collect_garbage(); }}) {
      expect_error(ErrorCode::kUnavailable, {"host"}, call);
    }
  };
  const auto away = scratch_.path() / "away";
  std::filesystem::rename(root_, away);
  expect_unavailable();
  std::filesystem::create_directories(root_);  // as the mount point of a disk that is not mounted
  expect_unavailable();
  std::filesystem::remove_all(root_);
  DirectoryArtifactHost::create(root_, "another");
  expect_unavailable();
  std::filesystem::remove_all(root_);
  std::filesystem::rename(away, root_);
  EXPECT_EQ(read_at(*host_, "x", kFirst), bytes_of("x"));
  std::filesystem::rename(artifacts(), root_ / "renamed");
  expect_unavailable();
}

TEST_F(DirectoryHost, CommitsNothingToAFolderThatWentAwayMeanwhile) {
  const auto writer = host_->stage("x", kFirst);
  writer->append(bytes_of("x"));
  writer->seal(manifest_of("x", kFirst, bytes_of("x")));
  std::filesystem::rename(root_, scratch_.path() / "away");
  expect_error(ErrorCode::kUnavailable, {root_.string()}, [&] { writer->commit(); });
  std::filesystem::rename(scratch_.path() / "away", root_);
  EXPECT_THAT(host_->versions("x"), IsEmpty());
}

// ---- damage

TEST_F(DirectoryHost, DetectsEveryAlteredByteOfAManifest) {
  put(*host_, "x", kFirst, bytes_of("content"));
  const auto manifest = files_below(artifacts(), ".manifest").at(0);
  const auto size = std::filesystem::file_size(manifest);
  ASSERT_GT(size, 200u);
  for (std::uint64_t at = 0; at < size; ++at) {
    flip_byte(manifest, at);
    EXPECT_EQ(host_->versions("x").at(0).kind, ArtifactKind::kDamaged) << at;
    expect_error(ErrorCode::kDataLoss, {manifest.string()}, [&] { host_->open("x", kFirst); });
    flip_byte(manifest, at);
  }
  for (const std::uint64_t shorter : {size - 1, size / 2, std::uint64_t{0}}) {
    std::filesystem::resize_file(manifest, shorter);
    EXPECT_EQ(host_->versions("x").at(0).kind, ArtifactKind::kDamaged) << shorter;
  }
  host_->remove("x", kFirst);
  EXPECT_TRUE(std::filesystem::is_empty(artifacts()));
}

TEST_F(DirectoryHost, DetectsTheManifestOfAnotherNameOrVersion) {
  put(*host_, "x", kFirst, bytes_of("x"));
  put(*host_, "y", kFirst, bytes_of("y"));
  put(*host_, "x", kSecond, bytes_of("z"));
  const auto of_x = files_below(artifacts() / "x", ".manifest");
  std::filesystem::copy_file(of_x.at(0), files_below(artifacts() / "y", ".manifest").at(0),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(host_->versions("y").at(0).kind, ArtifactKind::kDamaged);
  std::filesystem::copy_file(of_x.at(0), of_x.at(1), std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(host_->versions("x").at(0).kind, ArtifactKind::kDamaged);
  EXPECT_EQ(host_->versions("x").at(1).kind, ArtifactKind::kBlob);
}

TEST_F(DirectoryHost, DetectsDamageInEachChunkOfABlob) {
  const Bytes content = content_of(1, 2 * kArtifactChunkBytes + 100);
  put(*host_, "x", kFirst, content);
  const auto blob = files_below(artifacts(), ".blob").at(0);
  Bytes buffer(kArtifactChunkBytes);
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{kArtifactChunkBytes - 1}, std::uint64_t{kArtifactChunkBytes},
                                 std::uint64_t{2 * kArtifactChunkBytes}, std::uint64_t{content.size() - 1}}) {
    flip_byte(blob, at);
    const auto reader = host_->open("x", kFirst);
    for (std::size_t chunk = 0; chunk < 3; ++chunk) {
      if (chunk == at / kArtifactChunkBytes) {
        expect_error(ErrorCode::kDataLoss, {blob.string(), "chunk " + std::to_string(chunk)},
                     [&] { reader->read_chunk(chunk, buffer); });
      } else {
        reader->read_chunk(chunk, buffer);
      }
    }
    flip_byte(blob, at);
  }
  const auto reader = host_->open("x", kFirst);
  std::filesystem::resize_file(blob, content.size() - 1);  // while it is open
  expect_error(ErrorCode::kDataLoss, {blob.string(), "truncated", "99 bytes"}, [&] { reader->read_chunk(2, buffer); });
  expect_error(ErrorCode::kDataLoss, {blob.string(), std::to_string(content.size() - 1)}, [&] { host_->open("x", kFirst); });
  std::filesystem::remove(blob);
  expect_error(ErrorCode::kDataLoss, {blob.string(), "missing"}, [&] { host_->open("x", kFirst); });
}

// ---- garbage

TEST_F(DirectoryHost, CollectsWhatDeadProcessesLeftAndNothingElse) {
  put(*host_, "x", kFirst, bytes_of("x"));
  std::filesystem::create_directories(artifacts() / "dead" / "er");
  std::filesystem::create_directories(artifacts() / "hollow" / "er");
  const std::string digits = "@0000000000000001-00000000";
  for (const std::string& name :
       {digits + ".4711-0.part", digits + ".4711-0.manifest.part", digits + ".4711-1.manifest.part", digits + ".blob"}) {
    std::ofstream(artifacts() / "dead" / "er" / name) << "rest";
  }
  std::ofstream(artifacts() / "x" / "alien") << "not ours";
  const auto live = host_->stage("dead/er", kSecond);
  live->append(bytes_of("live"));
  EXPECT_THAT(host_->list(), SizeIs(1));
  // In another object, as in another process.
  EXPECT_EQ(DirectoryArtifactHost(root_).collect_garbage(), 3u);
  EXPECT_FALSE(std::filesystem::exists(artifacts() / "hollow"));
  EXPECT_THAT(files_below(artifacts() / "dead"), SizeIs(1)) << "the live one";
  live->seal(manifest_of("dead/er", kSecond, bytes_of("live")));
  EXPECT_EQ(host_->collect_garbage(), 0u);
  live->commit();
  EXPECT_EQ(read_at(*host_, "dead/er", kSecond), bytes_of("live"));
  EXPECT_EQ(host_->collect_garbage(), 0u);
  EXPECT_THAT(files_below(artifacts() / "x"), SizeIs(3));
}

}  // namespace
}  // namespace annulus
