// Readers, writers, erasers, repairers and resizes of one store at a time.
#include <array>
#include <atomic>
#include <list>
#include <mutex>
#include <thread>

#include "tests/artifact/test_store.h"

namespace annulus {
namespace {

using testing::Bytes;
using testing::expect_clean;
using testing::ScratchFolder;
using testing::TestStore;

/// A content that says who wrote it: every word is the same.
Bytes words(std::uint64_t word, std::size_t count) {
  Bytes bytes(8 * count);
  for (std::size_t i = 0; i < count; ++i) std::memcpy(bytes.data() + 8 * i, &word, 8);
  return bytes;
}

/// Whether a content is whole: one word all over, as long as that word says.
std::size_t size_of(std::uint64_t word) { return word % 50 == 0 ? kArtifactChunkBytes / 8 + word : 1 + word % 1000; }
bool is_whole(const Bytes& bytes) {
  std::uint64_t word = 0;
  if (bytes.size() < 8) return false;
  std::memcpy(&word, bytes.data(), 8);
  return bytes == words(word, size_of(word));
}

/// The newest version of a name whose put has returned.
class Newest {
 public:
  void returned(Version version) {
    std::lock_guard lock(mutex_);
    newest_ = std::max(newest_, version);
  }
  Version get() const {
    std::lock_guard lock(mutex_);
    return newest_;
  }

 private:
  mutable std::mutex mutex_;
  Version newest_;
};

constexpr std::size_t kNames = 4;
constexpr std::uint64_t kPuts = 60;
std::string name_of(std::size_t i) { return "dir" + std::to_string(i % 2) + "/n" + std::to_string(i); }

/// One store with everything that goes on in it.
class Traffic {
 public:
  explicit Traffic(const std::filesystem::path& folder) : test(folder, {"a", "b", "c"}) {
    for (std::size_t i = 0; i < kNames; ++i) put(i, i + 1);
  }

  void put(std::size_t name, std::uint64_t word) {
    const auto report = test.store.put(name_of(name), words(word, size_of(word)));
    EXPECT_TRUE(report.missed.empty());
    newest[name].returned(report.info.version);
  }

  /// Reads until the writers are done: each time one whole version, no older than the newest put that had returned before.
  void read() {
    std::uint64_t reads = 0;
    for (std::size_t name = 0; writing > 0 || reads < 20; name = (name + 1) % kNames, ++reads) {
      const Version floor = newest[name].get();
      Bytes got;
      const auto report = test.store.get(
          name_of(name), [&](std::span<const std::byte> bytes) { got.insert(got.end(), bytes.begin(), bytes.end()); });
      EXPECT_TRUE(is_whole(got)) << got.size();
      EXPECT_GE(report.info.version, floor);
      EXPECT_TRUE(report.problems.empty());
    }
  }

  /// Starts `count` threads that put.
  void start_writers(std::size_t count) {
    writing = count;
    for (std::size_t w = 0; w < count; ++w) {
      threads.emplace_back([this, w] {
        for (std::uint64_t i = 1; i <= kPuts; ++i) put((i + w) % kNames, i * 2 + w);
        --writing;
      });
    }
  }
  void start(std::function<void()> run) {
    threads.emplace_back([run] {
      try {
        run();
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
    });
  }
  void finish() {
    for (std::thread& thread : threads) thread.join();
    for (std::size_t i = 0; i < kNames; ++i) EXPECT_EQ(test.store.find(name_of(i))->version, newest[i].get());
    const ArtifactCheckReport report = test.store.repair();
    EXPECT_TRUE(report.repaired()) << testing::describe(report);
    expect_clean(test.store);
  }

  TestStore test;
  std::array<Newest, kNames> newest;
  std::atomic<std::size_t> writing = 0;
  std::list<std::thread> threads;
};

TEST(ArtifactConcurrency, AGetIsOneWholeVersionAndNoOlderThanTheLastPutThatReturned) {
  ScratchFolder scratch;
  Traffic traffic(scratch.path());
  traffic.start_writers(2);
  for (int i = 0; i < 2; ++i) traffic.start([&] { traffic.read(); });
  traffic.finish();
}

TEST(ArtifactConcurrency, AHostNeverShowsNothingWhileOneVersionTakesThePlaceOfAnother) {
  ScratchFolder scratch;
  DirectoryArtifactHost::create(scratch.path() / "h", "h");
  DirectoryArtifactHost host(scratch.path() / "h");
  const auto erase = [&](std::uint64_t clock) {  // the smallest version there is
    const Version version{clock, 0};
    const auto writer = host.stage("x", version);
    writer->seal(
        {.info = {.name = "x", .version = version, .kind = ArtifactKind::kErased, .bytes = 0, .sha256 = {}}, .chunks = {}});
    writer->commit();
  };
  erase(1);
  std::atomic<std::uint64_t> committed = 1;
  std::thread writer([&] {
    for (std::uint64_t clock = 2; clock <= 2000; ++clock) {
      erase(clock);
      committed = clock;
      host.remove("x", {clock - 1, 0});
    }
    committed = 0;
  });
  std::uint64_t shown_none = 0;
  std::uint64_t shown_old = 0;
  for (std::uint64_t floor = committed; floor > 0; floor = committed) {
    const auto versions = host.versions("x");
    shown_none += versions.empty() ? 1 : 0;
    shown_old += !versions.empty() && versions[0].version.clock < floor ? 1 : 0;
  }
  writer.join();
  EXPECT_EQ(shown_none, 0u);
  EXPECT_EQ(shown_old, 0u);
}

TEST(ArtifactConcurrency, CollectorsAndRepairersTakeNothingFromLivePuts) {
  ScratchFolder scratch;
  Traffic traffic(scratch.path());
  traffic.start_writers(2);
  traffic.start([&] { traffic.read(); });
  traffic.start([&] {
    // Objects of their own, as in another process.
    while (traffic.writing > 0) {
      for (const char* id : {"a", "b", "c"}) DirectoryArtifactHost(scratch.path() / id).collect_garbage();
    }
  });
  traffic.start([&] {
    while (traffic.writing > 0) {
      const ArtifactCheckReport report = traffic.test.store.repair();
      EXPECT_EQ(report.lost, 0u) << testing::describe(report);
      EXPECT_EQ(report.damaged, 0u) << testing::describe(report);
      EXPECT_TRUE(report.problems.empty()) << testing::describe(report);
    }
  });
  traffic.finish();
}

TEST(ArtifactConcurrency, EveryReaderOfANameThatIsErasedAndPutSeesItWholeOrNotAtAll) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a", "b", "c"});
  std::atomic<int> busy = 2;
  std::list<std::thread> threads;
  threads.emplace_back([&] {
    for (std::uint64_t i = 1; i <= kPuts; ++i) test.store.put("deep/er/x", words(i, size_of(i)));
    --busy;
  });
  threads.emplace_back([&] {
    for (std::uint64_t i = 1; i <= kPuts; ++i) test.store.erase("deep/er/x");
    --busy;
  });
  threads.emplace_back([&] {
    while (busy > 0) test.store.repair();
  });
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&] {
      while (busy > 0) {
        try {
          EXPECT_TRUE(is_whole(test.store.get("deep/er/x")));
        } catch (const Error& error) {
          EXPECT_EQ(to_string(error.code()), "NOT_FOUND") << error.what();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto last = test.store.erase("deep/er/x");
  EXPECT_TRUE(test.store.repair().repaired());
  for (const auto& host : test.hosts) EXPECT_TRUE(host->list().empty()) << "the erase is forgotten, and nothing came back";
}

TEST(ArtifactConcurrency, SeveralReadersHealOneReplica) {
  ScratchFolder scratch;
  TestStore test(scratch.path(), {"a", "b"});
  const Bytes content = testing::content_of(1, kArtifactChunkBytes + 1);
  test.store.put("x", content);
  const std::string primary = test.store.placement("x")[0];
  for (int round = 0; round < 5; ++round) {
    testing::flip_byte(testing::files_below(test.folder_of(primary), ".blob").at(0), 11);
    std::list<std::thread> readers;
    for (int i = 0; i < 4; ++i) readers.emplace_back([&] { EXPECT_TRUE(test.store.get("x") == content); });
    for (std::thread& reader : readers) reader.join();
    expect_clean(test.store);
    EXPECT_EQ(testing::files_below(test.folder_of(primary) / "artifacts").size(), 2u);
  }
}

TEST(ArtifactConcurrency, AResizeBesidePutsAndGetsLosesNothingAndShowsNothingOld) {
  ScratchFolder scratch;
  Traffic traffic(scratch.path());
  DirectoryArtifactHost::create(scratch.path() / "d", "d");
  const auto joiner = std::make_shared<DirectoryArtifactHost>(scratch.path() / "d");
  ArtifactDistributor& store = traffic.test.store;
  const auto all_names = [&] {
    std::vector<std::string> names;
    for (const ArtifactInfo& info : store.list()) names.push_back(info.name);
    return names;
  };
  const auto owns = [&](const std::string& name, const std::string& id) {
    const auto owners = store.placement(name);
    return std::find(owners.begin(), owners.end(), id) != owners.end();
  };
  // Copies to the owners of the target, makes it serve, drops what is not owned any more.
  const auto resize = [&] {
    EXPECT_TRUE(store.begin_resize());
    const ConsistentHasher target = store.placement().target->ring;
    for (const std::string& name : all_names()) {
      for (const std::string& to : store.placement_with_ring(name, target)) {
        if (!owns(name, to)) store.copy(name, store.placement(name)[0], to);
      }
    }
    store.publish_target();
    for (const auto& host : store.hosts()) {
      for (const std::string& name : all_names()) {
        if (!owns(name, host->id())) {
          const auto keepers = store.placement(name);
          while (!store.drop(name, host->id(), keepers)) {  // a put is on its way to them
          }
        }
      }
    }
    store.finish();
  };
  traffic.start_writers(2);
  traffic.start([&] { traffic.read(); });
  int resizes = 0;
  traffic.start([&] {
    while (traffic.writing > 0) {
      store.attach_node(joiner);
      resize();
      store.detach_node("d");
      resize();
      ++resizes;
    }
  });
  traffic.finish();
  EXPECT_GT(resizes, 0);
  EXPECT_TRUE(joiner->list().empty());
}

}  // namespace
}  // namespace annulus
