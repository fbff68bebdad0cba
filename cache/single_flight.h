// Private to cache/: one computation a key at a time, however many threads ask.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "core/key.h"
#include "ring/token.h"

namespace annulus::internal {

/// Who asks first for a key leads its flight and does the work; who asks meanwhile waits for the outcome.
class SingleFlight {
 public:
  struct Outcome {
    std::string value;
    bool joined = false;  ///< of another's flight
  };

  /// work()'s value, or that of the flight under way. Throws what work threw, to everybody; Error(kFailedPrecondition) if
  /// waiting could never end, because the flight waits for this thread.
  Outcome run(KeyView key, Token token, const std::function<std::string()>& work);

  /// Later callers of run() do not join the flight that is under way now. One load if there is none at all.
  void detach(KeyView key, Token token) noexcept;

 private:
  struct Flight {
    explicit Flight(std::thread::id thread) : leader(thread) {}
    const std::thread::id leader;
    std::mutex mutex;
    std::condition_variable landed;
    std::atomic<bool> done{false};  // set under the mutex; then value and failure do not change any more
    std::string value;
    std::exception_ptr failure;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view key) const noexcept { return token_of_key(key); }
  };
  struct alignas(64) Part {
    std::mutex mutex;
    std::unordered_map<std::string, std::shared_ptr<Flight>, Hash, std::equal_to<>> flights;
  };

  Part& part_of(Token token) noexcept { return parts_[token % parts_.size()]; }
  std::string lead(KeyView key, Token token, const std::shared_ptr<Flight>& flight, const std::function<std::string()>& work);
  std::string join(KeyView key, const std::shared_ptr<Flight>& flight);
  void begin_waiting(KeyView key, const std::shared_ptr<Flight>& flight);
  void remove(KeyView key, Token token, const Flight* flight) noexcept;

  std::array<Part, 64> parts_;
  std::atomic<std::size_t> under_way_{0};  // flights in parts_
  std::mutex waits_mutex_;
  std::unordered_map<std::thread::id, std::shared_ptr<Flight>> waits_for_;  // by the thread that waits
};

}  // namespace annulus::internal
