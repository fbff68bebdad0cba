// File descriptors, and system calls that failed, for code that talks to the file system itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "core/error.h"

namespace annulus {

/// Owns a file descriptor; -1 is none.
class FileDescriptor {
 public:
  FileDescriptor() noexcept = default;
  explicit FileDescriptor(int fd) noexcept : fd_(fd) {}
  ~FileDescriptor() { close(); }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  int get() const noexcept { return fd_; }
  bool is_open() const noexcept { return fd_ >= 0; }
  void close() noexcept;

 private:
  int fd_ = -1;
};

/// Throws what `error` (an errno) means: kResourceExhausted for a full disk, a quota or a limit on sizes; `missing` for ENOENT;
/// else kUnavailable. The message is "<doing> <path>: <reason>".
[[noreturn]] void throw_system_error(const std::string& doing, const std::filesystem::path& path, int error,
                                     ErrorCode missing = ErrorCode::kNotFound);

/// Writes all of `bytes` at the descriptor's position. Throws as throw_system_error.
void write_fully(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path);

/// Reads from `offset` until `buffer` is full or the file ends; returns how many bytes. Throws as throw_system_error.
std::size_t read_fully(int fd, std::span<std::byte> buffer, std::uint64_t offset, const std::filesystem::path& path);

/// fsync. Throws as throw_system_error.
void sync_file(int fd, const std::filesystem::path& path);

/// Has the kernel begin to write a part of a file, so that a later fsync of a long file finds little left to do.
void start_writing_back(int fd, std::uint64_t offset, std::uint64_t bytes) noexcept;

}  // namespace annulus
