#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

namespace annulus::cli {
namespace {

struct Range {
  char32_t first, last;
};

// Unicode 15, general categories Mn and Cf, as far as keys and words in the usual scripts use them.
constexpr std::array kZeroWidth = {Range{0x0300, 0x036F}, Range{0x0483, 0x0489}, Range{0x0591, 0x05BD}, Range{0x064B, 0x065F},
                                   Range{0x200B, 0x200F}, Range{0x20D0, 0x20F0}, Range{0xFE00, 0xFE0F}, Range{0xFE20, 0xFE2F}};

// Unicode 15, EastAsianWidth.txt, W and F, merged across unassigned gaps.
constexpr std::array kWide = {Range{0x1100, 0x115F},   Range{0x2E80, 0x303E},   Range{0x3041, 0x4DBF},   Range{0x4E00, 0xA4CF},
                              Range{0xA960, 0xA97C},   Range{0xAC00, 0xD7A3},   Range{0xF900, 0xFAFF},   Range{0xFE30, 0xFE6B},
                              Range{0xFF01, 0xFF60},   Range{0xFFE0, 0xFFE6},   Range{0x1F300, 0x1F64F}, Range{0x1F680, 0x1F6FF},
                              Range{0x1F900, 0x1F9FF}, Range{0x20000, 0x3FFFD}};

template <std::size_t N>
bool is_in(const std::array<Range, N>& ranges, char32_t c) noexcept {
  return std::any_of(ranges.begin(), ranges.end(), [c](Range r) { return r.first <= c && c <= r.last; });
}

/// The code point at text[i] and its length; a byte that starts no sequence is a code point of its own.
char32_t decode(std::string_view text, std::size_t i, std::size_t& length) noexcept {
  const auto byte = [&](std::size_t j) { return static_cast<unsigned char>(text[j]); };
  const unsigned char first = byte(i);
  length = first >= 0xF0 && first < 0xF8 ? 4 : first >= 0xE0 && first < 0xF0 ? 3 : first >= 0xC0 && first < 0xE0 ? 2 : 1;
  if (i + length > text.size()) length = 1;
  for (std::size_t j = 1; j < length; ++j) {
    if ((byte(i + j) & 0xC0) != 0x80) length = 1;
  }
  if (length == 1) return first;
  char32_t c = first & (0xFFU >> (length + 1));
  for (std::size_t j = 1; j < length; ++j) c = c << 6 | (byte(i + j) & 0x3FU);
  return c;
}

/// Length of the code that sets a colour at text[i]; 0 if there is none.
std::size_t colour_code_length(std::string_view text, std::size_t i) noexcept {
  if (text.substr(i, 2) != "\x1b[") return 0;
  const std::size_t end = text.find_first_not_of("0123456789;", i + 2);
  return end != std::string_view::npos && text[end] == 'm' ? end + 1 - i : 0;
}

/// `value` with three significant digits, and the unit by whose `scale` it is at least 1.
struct Unit {
  double scale;
  const char* name;
};
template <std::size_t N>
std::string scaled(double value, const std::array<Unit, N>& units) {
  std::size_t i = 0;
  // 0.9995 rounds to four digits: such values take the next unit.
  while (i + 1 < N && value / units[i].scale < 0.9995) ++i;
  const double shown = value / units[i].scale;
  const int decimals = shown < 9.995 ? 2 : shown < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", shown, decimals, units[i].name);
}

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add_row(std::vector<std::string> cells) {
  if (cells.size() > columns_.size()) {
    throw std::invalid_argument(fmt::format("a row of {} cells in a table of {} columns", cells.size(), columns_.size()));
  }
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

void Table::add_rule() { rows_.emplace_back(); }

std::string Table::to_string(std::size_t indent) const {
  std::vector<std::size_t> widths;
  for (const Column& column : columns_) widths.push_back(display_width(column.title));
  for (const auto& row : rows_) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], display_width(row[c]));
  }
  std::string text;
  const auto add_line = [&](auto&& cell_of) {
    std::string line(indent, ' ');
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      const std::string cell = cell_of(c);
      const std::string padding(widths[c] - display_width(cell), ' ');
      if (c > 0) line += "  ";
      line += columns_[c].align == Align::kRight ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  };
  const auto add_rule_line = [&] {
    add_line([&](std::size_t c) {
      std::string rule;
      for (std::size_t i = 0; i < widths[c]; ++i) rule += "─";
      return rule;
    });
  };
  add_line([&](std::size_t c) { return columns_[c].title; });
  add_rule_line();
  for (const auto& row : rows_) {
    if (row.empty()) {
      add_rule_line();
    } else {
      add_line([&](std::size_t c) { return row[c]; });
    }
  }
  return text;
}

std::size_t display_width(std::string_view text) noexcept {
  std::size_t width = 0;
  for (std::size_t i = 0, length = 0; i < text.size(); i += length) {
    if (const std::size_t code = colour_code_length(text, i); code > 0) {
      length = code;
      continue;
    }
    const char32_t c = decode(text, i, length);
    if (length == 1 || !is_in(kZeroWidth, c)) width += length > 1 && is_in(kWide, c) ? 2 : 1;
  }
  return width;
}

std::string with_commas(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string percent(double fraction, int decimals) { return fmt::format("{:.{}f} %", 100 * fraction, decimals); }

std::string duration_text(double seconds) {
  return scaled(seconds, std::array{Unit{1, "s"}, Unit{1e-3, "ms"}, Unit{1e-6, "µs"}, Unit{1e-9, "ns"}});
}

std::string bytes_text(double bytes) {
  if (bytes < 999.5) return fmt::format("{:.0f} B", bytes);
  return scaled(bytes, std::array{Unit{1e12, "TB"}, Unit{1e9, "GB"}, Unit{1e6, "MB"}, Unit{1e3, "kB"}});
}

}  // namespace annulus::cli
