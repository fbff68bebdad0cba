// An artifact host that is a folder on a disk.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/artifact_host.h"

namespace annulus {

namespace internal {
class HostStore;
}

/// Keeps artifacts in a folder; docs/formats/artifact_host.md says how. A version is written to a temporary file, synced,
/// renamed, and its folder synced; beside the blob lies a manifest with its size and hashes, under a checksum of its own.
///
/// No call leaves the folder: each part of a name is opened below the one before it, and symbolic links are refused
/// (Error(kInvalidArgument)), but for the path of the folder itself. A folder that is gone, or whose marker is (a disk that is not
/// mounted), is out of reach (Error(kUnavailable)), never an empty host; so are I/O errors and missing permissions.
/// A full disk, quota or size limit is Error(kResourceExhausted).
/// Thread-safe; any number of objects and processes may use one folder (on a file system with flock).
class DirectoryArtifactHost final : public ArtifactHost {
 public:
  /// Called before each change of the disk, with what it will be. For tests.
  using StepHook = std::function<void(std::string_view step)>;

  /// Makes the folder, missing parents included, an empty host of this id (1 to 1024 bytes). Throws Error(kAlreadyExists) if it is
  /// a host or holds an `artifacts` already, Error(kInvalidArgument) for a bad id, and for what the disk says as above.
  static void create(const std::filesystem::path& folder, std::string_view id);

  /// The host in `folder`. Throws Error(kNotFound) if it is none: an unmounted disk must not look like an empty host.
  /// Error(kDataLoss) if its marker is damaged, Error(kUnimplemented) if it is of a newer format.
  explicit DirectoryArtifactHost(std::filesystem::path folder, StepHook before_step = {});
  ~DirectoryArtifactHost() override;

  const std::filesystem::path& folder() const noexcept;

  const std::string& id() const noexcept override;
  std::vector<ArtifactInfo> versions(std::string_view name) override;
  std::vector<ArtifactInfo> list() override;
  std::unique_ptr<ArtifactWriter> stage(std::string_view name, Version version) override;
  std::unique_ptr<ArtifactReader> open(std::string_view name, Version version) override;
  void remove(std::string_view name, Version version) override;
  std::uint64_t collect_garbage() override;

 private:
  std::shared_ptr<const internal::HostStore> store_;  // never null; writers hold it too
};

}  // namespace annulus
