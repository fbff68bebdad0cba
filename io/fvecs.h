// fvecs files: float32 vectors of one dimension. Layout: for each vector i32 d, then d floats; little-endian.
#pragma once

#include <filesystem>

#include "core/matrix.h"

namespace annulus {

/// Reads all vectors of an fvecs file as an n x d matrix. O(file size) time; memory: the matrix, never more than the file.
///
/// Values are returned as they are, NaN and infinities included: who stores them decides.
/// Throws Error(kNotFound) if there is no such file, Error(kUnavailable) if it cannot be read, Error(kDataLoss) if it is
/// empty or truncated, or a vector's dimension is not positive or differs from the first one's.
Matrix read_fvecs(const std::filesystem::path& path);

/// Writes `rows` (n x d, n and d at least 1) so that the file is whole or absent.
/// Throws Error(kInvalidArgument) if `rows` is empty or d exceeds 2^31 - 1; errors of
/// write_file_atomically. Memory: a copy of the rows.
void write_fvecs(const std::filesystem::path& path, const MatrixView& rows);

}  // namespace annulus
