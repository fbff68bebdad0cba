// Private to artifact/: folders of a host, reached step by step so that no symbolic link is followed on the way.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/posix_file.h"

namespace annulus::internal {

/// Called before every change that a host makes to its disk, with what it is about to do. For tests, which stop there.
using StepHook = std::function<void(std::string_view step)>;

/// An open folder. All that is below it is named relative to its descriptor.
class HostFolder {
 public:
  enum class EntryKind { kFile, kFolder, kOther };
  struct Entry {
    std::string name;
    EntryKind kind;
  };

  HostFolder(FileDescriptor fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}

  int fd() const noexcept { return fd_.get(); }
  const std::filesystem::path& path() const noexcept { return path_; }

  /// The folder of this name, or nothing. Throws Error(kInvalidArgument) if a symbolic link or a file is in its place.
  std::optional<HostFolder> child(const std::string& name) const;
  /// The same, made if it is missing; nothing if this folder itself was removed meanwhile.
  std::optional<HostFolder> make_child(const std::string& name, const StepHook& step) const;

  /// What is in it, unsorted; what comes and goes meanwhile may be in it or not.
  std::vector<Entry> entries() const;

  bool has(const std::string& name) const noexcept;
  /// Opens a file of this folder, never through a link. Not open if there is none; throws Error(kDataLoss) if it is no plain file.
  FileDescriptor open_file(const std::string& name) const;
  /// Removes a file, if it is there.
  void unlink(const std::string& name) const;
  void sync() const;

 private:
  FileDescriptor fd_;
  std::filesystem::path path_;
};

/// The lock of a folder, across processes and threads: exclusive while files of committed names appear or go, shared while files
/// are opened that must belong together, or a staging begins.
class FolderLock {
 public:
  enum class Mode { kShared, kExclusive };
  FolderLock(const HostFolder& folder, Mode mode);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

}  // namespace annulus::internal
