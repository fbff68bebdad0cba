// fbin files: one matrix of float32. Layout: u32 n, u32 d, then n x d floats row by row; little-endian.
#pragma once

#include <filesystem>

#include "core/matrix.h"

namespace annulus {

/// Reads the n x d matrix of an fbin file. O(file size) time; memory: the matrix, never more than the file says it has.
///
/// Values are returned as they are, NaN and infinities included: who stores them decides.
/// Throws Error(kNotFound) if there is no such file, Error(kUnavailable) if it cannot be read, Error(kDataLoss) if it is
/// truncated, has bytes to spare, or its header says n = 0, d = 0 or more than the file can hold.
Matrix read_fbin(const std::filesystem::path& path);

/// Writes `rows` (n x d, n and d at least 1) so that the file is whole or absent.
/// Throws Error(kInvalidArgument) if `rows` is empty or n or d exceeds 2^32 - 1; errors of
/// write_file_atomically. Memory: a copy of the rows.
void write_fbin(const std::filesystem::path& path, const MatrixView& rows);

}  // namespace annulus
