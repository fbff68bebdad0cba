// How a running move is watched and steered: progress, throttle, pause, abort. Shared by every kind of rebalancer.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string_view>
#include <utility>

namespace annulus {

/// What a move has done so far.
struct MoveProgress {
  std::string_view stage;            ///< "counting", "copying" (each chunk is verified when it is copied), "dropping"
  std::uint64_t done = 0;            ///< (key, target) pairs dealt with in this stage
  std::uint64_t total = 0;           ///< pairs expected in this stage, counted when it began; live writes may change it
  std::uint64_t bytes = 0;           ///< sent in all
  double seconds = 0;                ///< since the start
  double eta_seconds = 0;            ///< of this stage, at the rate so far; 0 when unknown
};

/// How a move goes about its work.
struct RebalanceOptions {
  std::uint64_t max_bytes_per_second = 0;  ///< 0: no limit
  std::size_t page_records = 256;          ///< records or entries a copy step: what a shard's lock is held for
  std::size_t chunk_arcs = 64;             ///< arcs copied and verified together
};

using ProgressCallback = std::function<void(const MoveProgress&)>;

/// Steers one move from other threads. Thread-safe.
class MoveControl {
 public:
  /// Bytes per second from now on; 0: no limit.
  void set_max_rate(std::uint64_t bytes_per_second);
  void pause();
  void resume();
  /// Asks the move to stop at its next step.
  void abort();
  bool abort_requested() const;
  void set_progress(ProgressCallback callback);

  // --- for the mover

  /// A new run begins: clocks and counters start afresh, an old request to abort is forgotten.
  void start();
  /// Reports, and waits for nothing: a stage can be aborted before its first step, also when paused.
  void begin_stage(std::string_view stage, std::uint64_t total);
  /// Reports `done` more pairs and `bytes` more bytes; waits for as long as the rate demands or the move is paused.
  /// Throws Error(kAborted) if the move is to stop (and `may_abort`).
  void step(std::uint64_t done, std::uint64_t bytes, bool may_abort = true);

 private:
  void show(std::uint64_t done, std::uint64_t bytes);

  using Clock = std::chrono::steady_clock;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t bytes_per_second_ = 0;
  bool paused_ = false;
  bool aborted_ = false;
  ProgressCallback callback_;
  MoveProgress progress_;
  Clock::time_point started_ = Clock::now();
  Clock::time_point stage_started_ = started_;
  Clock::time_point next_send_ = started_;  // when the bytes sent so far are paid for
};

/// How a rebalancer of any kind is steered while it executes: from any thread.
class MoveSteering {
 public:
  /// Throws Error(kInvalidArgument) for pages or chunks of nothing.
  explicit MoveSteering(const RebalanceOptions& options);

  void pause() { control_.pause(); }
  void resume() { control_.resume(); }
  /// Bytes per second from now on; 0: no limit.
  void set_max_rate(std::uint64_t bytes_per_second) { control_.set_max_rate(bytes_per_second); }
  /// Called at every step from the executing thread, which waits for it; empty: nobody is told.
  void set_progress(ProgressCallback callback) { control_.set_progress(std::move(callback)); }

 protected:
  ~MoveSteering() = default;

  const RebalanceOptions options_;
  MoveControl control_;
};

}  // namespace annulus
