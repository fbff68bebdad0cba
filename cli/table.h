// Aligned tables and numbers for people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace annulus::cli {

enum class Align { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;  ///< numbers: kRight
};

/// A table that is printed once all its rows are known:
///
///     node      keys   share
///     ───────  ─────  ──────
///     shard-1  5,012  25.1 %
class Table {
 public:
  explicit Table(std::vector<Column> columns);

  /// Adds a row; missing cells are empty. Throws std::invalid_argument if it has more cells than the table has columns.
  void add_row(std::vector<std::string> cells);

  /// Adds a line, as under the titles; for sums.
  void add_rule();

  /// The lines, each after `indent` spaces and ended by "\n", without trailing spaces.
  std::string to_string(std::size_t indent = 2) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;  // a row without cells is a rule
};

/// Columns that `text` takes on a terminal: 0 for combining marks and codes that set a colour (ESC [ ... m), 2 for wide
/// characters (Unicode's East Asian Width W and F, emoji included), 1 for all else, and for each byte that is no UTF-8.
std::size_t display_width(std::string_view text) noexcept;

/// 1234567 as "1,234,567".
std::string with_commas(std::uint64_t value);

/// 0.2512 as "25.1 %".
std::string percent(double fraction, int decimals = 1);

/// 0.0123 s as "12.3 ms"; three significant digits, from ns to s.
std::string duration_text(double seconds);

/// 4200000 as "4.20 MB"; powers of 1000.
std::string bytes_text(double bytes);

}  // namespace annulus::cli
