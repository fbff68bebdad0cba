#include "io/fbin.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "core/durable_file.h"
#include "core/error.h"
#include "io/input_file.h"

namespace annulus {

static_assert(std::endian::native == std::endian::little, "the readers copy little-endian files as they are");

Matrix read_fbin(const std::filesystem::path& path) {
  io_internal::InputFile file(path);
  std::array<std::uint32_t, 2> header{};
  if (file.size_bytes() < sizeof header) {
    file.fail("is truncated: " + std::to_string(file.size_bytes()) + " bytes, the header of an fbin file has 8");
  }
  file.read(header.data(), sizeof header);
  const std::uint64_t n = header[0];
  const std::uint64_t d = header[1];
  const std::string shape = std::to_string(n) + " x " + std::to_string(d);
  if (n == 0 || d == 0) file.fail("says that it holds " + shape + " floats; both numbers must be at least 1");

  // n * d fits 64 bits, but n * d * 4 need not. Allocating waits until the file's size has confirmed the header.
  const std::uint64_t payload_bytes = file.size_bytes() - sizeof header;
  if (payload_bytes % sizeof(float) != 0 || payload_bytes / sizeof(float) != n * d) {
    const bool short_of = payload_bytes / sizeof(float) < n * d;
    file.fail(std::string(short_of ? "is truncated or no fbin file" : "has bytes to spare") + ": its header says " + shape +
              " floats, but " + std::to_string(payload_bytes) + " bytes follow");
  }
  Matrix rows(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(d));
  file.read(rows.data(), payload_bytes);
  return rows;
}

void write_fbin(const std::filesystem::path& path, const MatrixView& rows) {
  constexpr Eigen::Index kLimit = std::numeric_limits<std::uint32_t>::max();
  if (rows.rows() < 1 || rows.cols() < 1 || rows.rows() > kLimit || rows.cols() > kLimit) {
    throw Error(ErrorCode::kInvalidArgument, "cannot write " + std::to_string(rows.rows()) + " x " + std::to_string(rows.cols()) +
                                                 " floats as fbin: both numbers must be 1 to 4294967295");
  }
  const std::array<std::uint32_t, 2> header{static_cast<std::uint32_t>(rows.rows()), static_cast<std::uint32_t>(rows.cols())};
  const std::size_t row_bytes = header[1] * sizeof(float);
  std::string bytes(sizeof header + header[0] * row_bytes, '\0');
  std::memcpy(bytes.data(), header.data(), sizeof header);
  for (std::size_t i = 0; i < header[0]; ++i) {
    std::memcpy(bytes.data() + sizeof header + i * row_bytes, row_data(rows, i), row_bytes);
  }
  write_file_atomically(path, bytes);
}

}  // namespace annulus
