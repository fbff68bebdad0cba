// A store of artifacts over directory hosts, as a file says what it is made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "artifact/artifact_distributor.h"
#include "core/posix_file.h"
#include "ring/hash_ring.h"

namespace annulus::cli {

/// Hosts, and how many of them hold each artifact.
struct ArtifactLayout {
  struct Host {
    Node node;
    std::filesystem::path folder;  ///< absolute, or below the cluster's own folder
  };
  std::size_t replicas = 2;
  std::vector<Host> hosts;
};

/// What ROOT/cluster.json holds: the layout that serves, and where a resize stands, so that any process can go on with it.
struct ArtifactCluster : ArtifactLayout {
  using Host = ArtifactLayout::Host;
  std::optional<ArtifactLayout> target;  ///< a resize copies to it: commits go to its owners too
  std::optional<ArtifactLayout> former;  ///< a resize comes from it, and has not dropped everything there
};

/// ID[:WEIGHT[:ZONE]][=FOLDER]; the folder is ID, below the cluster's own, if none is given. Throws CLI::ValidationError.
ArtifactCluster::Host parse_artifact_host(const std::string& text);

/// Makes the folders of the hosts (those that are hosts of the same ids already stay as they are), then ROOT/cluster.json.
/// Throws Error(kAlreadyExists) if there is one.
void create_artifact_cluster(const std::filesystem::path& root, const ArtifactCluster& cluster);

/// Throws Error(kNotFound) if there is no ROOT/cluster.json, Error(kDataLoss) if it is damaged.
ArtifactCluster load_artifact_cluster(const std::filesystem::path& root);

/// Replaces ROOT/cluster.json, atomically, when no command goes by the one before.
void save_artifact_cluster(const std::filesystem::path& root, const ArtifactCluster& cluster);

/// A host as its folder says; one that is out of reach, in every call, if the folder is not there or is another's.
std::shared_ptr<ArtifactHost> open_artifact_host(const std::filesystem::path& root, const ArtifactCluster::Host& host);

/// The folders of the hosts in `layout`, made if they are not there. Throws Error(kAlreadyExists) if one is another host's.
void make_artifact_hosts(const std::filesystem::path& root, const ArtifactLayout& layout);

/// A store over the hosts of `layout`, which serves.
std::unique_ptr<ArtifactDistributor> open_artifact_layout(const std::filesystem::path& root, const ArtifactLayout& layout);

/// Declares `to` in a store that serves `from`. Throws as ArtifactDistributor's declarations.
void declare_artifact_layout(ArtifactDistributor& store, const std::filesystem::path& root, const ArtifactLayout& from,
                             const ArtifactLayout& to);

/// Held by every command while it works by what cluster.json said; a resize replaces that file only when nobody holds it. So no
/// command writes, or reads, by a layout that the resize has left behind.
class ArtifactClusterLock {
 public:
  enum class Mode : std::uint8_t { kShared, kExclusive };
  /// Waits for it. On a medium that cannot be written, where nobody resizes, there is nothing to hold.
  ArtifactClusterLock(const std::filesystem::path& root, Mode mode);

 private:
  FileDescriptor file_;
};

/// Excludes other resizes and repairs of a store, for as long as it lives. Throws Error(kFailedPrecondition) if there is one.
class ArtifactResizeLock {
 public:
  explicit ArtifactResizeLock(const std::filesystem::path& root);

 private:
  FileDescriptor folder_;
};

/// A store, and the layout that it goes by, which stays as long as this lives.
struct OpenArtifactCluster {
  ArtifactClusterLock lock;
  ArtifactCluster cluster;
  std::unique_ptr<ArtifactDistributor> store;

  ArtifactDistributor* operator->() const noexcept { return store.get(); }
  bool resize_under_way() const noexcept { return cluster.target || cluster.former; }
};

/// The store that serves; commits go to the target of a resize as well.
OpenArtifactCluster open_artifact_cluster(const std::filesystem::path& root);

}  // namespace annulus::cli
