#include "artifact/directory_artifact_host.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "artifact/artifact_manifest.h"
#include "artifact/content_hash.h"
#include "artifact/host_store.h"
#include "artifact/staged_version.h"
#include "core/key.h"

namespace annulus {
namespace {

using internal::FolderLock;
using internal::HostFolder;
using internal::HostStore;

class BlobReader final : public ArtifactReader {
 public:
  BlobReader(ArtifactManifest manifest, FileDescriptor file, std::filesystem::path path)
      : manifest_(std::move(manifest)), file_(std::move(file)), path_(std::move(path)) {
    ::posix_fadvise(file_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  }

  const ArtifactManifest& manifest() const noexcept override { return manifest_; }

  std::span<const std::byte> read_chunk(std::size_t index, std::span<std::byte> buffer) override {
    if (index >= manifest_.chunks.size()) {
      throw Error(ErrorCode::kInvalidArgument, "chunk " + std::to_string(index) + " of " + path_.string() + ", which has " +
                                                   std::to_string(manifest_.chunks.size()));
    }
    const std::size_t size = internal::chunk_size(manifest_.info.bytes, index);
    if (buffer.size() < size) {
      throw Error(ErrorCode::kInvalidArgument,
                  "a buffer of " + std::to_string(buffer.size()) + " bytes for a chunk of " + std::to_string(size));
    }
    const std::span<std::byte> chunk = buffer.first(size);
    const std::size_t got = read_fully(file_.get(), chunk, std::uint64_t{index} * kArtifactChunkBytes, path_);
    if (got != size)
      throw Error(ErrorCode::kDataLoss, path_.string() + " is truncated: chunk " + std::to_string(index) + " has " +
                                            std::to_string(got) + " bytes, " + std::to_string(size) + " expected");
    if (internal::hash_chunk(chunk) != manifest_.chunks[index]) {
      throw Error(ErrorCode::kDataLoss,
                  path_.string() + " is damaged: the hash of chunk " + std::to_string(index) + " is not that of its manifest");
    }
    return chunk;
  }

 private:
  ArtifactManifest manifest_;
  FileDescriptor file_;
  std::filesystem::path path_;
};

/// The versions in a folder, newest first; nothing if some came or went meanwhile. With the folder locked they cannot.
std::optional<std::vector<ArtifactInfo>> versions_in(const HostStore& store, const HostFolder& folder, std::string_view name,
                                                     bool locked = false) {
  // Fewer entries come from the kernel in one call, which no other change of the folder comes into.
  constexpr std::size_t kListedAtOnce = 200;
  const auto entries = folder.entries();
  if (!locked && entries.size() > kListedAtOnce) return std::nullopt;
  std::vector<ArtifactInfo> found;
  for (const HostFolder::Entry& entry : entries) {
    const auto version = internal::version_of_file(entry.name, internal::kManifestSuffix);
    if (!version) continue;
    auto info = store.info(folder, name, *version);
    if (info) found.push_back(std::move(*info));
    if (!info && !locked) return std::nullopt;
  }
  std::sort(found.begin(), found.end(), [](const ArtifactInfo& a, const ArtifactInfo& b) { return a.version > b.version; });
  return found;
}

/// Null if there is no such blob. Throws Error(kDataLoss) if manifest and blob do not belong together.
std::unique_ptr<ArtifactReader> open_in(const HostStore& store, const HostFolder& folder, std::string_view name, Version version) {
  auto manifest = store.manifest(folder, name, version);
  if (!manifest || manifest->info.kind == ArtifactKind::kErased) return nullptr;
  const std::string file = internal::file_name(version, internal::kBlobSuffix);
  std::filesystem::path path = folder.path() / file;
  FileDescriptor blob = folder.open_file(file);
  if (!blob.is_open()) throw Error(ErrorCode::kDataLoss, path.string() + " is missing, and its manifest is there");
  struct stat info {};
  if (::fstat(blob.get(), &info) != 0) throw_system_error("cannot stat", path, errno, ErrorCode::kUnavailable);
  if (static_cast<std::uint64_t>(info.st_size) != manifest->info.bytes) {
    throw Error(ErrorCode::kDataLoss, path.string() + " has " + std::to_string(info.st_size) + " bytes, " +
                                          std::to_string(manifest->info.bytes) + " expected");
  }
  return std::make_unique<BlobReader>(std::move(*manifest), std::move(blob), std::move(path));
}

/// Removes what dead processes left among `files`, whose folder is locked. Returns of how many versions.
std::uint64_t collect(const HostStore& store, const HostFolder& folder, const std::vector<std::string>& files) {
  std::set<std::string> alive;
  std::set<std::string> dead;
  const auto stem_of = [](const std::string& file, std::string_view suffix) { return file.substr(0, file.size() - suffix.size()); };
  const auto remove = [&](const std::string& file) {
    store.step("remove garbage");
    folder.unlink(file);
  };
  for (const std::string& file : files) {
    if (!file.ends_with(internal::kPartSuffix) || file.ends_with(internal::kManifestPartSuffix)) continue;
    const std::string stem = stem_of(file, internal::kPartSuffix);
    const FileDescriptor part = folder.open_file(file);
    if (!part.is_open()) continue;
    if (::flock(part.get(), LOCK_EX | LOCK_NB) != 0) {
      alive.insert(stem);
      continue;
    }
    remove(file);
    dead.insert(stem);
  }
  for (const std::string& file : files) {
    if (!file.ends_with(internal::kManifestPartSuffix)) continue;
    const std::string stem = stem_of(file, internal::kManifestPartSuffix);
    if (alive.contains(stem) || !folder.has(file)) continue;
    remove(file);
    dead.insert(stem);
  }
  // Both renames of a commit happen under the folder's lock: a blob alone is half of a commit, or of a removal, that died.
  for (const std::string& file : files) {
    const auto version = internal::version_of_file(file, internal::kBlobSuffix);
    if (!version || folder.has(internal::file_name(*version, internal::kManifestSuffix)) || !folder.has(file)) continue;
    remove(file);
    dead.insert(file);
  }
  return dead.size();
}

}  // namespace

void DirectoryArtifactHost::create(const std::filesystem::path& folder, std::string_view id) { HostStore::create(folder, id); }

DirectoryArtifactHost::DirectoryArtifactHost(std::filesystem::path folder, StepHook before_step)
    : store_(std::make_shared<const HostStore>(std::move(folder), std::move(before_step))) {}

DirectoryArtifactHost::~DirectoryArtifactHost() = default;

const std::filesystem::path& DirectoryArtifactHost::folder() const noexcept { return store_->root(); }

const std::string& DirectoryArtifactHost::id() const noexcept { return store_->id(); }

std::vector<ArtifactInfo> DirectoryArtifactHost::versions(std::string_view name) {
  const auto folder = store_->folder_of(name);
  if (!folder) return {};
  // Without the lock, because steady readers would keep commits from it. A listing that a commit or a removal came into may show
  // neither the old version nor the new one: then once more, with it.
  const auto seen = versions_in(*store_, *folder, name);
  if (seen && !seen->empty()) return *seen;
  const FolderLock lock(*folder, FolderLock::Mode::kShared);
  return versions_in(*store_, *folder, name, true).value();
}

std::vector<ArtifactInfo> DirectoryArtifactHost::list() {
  std::vector<ArtifactInfo> found;
  for (const HostStore::Stored& stored : store_->scan()) {
    std::vector<ArtifactInfo> of_name = versions(stored.name);
    found.insert(found.end(), std::make_move_iterator(of_name.rbegin()), std::make_move_iterator(of_name.rend()));
  }
  return found;
}

std::unique_ptr<ArtifactWriter> DirectoryArtifactHost::stage(std::string_view name, Version version) {
  validate_artifact_name(name);
  return std::make_unique<internal::StagedVersion>(store_, name, version);
}

std::unique_ptr<ArtifactReader> DirectoryArtifactHost::open(std::string_view name, Version version) {
  const auto throw_absent = [&] {
    throw Error(ErrorCode::kNotFound,
                "host '" + id() + "' has no blob of '" + display_key(name) + "', version " + internal::to_digits(version));
  };
  const auto folder = store_->folder_of(name);
  if (!folder) throw_absent();
  // As for versions: what does not fit together is looked at once more with the lock.
  try {
    if (auto reader = open_in(*store_, *folder, name, version)) return reader;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDataLoss) throw;
  }
  const FolderLock lock(*folder, FolderLock::Mode::kShared);
  auto reader = open_in(*store_, *folder, name, version);
  if (reader == nullptr) throw_absent();
  return reader;
}

void DirectoryArtifactHost::remove(std::string_view name, Version version) {
  const auto folder = store_->folder_of(name);
  if (!folder) return;
  {
    const FolderLock lock(*folder, FolderLock::Mode::kExclusive);
    const std::string manifest = internal::file_name(version, internal::kManifestSuffix);
    if (folder->has(manifest)) {
      store_->step("remove the manifest");
      folder->unlink(manifest);
      store_->step("sync the folder");
      folder->sync();
    }
    store_->step("remove the blob");
    folder->unlink(internal::file_name(version, internal::kBlobSuffix));
  }
  store_->remove_empty_folders_of(name);
}

std::uint64_t DirectoryArtifactHost::collect_garbage() {
  std::uint64_t collected = 0;
  for (const HostStore::Stored& stored : store_->scan()) {
    const auto folder = store_->folder_of(stored.name);
    if (!folder) continue;
    const FolderLock lock(*folder, FolderLock::Mode::kExclusive);
    std::vector<std::string> files;
    for (HostFolder::Entry& entry : folder->entries()) {
      if (entry.kind == HostFolder::EntryKind::kFile) files.push_back(std::move(entry.name));
    }
    const std::uint64_t removed = collect(*store_, *folder, files);
    collected += removed;
    if (removed > 0 || stored.files.empty()) store_->remove_empty_folders_of(stored.name);
  }
  return collected;
}

}  // namespace annulus
