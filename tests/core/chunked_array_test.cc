#include "core/chunked_array.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

namespace annulus {
namespace {

TEST(ChunkedArray, AgreesWithAVectorThroughGrowthAndShrinking) {
  std::mt19937_64 random(5);
  ChunkedArray<std::uint32_t> array;
  std::vector<std::uint32_t> oracle;
  for (int step = 0; step < 300; ++step) {
    const auto value = static_cast<std::uint32_t>(random());
    switch (random() % 4) {
      case 0:
        if (!oracle.empty()) {
          array.pop_back();
          oracle.pop_back();
        }
        break;
      case 1: {
        const std::size_t size = random() % 20000;
        array.resize(size, value);
        oracle.resize(size, value);
        break;
      }
      default:
        array.push_back(value);
        oracle.push_back(value);
    }
    ASSERT_EQ(array.size(), oracle.size());
    ASSERT_GE(array.capacity(), array.size());
    for (std::size_t i = 0; i < oracle.size(); ++i) ASSERT_EQ(array[i], oracle[i]) << "element " << i;
  }
}

TEST(ChunkedArray, NeverMovesAnElement) {
  ChunkedArray<std::uint64_t> array;
  std::vector<const std::uint64_t*> places;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    array.push_back(i);
    places.push_back(&array[i]);
  }
  for (std::uint64_t i = 0; i < places.size(); ++i) ASSERT_EQ(&array[i], places[i]);
}

TEST(ChunkedArray, CountsWhatWasWrittenAndNotWhatIsReserved) {
  ChunkedArray<std::uint64_t> array;
  EXPECT_EQ(array.memory_bytes(), 0U);
  array.reserve(1000000);
  EXPECT_EQ(array.memory_bytes(), 0U);
  array.resize(5000, 1);
  array.resize(10, 1);
  EXPECT_EQ(array.memory_bytes(), 5000 * sizeof(std::uint64_t));
}

TEST(ChunkedArrayConcurrency, PublishedElementsAreReadWhileItGrows) {
  constexpr std::size_t kSize = 200000;
  ChunkedArray<std::uint64_t> array;
  std::atomic<std::size_t> published{0};
  std::atomic<std::size_t> wrong{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&, r] {
      std::mt19937_64 random(static_cast<std::uint64_t>(r));
      for (std::size_t n = 0; n < kSize;) {
        n = published.load(std::memory_order_acquire);
        if (n == 0) continue;
        const std::size_t i = random() % n;
        if (array[i] != i * 7) wrong.fetch_add(1);
        if (array[n - 1] != (n - 1) * 7) wrong.fetch_add(1);
      }
    });
  }
  for (std::size_t i = 0; i < kSize; ++i) {
    array.push_back(i * 7);
    published.store(i + 1, std::memory_order_release);
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0U);
}

}  // namespace
}  // namespace annulus
