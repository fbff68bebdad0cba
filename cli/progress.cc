#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>
#include <vector>

#include "cli/table.h"

namespace annulus::cli {
namespace {

constexpr std::size_t kBarWidth = 24;
constexpr std::chrono::milliseconds kRedrawEvery{100};

/// Eighths of a cell, so that a slow task is seen to move.
std::string bar(double fraction) {
  static constexpr std::array kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths = static_cast<std::size_t>(fraction * kBarWidth * 8);
  std::string text;
  for (std::size_t i = 0; i < eighths / 8; ++i) text += "█";
  text += kEighths[eighths % 8];
  const std::size_t filled = (eighths + 7) / 8;
  for (std::size_t i = filled; i < kBarWidth; ++i) text += "░";
  return text;
}

std::string time_to_go(double seconds) {
  if (seconds < 60) return fmt::format("{:.0f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(std::min(seconds, 359999.0));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::size_t terminal_columns() noexcept {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void draw(const std::string& line) {
  std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
  std::fflush(stderr);
}

}  // namespace

std::string progress_line(std::string_view label, std::uint64_t done, std::uint64_t total, std::string_view unit, double seconds,
                          std::size_t columns) {
  std::vector<std::string> parts{std::string(label)};
  if (total > 0) {
    const double fraction = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    parts.push_back(bar(fraction));
    // Rounded down: 100 % means done.
    parts.push_back(fmt::format("{:3} %", static_cast<int>(fraction * 100)));
    parts.push_back(fmt::format("{} of {} {}", with_commas(done), with_commas(total), unit));
  } else {
    parts.push_back(fmt::format("{} {}", with_commas(done), unit));
  }
  if (seconds > 0 && done > 0) {
    const double rate = static_cast<double>(done) / seconds;
    parts.push_back(fmt::format("{}/s", with_commas(static_cast<std::uint64_t>(rate))));
    if (total > done) parts.push_back(fmt::format("{} to go", time_to_go(static_cast<double>(total - done) / rate)));
  }
  std::string line;
  for (const std::string& part : parts) {
    std::string longer = line;
    if (!longer.empty()) longer += "  ";
    longer += part;
    if (display_width(longer) > columns) break;
    line = std::move(longer);
  }
  return line;
}

ProgressBar::ProgressBar(std::string label, std::uint64_t total, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      on_terminal_(::isatty(STDERR_FILENO) == 1),
      started_(Clock::now()),
      drawn_(started_ - kRedrawEvery) {
  update(0);
}

ProgressBar::~ProgressBar() {
  if (on_terminal_) draw("");
}

void ProgressBar::update(std::uint64_t done) {
  if (!on_terminal_) return;
  const Clock::time_point now = Clock::now();
  if (now - drawn_ < kRedrawEvery) return;
  drawn_ = now;
  const std::chrono::duration<double> elapsed = now - started_;
  // The last column stays free: some terminals wrap when it is written.
  draw(progress_line(label_, done, total_, unit_, elapsed.count(), terminal_columns() - 1));
}

void ProgressBar::update(std::uint64_t done, std::uint64_t total) {
  total_ = total;
  update(done);
}

}  // namespace annulus::cli
