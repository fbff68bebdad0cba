// A store of artifacts whose hosts can fail, beside a map of what was put.
#pragma once

#include <gmock/gmock.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/artifact/faulty_host.h"
#include "tests/artifact/test_store.h"

namespace annulus::testing {

class ArtifactCluster {
 public:
  explicit ArtifactCluster(const std::vector<std::string>& ids, std::size_t replicas = 2) : store({.replicas = replicas}) {
    for (const std::string& id : ids) attach(id);
  }

  static std::string name(int i) { return "models/m" + std::to_string(i) + "/weights.bin"; }

  void attach(const std::string& id) {
    if (!std::filesystem::exists(scratch_.path() / id)) DirectoryArtifactHost::create(scratch_.path() / id, id);
    inner_[id] = std::make_shared<DirectoryArtifactHost>(scratch_.path() / id);
    hosts_[id] = std::make_shared<FaultyArtifactHost>(inner_[id]);
    store.attach_node(hosts_[id]);
  }
  FaultyArtifactHost& faulty(const std::string& id) { return *hosts_.at(id); }
  const std::map<std::string, std::shared_ptr<FaultyArtifactHost>>& hosts() const { return hosts_; }
  const std::filesystem::path& root() const { return scratch_.path(); }

  void fill(int count) {
    for (int i = 0; i < count; ++i) put(name(i), "content of " + std::to_string(i));
  }
  void put(const std::string& name, const std::string& content) {
    store.put(name, bytes_of(content));
    expected_[name] = bytes_of(content);
  }
  void erase(const std::string& name) {
    store.erase(name);
    expected_[name] = std::nullopt;
  }

  /// Flips a byte of every blob on a host.
  void damage(const std::string& id) {
    for (const auto& blob : files_below(scratch_.path() / id / "artifacts", ".blob")) flip_byte(blob, 3);
  }
  std::uint64_t bytes_on(const std::string& id) const {
    std::uint64_t bytes = 0;
    for (const ArtifactInfo& info : inner_.at(id)->list()) bytes += info.bytes;
    return bytes;
  }

  /// Everything reads as it was put.
  void expect_readable() {
    for (const auto& [name, content] : expected_) {
      std::optional<Bytes> read;
      try {
        read = store.get(name);
      } catch (const Error& error) {
        ASSERT_EQ(to_string(error.code()), to_string(ErrorCode::kNotFound)) << error.what();
      }
      ASSERT_TRUE(read == content) << name;
    }
  }
  /// And every newest version is whole on its owners, and nowhere else.
  void expect_intact() {
    expect_readable();
    expect_clean(store);
  }

 private:
  ScratchFolder scratch_;
  std::map<std::string, std::optional<Bytes>> expected_;
  std::map<std::string, std::shared_ptr<DirectoryArtifactHost>> inner_;
  std::map<std::string, std::shared_ptr<FaultyArtifactHost>> hosts_;

 public:
  ArtifactDistributor store;
};

}  // namespace annulus::testing
