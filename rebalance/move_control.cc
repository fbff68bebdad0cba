#include "rebalance/move_control.h"

#include <algorithm>

#include "core/error.h"

namespace annulus {

void MoveControl::set_max_rate(std::uint64_t bytes_per_second) {
  std::lock_guard lock(mutex_);
  bytes_per_second_ = bytes_per_second;
  next_send_ = Clock::now();
  changed_.notify_all();
}

void MoveControl::pause() {
  std::lock_guard lock(mutex_);
  paused_ = true;
}

void MoveControl::resume() {
  std::lock_guard lock(mutex_);
  paused_ = false;
  changed_.notify_all();
}

void MoveControl::abort() {
  std::lock_guard lock(mutex_);
  aborted_ = true;
  changed_.notify_all();
}

bool MoveControl::abort_requested() const {
  std::lock_guard lock(mutex_);
  return aborted_;
}

void MoveControl::set_progress(ProgressCallback callback) {
  std::lock_guard lock(mutex_);
  callback_ = std::move(callback);
}

void MoveControl::start() {
  std::lock_guard lock(mutex_);
  aborted_ = false;
  progress_ = {};
  started_ = stage_started_ = next_send_ = Clock::now();
}

void MoveControl::begin_stage(std::string_view stage, std::uint64_t total) {
  {
    std::lock_guard lock(mutex_);
    progress_.stage = stage;
    progress_.done = 0;
    progress_.total = total;
    stage_started_ = Clock::now();
  }
  show(0, 0);
}

void MoveControl::step(std::uint64_t done, std::uint64_t bytes, bool may_abort) {
  show(done, bytes);
  std::unique_lock lock(mutex_);
  while (!(may_abort && aborted_)) {
    if (paused_) {
      changed_.wait(lock);
    } else if (bytes_per_second_ > 0 && Clock::now() < next_send_) {
      changed_.wait_until(lock, next_send_);
    } else {
      return;
    }
  }
  throw Error(ErrorCode::kAborted, "the move was aborted on request");
}

void MoveControl::show(std::uint64_t done, std::uint64_t bytes) {
  MoveProgress shown;
  ProgressCallback callback;
  {
    std::lock_guard lock(mutex_);
    progress_.done += done;
    progress_.bytes += bytes;
    const Clock::time_point now = Clock::now();
    progress_.seconds = std::chrono::duration<double>(now - started_).count();
    const double in_stage = std::chrono::duration<double>(now - stage_started_).count();
    const auto left = static_cast<double>(progress_.total - std::min(progress_.total, progress_.done));
    progress_.eta_seconds = progress_.done == 0 ? 0.0 : in_stage / static_cast<double>(progress_.done) * left;
    shown = progress_;
    callback = callback_;
    if (bytes_per_second_ > 0) {
      // unused time is not saved up: a pause is not followed by a burst
      const std::chrono::duration<double> cost(static_cast<double>(bytes) / static_cast<double>(bytes_per_second_));
      next_send_ = std::max(next_send_, now) + std::chrono::duration_cast<Clock::duration>(cost);
    }
  }
  if (callback) callback(shown);
}

MoveSteering::MoveSteering(const RebalanceOptions& options) : options_(options) {
  if (options_.page_records == 0 || options_.chunk_arcs == 0) {
    throw Error(ErrorCode::kInvalidArgument, "page_records and chunk_arcs must be at least 1");
  }
  control_.set_max_rate(options_.max_bytes_per_second);
}

}  // namespace annulus
