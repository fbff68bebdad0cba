#include "core/posix_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace annulus {

void FileDescriptor::close() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void throw_system_error(const std::string& doing, const std::filesystem::path& path, int error, ErrorCode missing) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  const ErrorCode code = full ? ErrorCode::kResourceExhausted : error == ENOENT ? missing : ErrorCode::kUnavailable;
  throw Error(code, doing + " " + path.string() + ": " + std::strerror(error) + (full ? "; free some space and try again" : ""));
}

void write_fully(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_system_error("cannot write", path, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

std::size_t read_fully(int fd, std::span<std::byte> buffer, std::uint64_t offset, const std::filesystem::path& path) {
  std::size_t got = 0;
  while (got < buffer.size()) {
    const ssize_t n = ::pread(fd, buffer.data() + got, buffer.size() - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_system_error("cannot read", path, errno);
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  return got;
}

void sync_file(int fd, const std::filesystem::path& path) {
  if (::fsync(fd) != 0) throw_system_error("cannot sync", path, errno);
}

void start_writing_back(int fd, std::uint64_t offset, std::uint64_t bytes) noexcept {
  // A hint: what fails here fails again, and is reported, at fsync.
  (void)::sync_file_range(fd, static_cast<off_t>(offset), static_cast<off_t>(bytes), SYNC_FILE_RANGE_WRITE);
}

}  // namespace annulus
