// The corpora of the fuzzers, replayed and damaged in order: neither the targets nor what the fuzzers found may rot.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "core/durable_file.h"
#include "tests/fuzz/targets.h"

// FAISS 1.7.3 leaks what it has read when it refuses the rest.
extern "C" const char* __lsan_default_suppressions() { return "leak:faiss::read_\n"; }

namespace annulus::fuzz {
namespace {

struct Corpus {
  const char* name;
  Target target;
};

class EveryCorpus : public ::testing::TestWithParam<Corpus> {
 protected:
  // Seeds are sound inputs; files called found-* are what a fuzzer found.
  template <typename Visit>
  void each(const Visit& visit) const {
    const std::filesystem::path folder = std::filesystem::path(ANNULUS_SOURCE_DIR) / "tests/fuzz/corpus" / GetParam().name;
    for (const auto& file : std::filesystem::directory_iterator(folder)) visit(file.path(), read_file(file.path()));
  }
};

INSTANTIATE_TEST_SUITE_P(Targets, EveryCorpus,
                         ::testing::Values(Corpus{"index", index_target}, Corpus{"codec", codec_target},
                                           Corpus{"ring", ring_target}, Corpus{"manifest", manifest_target}),
                         [](const auto& kind) { return std::string(kind.param.name); });

TEST_P(EveryCorpus, HoldsSeedsThatAreAccepted) {
  std::size_t seeds = 0;
  each([&](const std::filesystem::path& path, const std::string& input) {
    const bool accepted = GetParam().target(input);
    if (path.filename().string().starts_with("found-")) return;
    EXPECT_TRUE(accepted) << path;
    ++seeds;
  });
  EXPECT_GT(seeds, 0u);
}

TEST_P(EveryCorpus, IsHarmlessCutShort) {
  each([&](const std::filesystem::path&, const std::string& input) {
    const std::size_t step = std::max<std::size_t>(1, input.size() / 200);
    for (std::size_t size = 0; size < input.size(); size += step) GetParam().target(std::string_view(input).substr(0, size));
  });
}

TEST_P(EveryCorpus, IsHarmlessWithAnyByteAltered) {
  each([&](const std::filesystem::path&, const std::string& input) {
    // every byte of the head, where the sizes are, and a sample of the rest
    const std::size_t step = std::max<std::size_t>(1, input.size() / 200);
    for (std::size_t at = 0; at < input.size(); at += at < 160 ? 1 : step) {
      for (const unsigned flip : {0x01u, 0x80u, 0xFFu}) {
        std::string altered = input;
        altered[at] = static_cast<char>(static_cast<unsigned char>(altered[at]) ^ flip);
        GetParam().target(altered);
      }
    }
  });
}

}  // namespace
}  // namespace annulus::fuzz
