// A binary file that is read front to back; for the readers of this folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace annulus::io_internal {

/// Owns an open file. Errors name it.
class InputFile {
 public:
  /// Throws Error(kNotFound) if there is no such file, Error(kUnavailable) if it cannot be opened or is no regular file.
  explicit InputFile(const std::filesystem::path& path);

  std::uint64_t size_bytes() const noexcept { return size_bytes_; }

  /// Reads the next `bytes` bytes. Throws Error(kDataLoss) if the file ends before, Error(kUnavailable) if reading fails.
  void read(void* to, std::uint64_t bytes);

  /// Throws Error(kDataLoss): the file's name, `what` is wrong with it, and what to do.
  [[noreturn]] void fail(const std::string& what) const;

 private:
  struct Closer {
    void operator()(void* file) const noexcept;
  };
  std::string name_;
  std::unique_ptr<void, Closer> file_;  // a FILE*
  std::uint64_t size_bytes_ = 0;
};

}  // namespace annulus::io_internal
