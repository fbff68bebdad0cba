// Private to artifact/: the layout of a directory host on its disk. docs/formats/artifact_host.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/artifact_host.h"
#include "artifact/host_folder.h"

namespace annulus::internal {

inline constexpr std::string_view kBlobSuffix = ".blob";
inline constexpr std::string_view kManifestSuffix = ".manifest";
inline constexpr std::string_view kPartSuffix = ".part";
inline constexpr std::string_view kManifestPartSuffix = ".manifest.part";

/// "@<digits><suffix>", a file of a committed version.
std::string file_name(Version version, std::string_view suffix);
/// The version of such a file; nothing if it is none.
std::optional<Version> version_of_file(std::string_view file, std::string_view suffix) noexcept;

/// Where a host's folders and files are. Immutable, so that all calls share it.
class HostStore {
 public:
  static void create(const std::filesystem::path& root, std::string_view id);
  /// Throws as the constructor of DirectoryArtifactHost.
  HostStore(std::filesystem::path root, StepHook before_step);

  const std::filesystem::path& root() const noexcept { return root_; }
  const std::string& id() const noexcept { return id_; }
  void step(std::string_view what) const {
    if (before_step_) before_step_(what);
  }

  /// The folder that holds all artifacts. Throws Error(kUnavailable) if the host is not what it was opened as.
  HostFolder artifacts() const;

  /// The folder of a name, which is validated; nothing if there is none.
  std::optional<HostFolder> folder_of(std::string_view name) const;
  /// The same, made if it is missing. It may be removed again as long as nothing is in it.
  HostFolder make_folder_of(std::string_view name) const;
  /// Makes every folder on the way to the name's durable.
  void sync_folders_of(std::string_view name) const;
  /// Removes the folder of a name, and those on the way to it, as far as they are empty.
  void remove_empty_folders_of(std::string_view name) const;

  /// Every name whose folder holds a file of ours, or nothing at all, sorted, with its files.
  struct Stored {
    std::string name;
    std::vector<std::string> files;
  };
  std::vector<Stored> scan() const;

  /// Reads a manifest; nothing if there is none. Throws Error(kDataLoss) if it is damaged.
  std::optional<ArtifactManifest> manifest(const HostFolder& folder, std::string_view name, Version version) const;
  /// The same, with kind kDamaged for what is damaged.
  std::optional<ArtifactInfo> info(const HostFolder& folder, std::string_view name, Version version) const;

 private:
  std::filesystem::path root_;
  StepHook before_step_;
  std::string marker_;
  std::string id_;
};

}  // namespace annulus::internal
