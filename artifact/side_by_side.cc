#include "artifact/side_by_side.h"

#include <algorithm>
#include <limits>
#include <system_error>

#include "core/error.h"

namespace annulus::internal {

std::vector<std::exception_ptr> side_by_side(std::size_t tasks, const std::function<void(std::size_t)>& run) {
  std::vector<std::exception_ptr> failures(tasks);
  const auto guarded = [&](std::size_t i) {
    try {
      run(i);
    } catch (...) {
      failures[i] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(tasks);
  for (std::size_t i = 1; i < tasks; ++i) {
    try {
      threads.emplace_back(guarded, i);
    } catch (const std::system_error&) {
      guarded(i);  // no thread to be had: here, then
    }
  }
  if (tasks > 0) guarded(0);
  for (std::thread& thread : threads) thread.join();
  return failures;
}

ChunkPipe::ChunkPipe(std::vector<Consumer> consumers)
    : consumers_(std::move(consumers)), done_(consumers_.size()), failures_(consumers_.size()) {
  threads_.reserve(consumers_.size());
  try {
    for (std::size_t i = 0; i < consumers_.size(); ++i) threads_.emplace_back([this, i] { consume(i); });
  } catch (const std::system_error& error) {
    stop(true);
    throw Error(ErrorCode::kResourceExhausted, std::string("cannot start a thread for a copy: ") + error.what());
  }
}

ChunkPipe::~ChunkPipe() { stop(true); }

void ChunkPipe::stop(bool at_once) noexcept {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    stopped_ = stopped_ || at_once;
  }
  produced_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

std::span<std::byte> ChunkPipe::buffer() {
  Slot& slot = slots_[pushed_ % kSlots];
  if (slot.bytes == nullptr) slot.bytes = std::make_unique_for_overwrite<std::byte[]>(kArtifactChunkBytes);
  std::unique_lock lock(mutex_);
  consumed_.wait(lock, [&] { return std::ranges::all_of(done_, [&](std::uint64_t done) { return done + kSlots > pushed_; }); });
  return {slot.bytes.get(), kArtifactChunkBytes};
}

void ChunkPipe::push(std::size_t bytes) {
  {
    std::lock_guard lock(mutex_);
    slots_[pushed_ % kSlots].size = bytes;
    ++pushed_;
  }
  produced_.notify_all();
}

void ChunkPipe::finish() { stop(false); }

std::exception_ptr ChunkPipe::failure(std::size_t consumer) const {
  std::lock_guard lock(mutex_);
  return failures_[consumer];
}

void ChunkPipe::consume(std::size_t consumer) {
  for (std::uint64_t next = 0;; ++next) {
    std::span<const std::byte> chunk;
    {
      std::unique_lock lock(mutex_);
      produced_.wait(lock, [&] { return stopped_ || ended_ || pushed_ > next; });
      if (stopped_ || pushed_ <= next) return;
      const Slot& slot = slots_[next % kSlots];
      chunk = {slot.bytes.get(), slot.size};
    }
    std::exception_ptr failure;
    try {
      consumers_[consumer](chunk);
    } catch (...) {
      failure = std::current_exception();
    }
    {
      std::lock_guard lock(mutex_);
      failures_[consumer] = failure;
      done_[consumer] = failure == nullptr ? next + 1 : std::numeric_limits<std::uint64_t>::max() / 2;
    }
    consumed_.notify_all();
    if (failure != nullptr) return;
  }
}

}  // namespace annulus::internal
