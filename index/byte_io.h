// Internal: the little-endian fields of our file formats.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"

namespace annulus {

class ByteWriter {
 public:
  template <std::unsigned_integral T>
  void put(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) bytes_ += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i));
  }

  /// Length, then bytes.
  void put_string(std::string_view text) {
    put(std::uint64_t{text.size()});
    bytes_ += text;
  }

  std::string take() noexcept { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Throws Error(kDataLoss) rather than read past the end, so a length that a file states is never trusted further than the
/// file is long.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) noexcept : bytes_(bytes) {}

  template <std::unsigned_integral T>
  T get() {
    const std::string_view field = take(sizeof(T));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= std::uint64_t{static_cast<unsigned char>(field[i])} << (8 * i);
    return static_cast<T>(value);
  }

  std::string_view get_string() { return take(get<std::uint64_t>()); }

  void skip(std::uint64_t count) { static_cast<void>(take(count)); }

  std::size_t left() const noexcept { return bytes_.size(); }

 private:
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size()) {
      throw Error(ErrorCode::kDataLoss,
                  "a field of " + std::to_string(count) + " bytes where " + std::to_string(bytes_.size()) + " are left");
    }
    const std::string_view field = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return field;
  }

  std::string_view bytes_;
};

}  // namespace annulus
