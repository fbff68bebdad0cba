// How text on stdout is set off, and bars made of text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace annulus::cli {

/// Colours for a terminal, or nothing at all. A value.
class TerminalStyle {
 public:
  /// Coloured if stdout is a terminal that understands it and the environment does not say NO_COLOR (https://no-color.org).
  static TerminalStyle of_stdout();

  explicit TerminalStyle(bool coloured) noexcept : coloured_(coloured) {}

  std::string heading(std::string_view text) const { return in("1", text); }
  std::string faint(std::string_view text) const { return in("2", text); }
  std::string good(std::string_view text) const { return in("32", text); }
  std::string bad(std::string_view text) const { return in("1;31", text); }
  std::string accent(std::string_view text) const { return in("36", text); }

 private:
  std::string in(std::string_view code, std::string_view text) const;

  bool coloured_;
};

/// `text`, `count` times.
std::string repeated(std::string_view text, std::size_t count);

/// A bar of `fraction` of `width` columns, to an eighth of a column; at least an eighth unless the fraction is 0.
std::string share_bar(double fraction, std::size_t width);

}  // namespace annulus::cli
