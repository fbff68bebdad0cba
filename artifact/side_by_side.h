// Private to artifact/: calls to several hosts at a time, and a stream that goes to several of them.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "artifact/artifact_host.h"

namespace annulus::internal {

/// Calls run(i) for i in [0, tasks), each on a thread of its own (they wait for disks and networks, not for a processor); returns
/// what each threw, null for none.
std::vector<std::exception_ptr> side_by_side(std::size_t tasks, const std::function<void(std::size_t)>& run);

/// Hands chunks, in order, to several consumers side by side. Holds kSlots chunks: whoever is slow holds up the producer.
/// One thread produces. A consumer that throws gets no more chunks; the others do.
class ChunkPipe {
 public:
  using Consumer = std::function<void(std::span<const std::byte> chunk)>;

  explicit ChunkPipe(std::vector<Consumer> consumers);
  ~ChunkPipe();
  ChunkPipe(const ChunkPipe&) = delete;
  ChunkPipe& operator=(const ChunkPipe&) = delete;

  /// Room for the next chunk, kArtifactChunkBytes. Waits until no consumer uses it any more.
  std::span<std::byte> buffer();
  /// Hands on the first `bytes` of it. The producer may read them until it calls buffer() again.
  void push(std::size_t bytes);
  /// Returns when all consumers are done with all chunks. Once, after the last push.
  void finish();

  /// What a consumer threw so far; null for none.
  std::exception_ptr failure(std::size_t consumer) const;

 private:
  static constexpr std::size_t kSlots = 3;
  struct Slot {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t size = 0;
  };

  void consume(std::size_t consumer);
  void stop(bool at_once) noexcept;

  std::vector<Consumer> consumers_;
  std::array<Slot, kSlots> slots_;
  mutable std::mutex mutex_;
  std::condition_variable produced_;
  std::condition_variable consumed_;
  std::uint64_t pushed_ = 0;
  std::vector<std::uint64_t> done_;  // chunks that each consumer is done with; all there will ever be, if it failed
  std::vector<std::exception_ptr> failures_;
  bool ended_ = false;    // no more pushes: consumers end when they are done
  bool stopped_ = false;  // consumers end now
  std::vector<std::thread> threads_;
};

}  // namespace annulus::internal
