// The steps of a resize, as ArtifactRebalancer takes them, and puts that straddle them.
#include "tests/artifact/faulty_host.h"
#include "tests/artifact/test_store.h"

namespace annulus {
namespace {

using testing::Bytes;
using testing::bytes_of;
using testing::content_of;
using ::testing::ElementsAre;
using testing::expect_clean;
using testing::expect_error;
using testing::FaultyArtifactHost;
using ::testing::IsEmpty;
using testing::ScratchFolder;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAreArray;

class ArtifactResize : public ::testing::Test {
 protected:
  std::shared_ptr<FaultyArtifactHost> make_host(const std::string& id) {
    DirectoryArtifactHost::create(scratch_.path() / id, id);
    hosts_[id] = std::make_shared<FaultyArtifactHost>(std::make_shared<DirectoryArtifactHost>(scratch_.path() / id));
    return hosts_[id];
  }
  void attach(const std::string& id) { store_.attach_node(make_host(id)); }

  /// Copies every name to the owners in the target that lack it.
  void copy_all() {
    const auto target = store_.placement().target->ring;
    for (const ArtifactInfo& info : store_.list()) {
      for (const std::string& id : store_.placement_with_ring(info.name, target)) {
        for (const std::string& from : store_.placement(info.name)) {
          if (store_.copy(info.name, from, id) || from != id) break;
        }
      }
    }
  }
  /// Drops every name where it is not owned any more.
  void drop_all() {
    for (const auto& [id, host] : hosts_) {
      for (const ArtifactInfo& info : host->list()) {
        const auto owners = store_.placement(info.name);
        if (std::find(owners.begin(), owners.end(), id) != owners.end()) continue;
        EXPECT_TRUE(store_.drop(info.name, id, owners));
      }
    }
  }
  std::vector<std::string> ids() const {
    std::vector<std::string> ids;
    for (const auto& host : store_.hosts()) ids.push_back(host->id());
    return ids;
  }
  void expect_on_owners(std::string_view name, const Bytes& content) {
    EXPECT_TRUE(store_.get(name) == content);
    for (const std::string& id : store_.placement(name)) {
      const auto versions = hosts_[id]->versions(name);
      ASSERT_THAT(versions, SizeIs(1)) << id;
      EXPECT_TRUE(testing::read_at(*hosts_[id], name, versions[0].version) == content) << id;
    }
  }

  ScratchFolder scratch_;
  std::map<std::string, std::shared_ptr<FaultyArtifactHost>> hosts_;
  ArtifactDistributor store_;
};

/// A source of chunks that runs `between` before the second one.
ArtifactSource source_of(const Bytes& content, std::function<void()> between) {
  return [&content, between, at = std::size_t{0}](std::span<std::byte> buffer) mutable {
    if (at > 0 && between) std::exchange(between, nullptr)();
    const std::size_t bytes = std::min(buffer.size(), content.size() - at);
    std::copy_n(content.begin() + static_cast<std::ptrdiff_t>(at), bytes, buffer.begin());
    at += bytes;
    return bytes;
  };
}

TEST_F(ArtifactResize, DeclarationsHoldAtOnceUntilTheFirstOperation) {
  attach("a");
  attach("b");
  store_.set_weight("a", 2.0);
  store_.set_replicas(1);
  EXPECT_EQ(store_.placement("x").size(), 1u);
  store_.set_replicas(2);
  EXPECT_FALSE(store_.find("x"));
  attach("c");
  EXPECT_EQ(store_.placement().serving->ring.num_nodes(), 2u);
  EXPECT_EQ(store_.ring().num_nodes(), 3u);
  EXPECT_THAT(ids(), ElementsAre("a", "b", "c"));
  store_.detach_node("c");
  EXPECT_THAT(ids(), ElementsAre("a", "b"));
  EXPECT_FALSE(store_.begin_resize()) << "nothing is declared that does not hold";
}

TEST_F(ArtifactResize, TakesHostsInAndOut) {
  for (const char* id : {"a", "b", "c"}) attach(id);
  for (int i = 0; i < 20; ++i) store_.put("n" + std::to_string(i), bytes_of(std::to_string(i)));
  attach("d");
  store_.detach_node("a");
  EXPECT_THAT(ids(), ElementsAre("a", "b", "c", "d"));
  expect_error(ErrorCode::kAlreadyExists, {"'a'", "resize"}, [&] { store_.attach_node(hosts_["a"]); });
  ASSERT_TRUE(store_.begin_resize());
  EXPECT_EQ(store_.stage(), ResizeStage::kCopying);
  expect_error(ErrorCode::kFailedPrecondition, {"attach_node", "copying"}, [&] { store_.attach_node(make_host("e")); });
  expect_error(ErrorCode::kFailedPrecondition, {"copying"}, [&] { store_.begin_resize(); });
  expect_error(ErrorCode::kFailedPrecondition, {"copying"}, [&] { store_.finish(); });
  store_.put("n0", bytes_of("zero"));
  store_.erase("n1");
  copy_all();
  store_.publish_target();
  EXPECT_EQ(store_.stage(), ResizeStage::kRetiring);
  EXPECT_TRUE(store_.verify().ok()) << "what retires is no stranger";
  store_.put("n2", bytes_of("two"));
  drop_all();
  store_.finish();
  EXPECT_EQ(store_.stage(), ResizeStage::kNone);
  EXPECT_THAT(ids(), ElementsAre("b", "c", "d"));
  store_.repair();
  expect_clean(store_);
  EXPECT_THAT(hosts_["a"]->list(), IsEmpty());
  EXPECT_EQ(store_.list().size(), 19u);
  expect_on_owners("n0", bytes_of("zero"));
  expect_on_owners("n2", bytes_of("two"));
  expect_on_owners("n7", bytes_of("7"));
}

TEST_F(ArtifactResize, AnAbortGoesBack) {
  for (const char* id : {"a", "b"}) attach(id);
  for (int i = 0; i < 20; ++i) store_.put("n" + std::to_string(i), bytes_of(std::to_string(i)));
  attach("c");
  ASSERT_TRUE(store_.begin_resize(store_.ring(), store_.replicas()));
  copy_all();
  store_.begin_abort();
  EXPECT_EQ(store_.stage(), ResizeStage::kAborting);
  EXPECT_EQ(store_.ring().num_nodes(), 2u);
  store_.put("n3", bytes_of("three"));
  drop_all();
  store_.finish();
  EXPECT_THAT(ids(), ElementsAre("a", "b"));
  EXPECT_THAT(hosts_["c"]->list(), IsEmpty());
  expect_clean(store_);
  expect_on_owners("n3", bytes_of("three"));
}

TEST_F(ArtifactResize, APlanForAnotherRingIsRefused) {
  attach("a");
  store_.put("x", bytes_of("x"));
  const auto before = store_.ring();
  attach("b");
  expect_error(ErrorCode::kFailedPrecondition, {"declared ring has changed"},
               [&] { store_.begin_resize(before, store_.replicas()); });
  EXPECT_EQ(store_.stage(), ResizeStage::kNone);
}

/// A put during which a resize begins, ends, or is given up; each time it must be on every owner of the end.
TEST_F(ArtifactResize, APutThatStraddlesAStepReachesTheOwnersOfItsEnd) {
  const Bytes content = content_of(1, 2 * kArtifactChunkBytes);
  for (const char* id : {"a", "b"}) attach(id);
  store_.put("other", bytes_of("other"));
  int name = 0;
  const auto put_across = [&](const std::function<void()>& between) {
    const std::string put = "n" + std::to_string(name++);
    store_.put(put, source_of(content, between));
    expect_on_owners(put, content);
  };
  store_.detach_node("a");
  store_.detach_node("b");
  for (const char* id : {"c", "d"}) attach(id);  // other hosts altogether
  put_across([&] { ASSERT_TRUE(store_.begin_resize()); });
  for (const char* id : {"c", "d"}) EXPECT_THAT(hosts_[id]->versions("n0"), SizeIs(1)) << id;
  put_across([&] {
    copy_all();
    store_.publish_target();
  });
  put_across([&] {
    drop_all();
    store_.finish();
  });
  EXPECT_THAT(ids(), ElementsAre("c", "d"));
  // A whole resize: none of the hosts that it was staged at is left.
  store_.detach_node("c");
  store_.detach_node("d");
  for (const char* id : {"e", "f"}) attach(id);
  put_across([&] {
    ASSERT_TRUE(store_.begin_resize());
    copy_all();
    store_.publish_target();
    drop_all();
    store_.finish();
  });
  EXPECT_THAT(ids(), ElementsAre("e", "f"));
  for (const char* id : {"c", "d"}) EXPECT_THAT(hosts_[id]->list(), IsEmpty()) << id;
  expect_clean(store_);
  EXPECT_EQ(store_.list().size(), 5u);
}

TEST_F(ArtifactResize, WhatAGainingOwnerMissedIsBroughtBeforeTheTargetServes) {
  for (const char* id : {"a", "b"}) attach(id);
  store_.put("x", bytes_of("old"));
  for (const char* id : {"a", "b"}) store_.detach_node(id);
  for (const char* id : {"c", "d"}) attach(id);
  ASSERT_TRUE(store_.begin_resize());
  copy_all();
  hosts_["c"]->fail();
  EXPECT_THAT(store_.put("x", bytes_of("new")).missed, SizeIs(1));
  expect_error(ErrorCode::kUnavailable, {"'c'", "'x'"}, [&] { store_.publish_target(); });
  EXPECT_EQ(store_.stage(), ResizeStage::kCopying);
  hosts_["c"]->heal();
  store_.publish_target();
  EXPECT_THAT(store_.missed(), IsEmpty());
  EXPECT_TRUE(store_.repair().repaired());
  expect_on_owners("x", bytes_of("new"));
}

TEST_F(ArtifactResize, AGainingOwnerAloneTakesNoPut) {
  for (const char* id : {"a", "b"}) attach(id);
  store_.put("x", bytes_of("old"));
  for (const char* id : {"a", "b"}) store_.detach_node(id);
  for (const char* id : {"c", "d"}) attach(id);
  ASSERT_TRUE(store_.begin_resize());
  for (const char* id : {"a", "b"}) hosts_[id]->fail();
  expect_error(ErrorCode::kUnavailable, {"'x'", "a:", "b:"}, [&] { store_.put("x", bytes_of("new")); });
  for (const char* id : {"a", "b"}) hosts_[id]->heal();
  store_.begin_abort();
  EXPECT_EQ(store_.get("x"), bytes_of("old"));
}

TEST_F(ArtifactResize, ACopySaysWhetherItHadToBeSent) {
  for (const char* id : {"a", "b", "c"}) attach(id);
  const Bytes content = content_of(1, kArtifactChunkBytes + 5);
  store_.put("x", content);
  const auto owners = store_.placement("x");
  std::string other = "a";
  for (const char* id : {"a", "b", "c"}) {
    if (std::find(owners.begin(), owners.end(), id) == owners.end()) other = id;
  }
  std::vector<std::uint64_t> steps;
  EXPECT_TRUE(store_.copy("x", owners[0], other, [&](std::uint64_t bytes) { steps.push_back(bytes); }));
  EXPECT_THAT(steps, ElementsAre(kArtifactChunkBytes, 5u));
  EXPECT_FALSE(store_.copy("x", owners[0], other));
  testing::flip_byte(testing::files_below(scratch_.path() / other / "artifacts" / "x", ".blob").at(0), 3);
  EXPECT_TRUE(store_.copy("x", owners[0], other)) << "what is there is damaged";
  testing::flip_byte(testing::files_below(scratch_.path() / other / "artifacts" / "x", ".blob").at(0), 3);
  EXPECT_THROW(store_.copy("x", owners[0], other, [](std::uint64_t) { throw std::logic_error("stop"); }), std::logic_error);
}

TEST_F(ArtifactResize, ACopyBringsNothingBackThatIsErasedAndForgottenMeanwhile) {
  for (const char* id : {"a", "b", "c"}) attach(id);
  const Bytes content = content_of(1, 2 * kArtifactChunkBytes);
  const auto erase_and_forget = [this] {
    store_.erase("x");
    EXPECT_TRUE(store_.repair().repaired());
  };
  const auto expect_nothing = [this] {
    for (const auto& [id, host] : hosts_) EXPECT_THAT(host->list(), IsEmpty()) << id;
    expect_error(ErrorCode::kNotFound, {"'x'"}, [&] { store_.get("x"); });
  };
  store_.put("x", content);
  const auto owners = store_.placement("x");
  std::string other = "a";
  for (const char* id : {"a", "b", "c"}) {
    if (std::find(owners.begin(), owners.end(), id) == owners.end()) other = id;
  }
  int steps = 0;
  const auto once = [&](std::uint64_t) {
    if (++steps == 1) erase_and_forget();
  };
  expect_error(ErrorCode::kNotFound, {owners[0] + ": ", "'x'"}, [&] { store_.copy("x", owners[0], other, once); });
  EXPECT_EQ(steps, 2) << "the reader that is open reads on";
  expect_nothing();

  // The same for a get that has an owner to heal.
  store_.put("x", content);
  std::filesystem::remove_all(scratch_.path() / owners[1] / "artifacts" / "x");
  int chunks = 0;
  const ArtifactGetReport report = store_.get("x", [&](std::span<const std::byte>) {
    if (++chunks == 1) erase_and_forget();
  });
  EXPECT_EQ(chunks, 2);
  EXPECT_THAT(report.healed, IsEmpty());
  EXPECT_THAT(report.problems, IsEmpty());
  expect_nothing();
}

TEST_F(ArtifactResize, ACopyNamesTheHostThatFailed) {
  for (const char* id : {"a", "b"}) attach(id);
  store_.put("x", content_of(1, 100));
  expect_error(ErrorCode::kNotFound, {"a: ", "'none'"}, [&] { store_.copy("none", "a", "b"); });
  expect_error(ErrorCode::kNotFound, {"z: "}, [&] { store_.copy("x", "z", "b"); });
  expect_error(ErrorCode::kNotFound, {"z: "}, [&] { store_.copy("x", "a", "z"); });
  hosts_["b"]->fail();
  expect_error(ErrorCode::kUnavailable, {"b: "}, [&] { store_.copy("x", "a", "b"); });
  hosts_["b"]->heal();
  testing::flip_byte(testing::files_below(scratch_.path() / "a" / "artifacts" / "x", ".manifest").at(0), 60);
  expect_error(ErrorCode::kDataLoss, {"a: "}, [&] { store_.copy("x", "a", "b"); });
}

TEST_F(ArtifactResize, ADropWantsTheNewestVersionWholeAtEveryKeeper) {
  for (const char* id : {"a", "b", "c"}) attach(id);
  store_.put("x", bytes_of("one"));
  const auto owners = store_.placement("x");
  std::string other = "a";
  for (const char* id : {"a", "b", "c"}) {
    if (std::find(owners.begin(), owners.end(), id) == owners.end()) other = id;
  }
  const auto blob = [&](const std::string& id) {
    return testing::files_below(scratch_.path() / id / "artifacts" / "x", ".blob").at(0);
  };
  store_.copy("x", owners[0], other);
  expect_error(ErrorCode::kFailedPrecondition, {owners[0] + ": ", "'x'"}, [&] { store_.drop("x", owners[0], owners); });
  EXPECT_FALSE(store_.drop("x", other, {}));
  testing::flip_byte(blob(owners[1]), 1);
  EXPECT_FALSE(store_.drop("x", other, owners));
  testing::flip_byte(blob(owners[1]), 1);
  hosts_[owners[1]]->fail();
  expect_error(ErrorCode::kUnavailable, {owners[1] + ": "}, [&] { store_.drop("x", other, owners); });
  hosts_[owners[1]]->heal();
  EXPECT_THAT(hosts_[other]->versions("x"), SizeIs(1));
  EXPECT_TRUE(store_.drop("x", other, owners));
  EXPECT_THAT(hosts_[other]->versions("x"), IsEmpty());
  EXPECT_TRUE(store_.drop("x", other, owners)) << "it holds nothing";
  // A host that holds a newer one than the keepers keeps it.
  hosts_[owners[0]]->remove("x", hosts_[owners[0]]->versions("x").at(0).version);
  EXPECT_TRUE(store_.copy("x", owners[1], other));
  hosts_[owners[1]]->remove("x", hosts_[owners[1]]->versions("x").at(0).version);
  EXPECT_FALSE(store_.drop("x", other, owners));
  EXPECT_EQ(store_.get("x"), bytes_of("one"));
}

}  // namespace
}  // namespace annulus
