#include "rebalance/key_catalogue.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace annulus {
namespace {

KeyCatalogue catalogue_of(const std::vector<std::string>& keys) {
  KeyCatalogue catalogue;
  for (const std::string& key : keys) catalogue.add(key);
  catalogue.seal();
  return catalogue;
}

std::vector<std::string> numbered(std::size_t count) {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < count; ++i) keys.push_back("key-" + std::to_string(i));
  return keys;
}

std::multiset<std::string> keys_in(const KeyCatalogue& catalogue, const std::vector<Arc>& arcs) {
  std::multiset<std::string> keys;
  catalogue.each(arcs, [&](const KeyCatalogue::Entry& entry) { keys.insert(entry.key); });
  return keys;
}

TEST(KeyCatalogue, GivesTheKeysOfArcsAsTheirTokensSay) {
  const std::vector<std::string> keys = numbered(500);
  const KeyCatalogue catalogue = catalogue_of(keys);
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    // arcs end at keys' own tokens every other time: the end is in, the beginning is not
    const auto end = [&] { return random() % 2 == 0 ? random() : token_of_key(keys[random() % keys.size()]); };
    const Arc arc{end(), end()};
    std::multiset<std::string> expected;
    for (const std::string& key : keys) {
      if (arc.contains(token_of_key(key))) expected.insert(key);
    }
    ASSERT_EQ(keys_in(catalogue, {arc}), expected) << "seed 7, round " << round;
  }
}

TEST(KeyCatalogue, GivesEachKeyOfTheWholeRingOnce) {
  const std::vector<std::string> keys = numbered(100);
  const std::multiset<std::string> expected(keys.begin(), keys.end());
  EXPECT_EQ(keys_in(catalogue_of(keys), {Arc{0, 0}}), expected);
  const Token somewhere = token_of_key(keys[3]);
  EXPECT_EQ(keys_in(catalogue_of(keys), {Arc{somewhere, somewhere}}), expected);
}

TEST(KeyCatalogue, KeepsOneOfEqualKeys) {
  EXPECT_EQ(keys_in(catalogue_of({"a", "b", "a"}), {Arc{0, 0}}), (std::multiset<std::string>{"a", "b"}));
}

TEST(KeyCatalogue, HasNothingToGiveWhenItIsEmpty) { EXPECT_TRUE(keys_in(catalogue_of({}), {Arc{0, 0}, Arc{9, 4}}).empty()); }

}  // namespace
}  // namespace annulus
