#include "shard/key_arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace annulus {
namespace {

std::string random_key(std::size_t bytes, std::mt19937_64& random) {
  std::string key(bytes, '\0');
  for (char& byte : key) byte = static_cast<char>(random());
  return key;
}

struct Known {
  std::string key;
  bool marked;
};

void expect_equal(const KeyArena& arena, const std::map<KeyRef, Known>& model) {
  for (const auto& [ref, known] : model) {
    ASSERT_EQ(arena[ref], known.key) << "at " << ref;
    ASSERT_EQ(arena.marked(ref), known.marked) << "at " << ref;
  }
}

TEST(KeyArena, KeepsKeysOfEveryLengthWhereTheyAre) {
  std::mt19937_64 random(1);
  KeyArena arena;
  std::map<KeyRef, Known> model;
  for (std::size_t bytes = 1; bytes <= kMaxKeyBytes; ++bytes) {
    const std::string key = random_key(bytes, random);
    const KeyRef ref = arena.store(key);
    ASSERT_FALSE(arena.marked(ref));
    ASSERT_TRUE(model.emplace(ref, Known{key, false}).second);
  }
  expect_equal(arena, model);
  for (auto& [ref, known] : model) {
    known.marked = random() % 2 == 0;
    arena.mark(ref, true);
    arena.mark(ref, known.marked);
  }
  expect_equal(arena, model);
}

TEST(KeyArena, AgreesWithAMapWhileKeysComeAndGo) {
  for (const std::size_t longest : {3UL, 12UL, 200UL, kMaxKeyBytes}) {
    SCOPED_TRACE(longest);
    std::mt19937_64 random(longest);
    KeyArena arena;
    std::map<KeyRef, Known> model;
    for (int step = 0; step < 6000; ++step) {
      if (model.size() < 50 || random() % 2 == 0) {
        const std::string key = random_key(1 + random() % longest, random);
        const bool marked = random() % 3 == 0;
        const KeyRef ref = arena.store(key);
        if (marked) arena.mark(ref, true);
        ASSERT_TRUE(model.emplace(ref, Known{key, marked}).second);
      } else {
        auto any = model.begin();
        std::advance(any, static_cast<std::ptrdiff_t>(random() % std::min<std::size_t>(model.size(), 50)));
        arena.release(any->first);
        model.erase(any);
      }
      if (step % 500 == 0) expect_equal(arena, model);
    }
    expect_equal(arena, model);
  }
}

TEST(KeyArena, TakesAByteAKeyBesideItsBytes) {
  KeyArena arena;
  constexpr std::size_t kKeys = 100'000;
  for (std::size_t i = 0; i < kKeys; ++i) arena.store(KeyView("12345678"));
  EXPECT_GE(arena.memory_bytes(), kKeys * 9);
  EXPECT_LE(arena.memory_bytes(), kKeys * 9 + 2048);  // what is left of blocks, and their table
}

TEST(KeyArena, NeedsNoMoreRoomForKeysThatComeAndGo) {
  std::mt19937_64 random(3);
  KeyArena arena;
  std::vector<KeyRef> refs;
  for (int i = 0; i < 5000; ++i) refs.push_back(arena.store(random_key(40, random)));
  const std::size_t full = arena.memory_bytes();
  for (int round = 0; round < 5; ++round) {
    for (KeyRef& ref : refs) {
      arena.release(ref);
      ref = arena.store(random_key(round % 2 == 0 ? 15 : 40, random));  // a smaller one leaves the rest for another
    }
    ASSERT_LE(arena.memory_bytes(), full + full / 2);
  }
}

}  // namespace
}  // namespace annulus
