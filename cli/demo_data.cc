#include "cli/demo_data.h"

#include <fmt/format.h>

#include <cmath>
#include <set>
#include <string_view>
#include <system_error>

#include "core/error.h"
#include "core/key.h"
#include "io/fbin.h"
#include "io/lines.h"

namespace annulus::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVectorFile = "words.fbin";
constexpr const char* kWordFile = "words.txt";

bool holds_words(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / kVectorFile, ignored) && fs::exists(folder / kWordFile, ignored);
}

// build/PRESET/annulus: data/ is beside build/.
fs::path near_the_program() {
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  return failed ? fs::path() : program.parent_path().parent_path().parent_path() / "data";
}

}  // namespace

fs::path find_demo_data(const fs::path& given) {
  std::vector<fs::path> tried{given};
  if (given.empty()) tried = {ANNULUS_DATA_DIR, near_the_program(), "data"};
  std::string names;
  for (const fs::path& folder : tried) {
    if (folder.empty()) continue;
    if (holds_words(folder)) return folder;
    names += (names.empty() ? "'" : ", '") + folder.string() + "'";
  }
  throw Error(ErrorCode::kNotFound,
              fmt::format("no {} and {} in {}; name the folder that holds them with --data DIR", kVectorFile, kWordFile, names));
}

WordVectors load_words(const fs::path& folder) {
  WordVectors data{read_lines(folder / kWordFile), read_fbin(folder / kVectorFile)};
  const auto rows = static_cast<std::size_t>(data.vectors.rows());
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::kInvalidArgument, fmt::format("'{}': {}", folder.string(), what));
  };
  if (data.words.size() != rows) {
    refuse(fmt::format("{} has {} lines and {} has {} vectors; they must be as many", kWordFile, data.words.size(), kVectorFile, rows));
  }
  if (rows < kFewestDemoWords) refuse(fmt::format("{} words; the demo needs at least {}", rows, kFewestDemoWords));
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < rows; ++i) {
    if (!seen.insert(data.words[i]).second) refuse(fmt::format("the word '{}' is there twice", display_key(data.words[i])));
    auto row = data.vectors.row(static_cast<Eigen::Index>(i));
    const double length = row.cast<double>().norm();
    if (!(length > 0) || !std::isfinite(length)) {
      refuse(fmt::format("the vector of '{}' is zero or not finite; a cosine needs a direction", display_key(data.words[i])));
    }
    row = (row.cast<double>() / length).cast<float>();
  }
  return data;
}

}  // namespace annulus::cli
