// The words of the demo: where they are, and what they hold.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/matrix.h"

namespace annulus::cli {

/// Words and their vectors.
struct WordVectors {
  std::vector<std::string> words;  ///< distinct, by falling frequency
  Matrix vectors;                  ///< row i is that of words[i]; unit length, so that a scalar product is the cosine
};

/// Fewer words than this make no demo: nothing would be left to compare with.
inline constexpr std::size_t kFewestDemoWords = 500;

/// The folder with words.fbin and words.txt: `given`, or if that is empty the source tree's, one near the program, or
/// ./data. Throws Error(kNotFound), naming the folders that were tried.
std::filesystem::path find_demo_data(const std::filesystem::path& given);

/// Reads both files of `folder`. Throws Error(kInvalidArgument) if they do not fit together, hold a word twice, a vector that
/// has no direction, or fewer than kFewestDemoWords words; errors of read_fbin and read_lines.
WordVectors load_words(const std::filesystem::path& folder);

}  // namespace annulus::cli
