// Tokens, owners, replica sets and bytes are what they were when the file was made. If this fails, keys have moved on
// every ring in use: that is a decision (a new placement version), not a fix of the file.
#include "tests/golden/ring_golden.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "ring/hash_ring.h"

namespace annulus {
namespace {

using Json = nlohmann::ordered_json;

Json golden_file() {
  std::ifstream file(ANNULUS_SOURCE_DIR "/tests/golden/ring_v1.json");
  return Json::parse(file);
}

std::string unhex(const std::string& text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  return bytes;
}

TEST(RingGolden, KeysHaveTheTokensTheyHad) { EXPECT_EQ(ring_golden()["keys"], golden_file()["keys"]); }

TEST(RingGolden, RingsAreWhatTheyWere) {
  const Json now = ring_golden();
  const Json file = golden_file();
  EXPECT_EQ(now["placement_version"], file["placement_version"]);
  ASSERT_EQ(now["rings"].size(), file["rings"].size());
  for (std::size_t i = 0; i < file["rings"].size(); ++i) {
    for (const auto& [field, value] : file["rings"][i].items()) EXPECT_EQ(now["rings"][i][field], value) << field << " of " << i;
  }
}

TEST(RingGolden, SavedRingsOpenAndServe) {
  const Json file = golden_file();
  for (const Json& saved : file["rings"]) {
    const ConsistentHasher ring = ConsistentHasher::from_bytes(unhex(saved["bytes"]));
    EXPECT_EQ(std::to_string(ring.fingerprint()), saved["fingerprint"]);
    for (std::size_t i = 0; i < file["keys"].size(); ++i) {
      const std::string key = unhex(file["keys"][i]["bytes"]);
      EXPECT_EQ(Json(ring.replica_set(KeyView(key), 4).nodes), saved["replicas"][i]) << saved["name"] << ", key " << i;
    }
  }
}

}  // namespace
}  // namespace annulus
