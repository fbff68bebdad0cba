#include "artifact/staged_version.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>

#include "artifact/artifact_manifest.h"

namespace annulus::internal {
namespace {

/// So often the kernel is told to begin writing: at seal, little is left to wait for.
constexpr std::uint64_t kWriteBackBytes = std::uint64_t{8} << 20;

std::string new_stem(Version version) {
  static std::atomic<std::uint64_t> counter{0};
  return "@" + to_digits(version) + "." + std::to_string(::getpid()) + "-" + std::to_string(counter.fetch_add(1));
}

[[noreturn]] void throw_host_error(const std::string& doing, const std::filesystem::path& path) {
  throw_system_error(doing, path, errno, ErrorCode::kUnavailable);
}

/// Makes a file of this folder; not open if the name is taken or the folder is gone.
FileDescriptor make_file(const HostFolder& folder, const std::string& name) {
  FileDescriptor file(::openat(folder.fd(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file.is_open() && errno != EEXIST && errno != ENOENT) throw_host_error("cannot create", folder.path() / name);
  return file;
}

void rename_in(const HostFolder& folder, const std::string& from, const std::string& to) {
  if (::renameat(folder.fd(), from.c_str(), folder.fd(), to.c_str()) != 0) throw_host_error("cannot rename to", folder.path() / to);
}

}  // namespace

StagedVersion::StagedVersion(std::shared_ptr<const HostStore> store, std::string_view name, Version version)
    : store_(std::move(store)), name_(name), version_(version) {
  do {
    folder_ = store_->make_folder_of(name_);
    // Shared with other stagings, exclusive with collectors: they must not find the file before it is locked.
    const FolderLock lock(*folder_, FolderLock::Mode::kShared);
    stem_ = new_stem(version_);
    store_->step("create a part");
    file_ = make_file(*folder_, part());
    if (file_.is_open() && ::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) throw_host_error("cannot lock", folder_->path() / part());
  } while (!file_.is_open());
}

StagedVersion::~StagedVersion() {
  if (state_ == State::kCommitted) return;
  ::unlinkat(folder_->fd(), manifest_part().c_str(), 0);
  ::unlinkat(folder_->fd(), part().c_str(), 0);
  try {
    store_->remove_empty_folders_of(name_);
  } catch (...) {  // what is left is for collect_garbage
  }
}

void StagedVersion::require(State state, const char* call) const {
  if (state_ == state) return;
  throw Error(ErrorCode::kFailedPrecondition, std::string(call) + " of a version of '" + name_ + "' that is " +
                                                  (state_ == State::kOpen     ? "not sealed"
                                                   : state_ == State::kSealed ? "sealed"
                                                                              : "committed") +
                                                  " already or yet");
}

void StagedVersion::append(std::span<const std::byte> bytes) {
  require(State::kOpen, "append");
  store_->step("write");
  write_fully(file_.get(), bytes, folder_->path() / part());
  bytes_ += bytes.size();
  if (bytes_ - writing_back_ >= kWriteBackBytes) {
    start_writing_back(file_.get(), writing_back_, bytes_ - writing_back_);
    writing_back_ = bytes_;
  }
}

void StagedVersion::seal(const ArtifactManifest& manifest) {
  require(State::kOpen, "seal");
  const ArtifactInfo& info = manifest.info;
  if (info.bytes != bytes_ || info.name != name_ || info.version != version_ || info.kind == ArtifactKind::kDamaged) {
    throw Error(ErrorCode::kInvalidArgument, "the manifest is of '" + info.name + "', version " + to_digits(info.version) +
                                                 ", with " + std::to_string(info.bytes) + " bytes; '" + name_ + "', version " +
                                                 to_digits(version_) + ", with " + std::to_string(bytes_) + " bytes was written");
  }
  kind_ = info.kind;
  const std::filesystem::path path = folder_->path() / manifest_part();
  store_->step("create a manifest");
  const FileDescriptor file = make_file(*folder_, manifest_part());
  if (!file.is_open()) throw_host_error("cannot create", path);
  store_->step("write the manifest");
  const std::string bytes = manifest_to_bytes(manifest);
  write_fully(file.get(), std::as_bytes(std::span(bytes)), path);
  store_->step("sync the manifest");
  sync_file(file.get(), path);
  if (kind_ == ArtifactKind::kBlob) {
    store_->step("sync the blob");
    sync_file(file_.get(), folder_->path() / part());
  }
  store_->sync_folders_of(name_);
  state_ = State::kSealed;
}

void StagedVersion::commit() {
  require(State::kSealed, "commit");
  const std::string manifest = file_name(version_, kManifestSuffix);
  const std::string blob = file_name(version_, kBlobSuffix);
  (void)store_->artifacts();  // a disk that was unmounted meanwhile must not take it
  const FolderLock lock(*folder_, FolderLock::Mode::kExclusive);
  store_->step("rename the blob");
  if (kind_ == ArtifactKind::kBlob) {
    rename_in(*folder_, part(), blob);
  } else {
    folder_->unlink(part());
  }
  store_->step("rename the manifest");
  rename_in(*folder_, manifest_part(), manifest);
  store_->step("sync the folder");
  try {
    folder_->sync();
  } catch (...) {
    ::unlinkat(folder_->fd(), manifest.c_str(), 0);  // who is told that it failed must not find it
    throw;
  }
  state_ = State::kCommitted;
  file_.close();
}

}  // namespace annulus::internal
