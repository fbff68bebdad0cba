// A store of artifacts over directory hosts, as a file says what it is made of.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "artifact/artifact_distributor.h"
#include "ring/hash_ring.h"

namespace annulus::cli {

/// What ROOT/cluster.json holds.
struct ArtifactCluster {
  struct Host {
    Node node;
    std::filesystem::path folder;  ///< absolute, or below the cluster's own folder
  };
  std::size_t replicas = 2;
  std::vector<Host> hosts;
};

/// ID[:WEIGHT[:ZONE]][=FOLDER]; the folder is ID, below the cluster's own, if none is given. Throws CLI::ValidationError.
ArtifactCluster::Host parse_artifact_host(const std::string& text);

/// Makes the folders of the hosts (those that are hosts of the same ids already stay as they are), then ROOT/cluster.json.
/// Throws Error(kAlreadyExists) if there is one.
void create_artifact_cluster(const std::filesystem::path& root, const ArtifactCluster& cluster);

/// Throws Error(kNotFound) if there is no ROOT/cluster.json, Error(kDataLoss) if it is damaged.
ArtifactCluster load_artifact_cluster(const std::filesystem::path& root);

/// Replaces ROOT/cluster.json, atomically.
void save_artifact_cluster(const std::filesystem::path& root, const ArtifactCluster& cluster);

/// A host as its folder says; one that is out of reach, in every call, if the folder is not there or is another's.
std::shared_ptr<ArtifactHost> open_artifact_host(const std::filesystem::path& root, const ArtifactCluster::Host& host);

/// The store over all of them.
std::unique_ptr<ArtifactDistributor> open_artifact_cluster(const std::filesystem::path& root);

}  // namespace annulus::cli
