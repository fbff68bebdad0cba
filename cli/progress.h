// A progress bar on stderr.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace annulus::cli {

/// Shows how far a task is, with rate and time to go, on stderr if that is a terminal; prints nothing otherwise.
///
/// The line is redrawn at most ten times a second, and erased when the bar goes. Not thread-safe: one thread updates it, and
/// nothing else writes to the terminal meanwhile.
class ProgressBar {
 public:
  /// `total` may be 0 if it is not known yet; `unit` is a plural, as in "keys".
  ProgressBar(std::string label, std::uint64_t total, std::string unit);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(std::uint64_t done);

  /// Also corrects the total, when the task has learned more.
  void update(std::uint64_t done, std::uint64_t total);

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_;
  std::string unit_;
  std::uint64_t total_;
  bool on_terminal_;
  Clock::time_point started_;
  Clock::time_point drawn_;
};

/// The line that a bar shows, at most `columns` wide: label, bar, percentage, count, rate, time to go. What does not fit is
/// left out from the right.
std::string progress_line(std::string_view label, std::uint64_t done, std::uint64_t total, std::string_view unit, double seconds,
                          std::size_t columns);

}  // namespace annulus::cli
