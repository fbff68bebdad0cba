#include "io/fvecs.h"

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

Matrix read_fvecs(const std::filesystem::path& path) {
  io_internal::InputFile file(path);
  std::int32_t d = 0;
  if (file.size_bytes() < sizeof d) {
    file.fail("is truncated: " + std::to_string(file.size_bytes()) + " bytes, an fvecs file has at least 8");
  }
  file.read(&d, sizeof d);
  if (d < 1) file.fail("says that its first vector has " + std::to_string(d) + " dimensions; an fvecs file has at least 1");

  // Allocating waits until the file's size has confirmed the dimension.
  const std::uint64_t vector_bytes = static_cast<std::uint64_t>(d) * sizeof(float);
  const std::uint64_t stride_bytes = sizeof d + vector_bytes;
  if (file.size_bytes() % stride_bytes != 0) {
    file.fail("is truncated or no fvecs file: " + std::to_string(file.size_bytes()) + " bytes are no multiple of the " +
              std::to_string(stride_bytes) + " of a vector of " + std::to_string(d) + " dimensions");
  }
  const auto n = static_cast<Eigen::Index>(file.size_bytes() / stride_bytes);
  Matrix rows(n, d);
  for (Eigen::Index i = 0; i < n; ++i) {
    std::int32_t found = d;
    if (i > 0) file.read(&found, sizeof found);
    if (found != d) {
      file.fail("is corrupt: vector " + std::to_string(i) + " has " + std::to_string(found) + " dimensions, the first one has " +
                std::to_string(d));
    }
    file.read(rows.row(i).data(), vector_bytes);
  }
  return rows;
}

void write_fvecs(const std::filesystem::path& path, const MatrixView& rows) {
  if (rows.rows() < 1 || rows.cols() < 1 || rows.cols() > std::numeric_limits<std::int32_t>::max()) {
    throw Error(ErrorCode::kInvalidArgument, "cannot write " + std::to_string(rows.rows()) + " x " + std::to_string(rows.cols()) +
                                                 " floats as fvecs: at least one vector of 1 to 2147483647 dimensions is needed");
  }
  const auto d = static_cast<std::int32_t>(rows.cols());
  const std::size_t vector_bytes = static_cast<std::size_t>(d) * sizeof(float);
  const auto n = static_cast<std::size_t>(rows.rows());
  std::string bytes(n * (sizeof d + vector_bytes), '\0');
  char* out = bytes.data();
  for (std::size_t i = 0; i < n; ++i) {
    std::memcpy(out, &d, sizeof d);
    std::memcpy(out + sizeof d, row_data(rows, i), vector_bytes);
    out += sizeof d + vector_bytes;
  }
  write_file_atomically(path, bytes);
}

}  // namespace annulus
