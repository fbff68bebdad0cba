// Private to cache/: one immutable snapshot that many threads read without a lock, and a publisher that can wait for them.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "cache/thread_stripe.h"

namespace annulus::internal {

/// Readers pin the current snapshot: an increment and a decrement of a counter that few threads share, and a load. A publisher
/// replaces the snapshot and waits until nobody holds an older one, as sleepable read-copy-update does [1].
///
/// Each stripe has two counters; readers use the one that `parity_` names. Whoever holds the old snapshot incremented one of
/// them before it loaded the pointer, hence before the publisher replaced it. So the publisher, which sees each of them at 0
/// once after that, has outwaited it, whichever it used; turning the parity twice keeps new readers away from the one that is
/// being waited for. (All accesses that this rests on are sequentially consistent.)
///
/// A pin may last as long as a call to a node; a thread must not publish or wait while it holds one.
/// [1] McKenney, "Sleepable Read-Copy Update", 2006.
template <typename T>
class SnapshotDomain {
 public:
  explicit SnapshotDomain(std::unique_ptr<const T> first) noexcept : current_(first.release()) {}
  ~SnapshotDomain() { delete current_.load(std::memory_order_acquire); }
  SnapshotDomain(const SnapshotDomain&) = delete;
  SnapshotDomain& operator=(const SnapshotDomain&) = delete;

  class Pin {
   public:
    explicit Pin(const SnapshotDomain& domain) noexcept
        : readers_(domain.stripes_[stripe_of_this_thread()].readers[domain.parity_.load(std::memory_order_relaxed)]) {
      readers_.fetch_add(1, std::memory_order_seq_cst);
      snapshot_ = domain.current_.load(std::memory_order_seq_cst);
    }
    ~Pin() { readers_.fetch_sub(1, std::memory_order_release); }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

    const T& operator*() const noexcept { return *snapshot_; }
    const T* operator->() const noexcept { return snapshot_; }

   private:
    std::atomic<std::uint64_t>& readers_;
    const T* snapshot_;
  };

  /// `next` is current when this begins to wait; when it returns, nobody holds an earlier one, and the one before is gone.
  void publish(std::unique_ptr<const T> next) noexcept {
    const std::unique_ptr<const T> previous(current_.exchange(next.release(), std::memory_order_seq_cst));
    wait();
  }

  /// Returns once all pins have ended that were held when it was called.
  void wait() noexcept {
    std::lock_guard one_at_a_time(waiting_);
    for (int turn = 0; turn < 2; ++turn) {
      const std::uint32_t parity = parity_.load(std::memory_order_relaxed);
      parity_.store(1 - parity, std::memory_order_seq_cst);
      for (Stripe& stripe : stripes_) wait_for(stripe.readers[parity]);
    }
  }

 private:
  struct alignas(128) Stripe {
    std::array<std::atomic<std::uint64_t>, 2> readers{};
  };

  static void wait_for(const std::atomic<std::uint64_t>& readers) noexcept {
    for (int tries = 0; readers.load(std::memory_order_seq_cst) != 0; ++tries) {
      if (tries < 64) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));  // a reader waits for a network
      }
    }
  }

  mutable std::array<Stripe, kStripes> stripes_{};
  std::atomic<std::uint32_t> parity_{0};
  std::atomic<const T*> current_;
  std::mutex waiting_;
};

}  // namespace annulus::internal
