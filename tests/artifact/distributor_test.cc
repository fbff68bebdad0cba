// What a store does when nothing fails.
#include "tests/artifact/test_store.h"

namespace annulus {
namespace {

using testing::bytes_of;
using testing::content_of;
using ::testing::ElementsAre;
using testing::expect_clean;
using testing::expect_error;
using ::testing::IsEmpty;
using testing::ScratchFolder;
using testing::TestStore;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;

std::vector<std::string> names_of(const std::vector<ArtifactInfo>& infos) {
  std::vector<std::string> names;
  for (const ArtifactInfo& info : infos) names.push_back(info.name);
  return names;
}

TEST(ArtifactDistributor, GivesBackWhatWasPut) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a", "b", "c", "d"});
  constexpr std::size_t kChunk = kArtifactChunkBytes;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{1000}, kChunk - 1, kChunk, kChunk + 1, 3 * kChunk, 5 * kChunk + 17}) {
    const std::string name = "size/" + std::to_string(size);
    const auto content = content_of(size, size);
    const ArtifactPutReport put = test.store.put(name, content);
    EXPECT_EQ(put.info.bytes, size);
    EXPECT_EQ(put.info.kind, ArtifactKind::kBlob);
    EXPECT_EQ(put.replicas, test.store.placement(name));
    EXPECT_THAT(put.missed, IsEmpty());
    EXPECT_TRUE(test.store.get(name) == content) << size;
    EXPECT_EQ(test.store.find(name), put.info);
    for (const std::string& id : put.replicas)
      EXPECT_TRUE(testing::read_at(test.host(id), name, put.info.version) == content) << size;
  }
  EXPECT_EQ(test.store.list().size(), 8u);
  const ArtifactCheckReport report = test.store.verify();
  EXPECT_TRUE(report.ok()) << testing::describe(report);
  EXPECT_EQ(report.artifacts, 8u);
  EXPECT_EQ(report.replicas, 16u);
  EXPECT_EQ(report.bytes, 2 * (1 + 1000 + kChunk - 1 + kChunk + kChunk + 1 + 3 * kChunk + 5 * kChunk + 17));
}

TEST(ArtifactDistributor, SaysWhatSha256sumSays) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a"});
  // printf abc | sha256sum (FIPS 180-2, B.1)
  EXPECT_EQ(to_hex(test.store.put("abc", bytes_of("abc")).info.sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(test.store.put("empty", testing::Bytes{}).info.sha256),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(ArtifactDistributor, ANewVersionTakesThePlaceOfTheOldOneEverywhere) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a", "b", "c"});
  const auto first = test.store.put("x", bytes_of("first")).info;
  const auto second = test.store.put("x", bytes_of("second")).info;
  EXPECT_GT(second.version, first.version);
  EXPECT_EQ(test.store.get("x"), bytes_of("second"));
  for (const std::string& id : test.store.placement("x")) EXPECT_THAT(test.host(id).versions("x"), ElementsAre(second));
  expect_clean(test.store);
}

TEST(ArtifactDistributor, AnErasedNameIsGoneAndCanBePutAgain) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a", "b", "c"});
  test.store.put("x", bytes_of("one"));
  const ArtifactPutReport erased = test.store.erase("x");
  EXPECT_EQ(erased.info.kind, ArtifactKind::kErased);
  EXPECT_EQ(erased.replicas, test.store.placement("x"));
  expect_error(ErrorCode::kNotFound, {"'x'", "erased"}, [&] { test.store.get("x"); });
  EXPECT_EQ(test.store.find("x"), std::nullopt);
  EXPECT_THAT(test.store.list(), IsEmpty());
  EXPECT_THAT(testing::files_below(scratch.path(), ".blob"), IsEmpty());
  expect_clean(test.store);

  test.store.put("x", bytes_of("two"));
  EXPECT_EQ(test.store.get("x"), bytes_of("two"));
  EXPECT_THAT(names_of(test.store.list()), ElementsAre("x"));
  expect_clean(test.store);
}

TEST(ArtifactDistributor, ARepairForgetsErasesThatHideNothing) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a", "b", "c"});
  test.store.put("deep/er/x", bytes_of("one"));
  test.store.erase("deep/er/x");
  EXPECT_EQ(testing::files_below(scratch.path(), ".manifest").size(), 2u);
  const ArtifactCheckReport report = test.store.repair();
  EXPECT_TRUE(report.ok()) << testing::describe(report);
  EXPECT_EQ(report.removed, 2u);
  for (const char* id : {"a", "b", "c"}) EXPECT_TRUE(std::filesystem::is_empty(test.folder_of(id) / "artifacts")) << id;
  expect_error(ErrorCode::kNotFound, {"'deep/er/x'"}, [&] { test.store.get("deep/er/x"); });
}

TEST(ArtifactDistributor, TheEraseOfANameThatNobodyKnowsWritesNothing) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a", "b"});
  const ArtifactPutReport report = test.store.erase("never");
  EXPECT_EQ(report.info.kind, ArtifactKind::kErased);
  EXPECT_THAT(report.replicas, IsEmpty());
  EXPECT_THAT(testing::files_below(scratch.path(), ".manifest"), IsEmpty());
}

TEST(ArtifactDistributor, ANameMayBeAFolderOfOthers) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a", "b"});
  for (const char* name : {"m", "m/lora", "m/lora/7", "mm"}) test.store.put(name, bytes_of(name));
  for (const char* name : {"m", "m/lora", "m/lora/7", "mm"}) EXPECT_EQ(test.store.get(name), bytes_of(name));
  EXPECT_THAT(names_of(test.store.list()), ElementsAre("m", "m/lora", "m/lora/7", "mm"));
  EXPECT_THAT(names_of(test.store.list("m/")), ElementsAre("m/lora", "m/lora/7"));
  EXPECT_THAT(names_of(test.store.list("m/lora/8")), IsEmpty());
  test.store.erase("m/lora");
  EXPECT_EQ(test.store.get("m/lora/7"), bytes_of("m/lora/7"));
  EXPECT_EQ(test.store.get("m"), bytes_of("m"));
  test.store.repair();
  expect_clean(test.store);
  EXPECT_THAT(names_of(test.store.list()), ElementsAre("m", "m/lora/7", "mm"));
}

TEST(ArtifactDistributor, KeepsNamesOfAnyBytes) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a", "b"});
  const std::vector<std::string> names{"\xff\xfe",    "a\\b", "a\\\\b",    "tab\there", "Überprüfung",
                                       ".hidden",     "...",  "a@b",       "x.blob",    std::string(200, 'n'),
                                       "line\nbreak", " ",    "\\xff\\xfe"};
  for (const std::string& name : names) test.store.put(name, bytes_of("of " + name));
  for (const std::string& name : names) EXPECT_EQ(test.store.get(name), bytes_of("of " + name)) << name;
  EXPECT_THAT(names_of(test.store.list()), UnorderedElementsAreArray(names));
  expect_clean(test.store);
}

TEST(ArtifactDistributor, PutsReplicasInDistinctZones) {
  ScratchFolder scratch;
  ArtifactDistributor store({.replicas = 2});
  std::map<std::string, std::string> zone_of;
  for (const auto& [id, zone] :
       std::vector<std::pair<std::string, std::string>>{{"a", "east"}, {"b", "east"}, {"c", "west"}, {"d", "west"}}) {
    DirectoryArtifactHost::create(scratch.path() / id, id);
    store.attach_node(std::make_shared<DirectoryArtifactHost>(scratch.path() / id), 1.0, zone);
    zone_of[id] = zone;
  }
  for (int i = 0; i < 20; ++i) {
    const auto replicas = store.put("n" + std::to_string(i), bytes_of("x")).replicas;
    ASSERT_EQ(replicas.size(), 2u);
    EXPECT_NE(zone_of[replicas[0]], zone_of[replicas[1]]) << i;
  }
}

TEST(ArtifactDistributor, StreamsFromAndToFiles) {
  ScratchFolder scratch;
  TestStore test(scratch.path() / "hosts", {"a", "b"});
  const auto content = content_of(1, 2 * kArtifactChunkBytes + 5);
  std::ofstream(scratch.path() / "in", std::ios::binary)
      .write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
  std::vector<std::pair<std::uint64_t, std::uint64_t>> put_steps;
  test.store.put_file("f", scratch.path() / "in",
                      [&](std::uint64_t done, std::uint64_t total) { put_steps.emplace_back(done, total); });
  const std::uint64_t size = content.size();
  EXPECT_THAT(put_steps,
              ElementsAre(std::pair(kArtifactChunkBytes, size), std::pair(2 * kArtifactChunkBytes, size), std::pair(size, size)));

  std::vector<std::pair<std::uint64_t, std::uint64_t>> get_steps;
  const auto report = test.store.get_file("f", scratch.path() / "out",
                                          [&](std::uint64_t done, std::uint64_t total) { get_steps.emplace_back(done, total); });
  EXPECT_EQ(get_steps, put_steps);
  EXPECT_EQ(report.host, test.store.placement("f")[0]);
  EXPECT_THAT(report.healed, IsEmpty());
  EXPECT_THAT(report.problems, IsEmpty());
  std::ifstream out(scratch.path() / "out", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(out)), {});
  EXPECT_TRUE(bytes_of(text) == content);
}

TEST(ArtifactDistributor, AFileThatIsNotGotIsNotTouched) {
  ScratchFolder scratch;
  TestStore test(scratch.path() / "hosts", {"a", "b"});
  std::ofstream(scratch.path() / "out") << "before";
  expect_error(ErrorCode::kNotFound, {"'none'"}, [&] { test.store.get_file("none", scratch.path() / "out"); });
  EXPECT_EQ(std::filesystem::file_size(scratch.path() / "out"), 6u);
  EXPECT_EQ(testing::files_below(scratch.path(), "out").size(), 1u);
  expect_error(ErrorCode::kNotFound, {"nowhere"}, [&] { test.store.put_file("x", scratch.path() / "nowhere"); });
  expect_error(ErrorCode::kInvalidArgument, {"plain file"}, [&] { test.store.put_file("x", scratch.path()); });
}

TEST(ArtifactDistributor, WhatTheSourceOrTheSinkThrowsPassesAndLeavesNothing) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a", "b"});
  int calls = 0;
  EXPECT_THROW(test.store.put("x",
                              [&](std::span<std::byte> buffer) -> std::size_t {
                                if (++calls == 2) throw std::logic_error("enough");
                                return buffer.size();
                              }),
               std::logic_error);
  EXPECT_THAT(testing::files_below(scratch.path() / "a" / "artifacts"), IsEmpty());
  EXPECT_THAT(testing::files_below(scratch.path() / "b" / "artifacts"), IsEmpty());
  expect_error(ErrorCode::kInvalidArgument, {"'x'", std::to_string(kArtifactChunkBytes + 1)},
               [&] { test.store.put("x", [](std::span<std::byte> buffer) { return buffer.size() + 1; }); });
  test.store.put("y", bytes_of("y"));
  EXPECT_THROW(test.store.get("y", [](std::span<const std::byte>) { throw std::logic_error("enough"); }), std::logic_error);
  EXPECT_EQ(test.store.get("y"), bytes_of("y"));
}

TEST(ArtifactDistributor, WhatHostsHoldAlreadyIsServedByTheNextObject) {
  ScratchFolder scratch;
  {
    TestStore first(scratch.path(), {"a", "b", "c"});
    first.store.put("x", bytes_of("kept"));
  }
  TestStore second(scratch.path(), {"a", "b", "c"});
  EXPECT_EQ(second.store.get("x"), bytes_of("kept"));
  expect_clean(second.store);
}

TEST(ArtifactDistributor, VersionsGrowEvenIfTheClockOfAnotherProcessWasAhead) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a", "b"});
  // A version of the year 2100, as a process with a wrong clock would have put it.
  const Version ahead{std::uint64_t{4102444800} * 1'000'000 << 12, 7};
  for (const char* id : {"a", "b"}) {
    const auto writer = test.host(id).stage("x", ahead);
    writer->seal({.info = {.name = "x",
                           .version = ahead,
                           .kind = ArtifactKind::kBlob,
                           .bytes = 0,
                           .sha256 = test.store.put("empty", testing::Bytes{}).info.sha256},
                  .chunks = {}});
    writer->commit();
  }
  EXPECT_THAT(test.store.get("x"), IsEmpty());
  const auto put = test.store.put("x", bytes_of("later"));
  EXPECT_GT(put.info.version, ahead);
  EXPECT_EQ(test.store.get("x"), bytes_of("later"));
  test.store.erase("x");
  expect_error(ErrorCode::kNotFound, {"erased"}, [&] { test.store.get("x"); });
}

TEST(ArtifactDistributor, RefusesWhatCannotWork) {
  ScratchFolder scratch;
  expect_error(ErrorCode::kInvalidArgument, {"0 replicas"}, [] { ArtifactDistributor({.replicas = 0}); });
  expect_error(ErrorCode::kUnimplemented, {"probes"}, [] { ArtifactDistributor({.ring = {.probes = 2}, .writer = 0}); });
  ArtifactDistributor empty;
  expect_error(ErrorCode::kUnavailable, {"'x'", "no host is attached"}, [&] { empty.put("x", testing::Bytes{}); });
  expect_error(ErrorCode::kUnavailable, {"'x'", "no host is attached"}, [&] { empty.get("x"); });
  expect_error(ErrorCode::kInvalidArgument, {"null"}, [&] { empty.attach_node(nullptr); });
  TestStore test(scratch.path(), {"a", "b"});
  expect_error(ErrorCode::kAlreadyExists, {"'a'"}, [&] { test.store.attach_node(test.hosts[0]); });
  expect_error(ErrorCode::kNotFound, {"z"}, [&] { test.store.detach_node("z"); });
  expect_error(ErrorCode::kNotFound, {"z"}, [&] { test.store.set_weight("z", 2.0); });
  expect_error(ErrorCode::kInvalidArgument, {"0"}, [&] { test.store.set_weight("a", 0.0); });
  expect_error(ErrorCode::kInvalidArgument, {"0 replicas"}, [&] { test.store.set_replicas(0); });
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { test.store.put("../x", testing::Bytes{}); }, [&] { test.store.get("../x"); }, [&] { test.store.find("../x"); },
           [&] { test.store.erase("../x"); }, [&] { test.store.copy("../x", "a", "b"); }, [&] { test.store.placement("../x"); },
           [&] { test.store.placement_with_ring("../x", test.store.ring()); }, [&] { test.store.drop("../x", "a", {}); }}) {
    expect_error(ErrorCode::kInvalidArgument, {"'../x'", "'..'"}, call);
  }
}

}  // namespace
}  // namespace annulus
