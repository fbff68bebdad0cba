#include "artifact/host_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace annulus::internal {
namespace {

[[noreturn]] void throw_host_error(const std::string& doing, const std::filesystem::path& path, int error) {
  throw_system_error(doing, path, error, ErrorCode::kUnavailable);
}

HostFolder::EntryKind kind_of(int folder, const dirent& entry) {
  unsigned char type = entry.d_type;
  if (type == DT_UNKNOWN) {  // some file systems do not say
    struct stat info {};
    if (::fstatat(folder, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) return HostFolder::EntryKind::kOther;
    type = S_ISREG(info.st_mode) ? DT_REG : S_ISDIR(info.st_mode) ? DT_DIR : DT_LNK;
  }
  if (type == DT_REG) return HostFolder::EntryKind::kFile;
  return type == DT_DIR ? HostFolder::EntryKind::kFolder : HostFolder::EntryKind::kOther;
}

}  // namespace

std::optional<HostFolder> HostFolder::child(const std::string& name) const {
  std::filesystem::path path = path_ / name;
  FileDescriptor fd(::openat(fd_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd.is_open()) return HostFolder(std::move(fd), std::move(path));
  if (errno == ENOENT) return std::nullopt;
  if (errno == ENOTDIR || errno == ELOOP) {
    throw Error(
        ErrorCode::kInvalidArgument,
        path.string() + " is a symbolic link or a file where a folder of the host belongs, and is not followed; move it away");
  }
  throw_host_error("cannot open", path, errno);
}

std::optional<HostFolder> HostFolder::make_child(const std::string& name, const StepHook& step) const {
  for (;;) {
    if (auto there = child(name)) return there;
    if (step) step("make a folder");
    if (::mkdirat(fd_.get(), name.c_str(), 0755) == 0 || errno == EEXIST) continue;  // it may go again before it is opened
    if (errno == ENOENT) return std::nullopt;
    throw_host_error("cannot make the folder", path_ / name, errno);
  }
}

std::vector<HostFolder::Entry> HostFolder::entries() const {
  // Another descriptor, because the position in the folder belongs to it.
  const int fd = ::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return {};  // removed meanwhile
  if (fd < 0) throw_host_error("cannot open", path_, errno);
  const auto close = [](DIR* folder) { ::closedir(folder); };
  const std::unique_ptr<DIR, decltype(close)> folder(::fdopendir(fd), close);
  if (folder == nullptr) {
    const int error = errno;
    ::close(fd);
    throw_host_error("cannot read", path_, error);
  }
  std::vector<Entry> entries;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(folder.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") entries.push_back({std::string(name), kind_of(fd, *entry)});
  }
  if (errno != 0) throw_host_error("cannot read", path_, errno);
  return entries;
}

bool HostFolder::has(const std::string& name) const noexcept {
  struct stat info {};
  return ::fstatat(fd_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

FileDescriptor HostFolder::open_file(const std::string& name) const {
  // Not blocking: a FIFO in a file's place would never open.
  FileDescriptor file(::openat(fd_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.is_open() && errno == ENOENT) return file;
  struct stat info {};
  if (file.is_open() ? ::fstat(file.get(), &info) == 0 && !S_ISREG(info.st_mode) : errno == ELOOP || errno == ENXIO) {
    throw Error(ErrorCode::kDataLoss,
                (path_ / name).string() + " is a symbolic link or no plain file, where a file of the host belongs");
  }
  if (!file.is_open()) throw_host_error("cannot open", path_ / name, errno);
  return file;
}

void HostFolder::unlink(const std::string& name) const {
  if (::unlinkat(fd_.get(), name.c_str(), 0) != 0 && errno != ENOENT) throw_host_error("cannot remove", path_ / name, errno);
}

void HostFolder::sync() const { sync_file(fd_.get(), path_); }

FolderLock::FolderLock(const HostFolder& folder, Mode mode) : fd_(folder.fd()) {
  while (::flock(fd_, mode == Mode::kShared ? LOCK_SH : LOCK_EX) != 0) {
    if (errno != EINTR) throw_host_error("cannot lock", folder.path(), errno);
  }
}

FolderLock::~FolderLock() { ::flock(fd_, LOCK_UN); }

}  // namespace annulus::internal
