#include "io/input_file.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/error.h"

namespace annulus::io_internal {

void InputFile::Closer::operator()(void* file) const noexcept { std::fclose(static_cast<std::FILE*>(file)); }

InputFile::InputFile(const std::filesystem::path& path) : name_(path.string()), file_(std::fopen(path.c_str(), "rbe")) {
  if (!file_) {
    const int error = errno;
    throw Error(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
                "cannot open " + name_ + ": " + std::strerror(error));
  }
  struct stat info {};
  if (::fstat(::fileno(static_cast<std::FILE*>(file_.get())), &info) != 0) {
    throw Error(ErrorCode::kUnavailable, "cannot stat " + name_ + ": " + std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    throw Error(ErrorCode::kUnavailable, "cannot read " + name_ + ": it is not a regular file; give a file of vectors");
  }
  size_bytes_ = static_cast<std::uint64_t>(info.st_size);
}

void InputFile::read(void* to, std::uint64_t bytes) {
  auto* file = static_cast<std::FILE*>(file_.get());
  const std::size_t got = std::fread(to, 1, bytes, file);
  if (got == bytes) return;
  if (std::ferror(file) != 0) throw Error(ErrorCode::kUnavailable, "cannot read " + name_ + ": " + std::strerror(errno));
  fail("ends " + std::to_string(bytes - got) + " bytes too early");
}

void InputFile::fail(const std::string& what) const {
  throw Error(ErrorCode::kDataLoss, name_ + " " + what + "; fetch or write the file again");
}

}  // namespace annulus::io_internal
