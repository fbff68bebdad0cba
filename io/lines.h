// Files of keys: one a line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace annulus {

/// The lines of a text file without their line ends ("\n" or "\r\n"); the last line's end may be missing. Bytes are returned
/// as they are, in any encoding; empty lines are lines.
/// Throws Error(kNotFound) if there is no such file, Error(kUnavailable) if it cannot be read.
std::vector<std::string> read_lines(const std::filesystem::path& path);

}  // namespace annulus
