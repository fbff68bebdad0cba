// Removes the entries of generations that ended, a step with each call that goes to Redis anyway.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "cache/redis_connection.h"
#include "cache/redis_format.h"
#include "cache/redis_generation.h"

namespace annulus {

/// One for each node. Thread-safe: of several calls at once one takes a step.
class RedisSweep {
 public:
  static constexpr int kNamesPerStep = 256;  ///< that Redis looks at, of all that it holds

  explicit RedisSweep(const RedisNames& names) : names_(names) {}

  /// Appends a step's commands, if there is something to do; receive() must follow the replies of what was appended before.
  class Step {
   public:
    Step(RedisSweep& sweep, RedisConnection& connection, const RedisGenerationState& state);
    void receive();

   private:
    RedisSweep& sweep_;
    RedisConnection& connection_;
    std::unique_lock<std::mutex> lock_;  // held while the step is under way
  };

 private:
  friend class Step;

  enum class Stage { kAsk, kSweep, kDone };  // another client may have swept the generation's predecessors

  const RedisNames& names_;
  std::mutex mutex_;
  std::string record_;  // of the generation whose predecessors are swept
  std::uint64_t number_ = 0;
  Stage stage_ = Stage::kAsk;
  std::string cursor_ = "0";
  bool last_page_ = false;
  std::vector<std::string> victims_;
};

}  // namespace annulus
