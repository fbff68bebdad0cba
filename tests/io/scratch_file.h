// A file in the temporary folder that goes when the test ends.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace annulus {

class ScratchFile {
 public:
  /// A path at which there is no file.
  ScratchFile() {
    static std::atomic<int> counter{0};
    path_ = std::filesystem::path(::testing::TempDir()) /
            ("annulus_io_" + std::to_string(::getpid()) + "_" + std::to_string(counter.fetch_add(1)));
  }
  /// A file with these bytes.
  explicit ScratchFile(std::string_view bytes) : ScratchFile() { std::ofstream(path_, std::ios::binary) << bytes; }
  ~ScratchFile() { std::filesystem::remove(path_); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The 4 little-endian bytes of `value`.
inline std::string u32(std::uint32_t value) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

}  // namespace annulus
