#include "cache/snapshot_domain.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

namespace annulus::internal {
namespace {

struct Numbered {
  explicit Numbered(int n, std::atomic<int>* count) : number(n), alive(count) { ++*alive; }
  ~Numbered() {
    number = -1;
    --*alive;
  }
  int number;
  std::atomic<int>* alive;
};
using Domain = SnapshotDomain<Numbered>;

TEST(SnapshotDomain, APublicationWaitsForWhoHoldsTheSnapshotBefore) {
  std::atomic<int> alive{0};
  Domain domain(std::make_unique<Numbered>(1, &alive));
  auto pin = std::make_unique<Domain::Pin>(domain);
  std::atomic<bool> returned{false};
  std::thread publisher([&] {
    domain.publish(std::make_unique<Numbered>(2, &alive));
    returned = true;
  });
  while (Domain::Pin(domain)->number == 1) std::this_thread::yield();
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  EXPECT_FALSE(returned.load());
  EXPECT_EQ((*pin)->number, 1);
  pin.reset();
  publisher.join();
  EXPECT_EQ(alive.load(), 1);
  EXPECT_EQ(Domain::Pin(domain)->number, 2);
}

TEST(SnapshotDomain, AWaitEndsAlthoughNewReadersKeepComing) {
  std::atomic<int> alive{0};
  std::atomic<bool> stop{false};
  Domain domain(std::make_unique<Numbered>(1, &alive));
  std::latch reading(3);
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      // two pins that overlap: there is always one
      auto pin = std::make_unique<Domain::Pin>(domain);
      reading.count_down();
      while (!stop) {
        auto next = std::make_unique<Domain::Pin>(domain);
        pin = std::move(next);
      }
    });
  }
  reading.wait();
  for (int i = 0; i < 20; ++i) domain.wait();
  stop = true;
  for (auto& reader : readers) reader.join();
}

TEST(SnapshotDomain, NobodySeesASnapshotThatIsGone) {
  std::atomic<int> alive{0};
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  {
    Domain domain(std::make_unique<Numbered>(0, &alive));
    std::vector<std::thread> readers;
    for (int i = 0; i < 3; ++i) {
      readers.emplace_back([&] {
        int last = 0;
        while (!stop) {
          const Domain::Pin pin(domain);
          if (pin->number < last) ++wrong;
          last = pin->number;
        }
      });
    }
    for (int i = 1; i <= 2000; ++i) domain.publish(std::make_unique<Numbered>(i, &alive));
    stop = true;
    for (auto& reader : readers) reader.join();
    EXPECT_EQ(alive.load(), 1);
  }
  EXPECT_EQ(alive.load(), 0);
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace annulus::internal
