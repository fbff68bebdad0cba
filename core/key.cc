#include "core/key.h"

#include "core/error.h"

namespace annulus {
namespace {

unsigned char byte_at(KeyView s, std::size_t i) noexcept { return static_cast<unsigned char>(s[i]); }

/// Length of the well-formed, printable UTF-8 sequence at s[i], or 0 (Unicode 15, table 3-7; C0 and C1 controls excluded).
std::size_t printable_utf8_length(KeyView s, std::size_t i) noexcept {
  const unsigned char first = byte_at(s, i);
  if (first < 0x80) return first >= 0x20 && first != 0x7F ? 1 : 0;
  const std::size_t length = first >= 0xC2 && first <= 0xDF ? 2 : first >= 0xE0 && first <= 0xEF ? 3 : first >= 0xF0 && first <= 0xF4 ? 4 : 0;
  if (length == 0 || i + length > s.size()) return 0;
  for (std::size_t j = 1; j < length; ++j) {
    if ((byte_at(s, i + j) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = byte_at(s, i + 1);
  const bool overlong_or_surrogate = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                                     (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
  const bool c1_control = first == 0xC2 && second < 0xA0;
  return overlong_or_surrogate || c1_control ? 0 : length;
}

}  // namespace

std::uint64_t id_of_key(KeyView key) noexcept {
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < 8 && i < key.size(); ++i) id |= std::uint64_t{byte_at(key, i)} << (8 * i);
  return id;
}

void validate_key(KeyView key, KeyKind kind) {
  if (kind == KeyKind::kId) {
    if (key.size() != 8) {
      throw Error(ErrorCode::kInvalidArgument, "a key of " + std::to_string(key.size()) +
                                                   " bytes in a cluster of 64-bit ids, whose keys have 8: pass IdKey(id)");
    }
    return;
  }
  if (key.empty()) throw Error(ErrorCode::kInvalidArgument, "an empty key: a key has 1 to 1024 bytes");
  if (key.size() > kMaxKeyBytes) {
    throw Error(ErrorCode::kInvalidArgument, "a key of " + std::to_string(key.size()) +
                                                 " bytes: a key has 1 to 1024 bytes; hash longer names before use");
  }
}

std::strong_ordering compare_keys(KeyView a, KeyView b, KeyKind kind) noexcept {
  if (kind == KeyKind::kId) return id_of_key(a) <=> id_of_key(b);
  return a.compare(b) <=> 0;
}

std::string display_key(KeyView key, KeyKind kind) {
  if (kind == KeyKind::kId && key.size() == 8) return std::to_string(id_of_key(key));
  static constexpr char kHex[] = "0123456789abcdef";
  std::string shown;
  for (std::size_t i = 0; i < key.size();) {
    const std::size_t length = printable_utf8_length(key, i);
    if (length == 0) {
      shown += "\\x";
      shown += kHex[byte_at(key, i) >> 4];
      shown += kHex[byte_at(key, i) & 15];
      ++i;
      continue;
    }
    if (key[i] == '\\') shown += '\\';
    shown.append(key, i, length);
    i += length;
  }
  return shown;
}

}  // namespace annulus
