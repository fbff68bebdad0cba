// Keys: the byte strings that name records.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace annulus {

/// A key's bytes; not owned.
using KeyView = std::string_view;

inline constexpr std::size_t kMaxKeyBytes = 1024;

/// What the keys of a cluster are. One kind for a whole cluster.
enum class KeyKind : std::uint8_t {
  kBytes,  ///< byte strings of 1 to kMaxKeyBytes bytes, ordered bytewise
  kId,     ///< unsigned 64-bit ids: hashed and stored as 8 little-endian bytes, ordered and shown as numbers
};

/// The 8 little-endian bytes of an id.
class IdKey {
 public:
  explicit IdKey(std::uint64_t id) noexcept {
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<char>(id >> (8 * i));
  }
  operator KeyView() const noexcept { return {bytes_.data(), bytes_.size()}; }  // NOLINT(google-explicit-constructor)

 private:
  std::array<char, 8> bytes_;
};

/// The id whose little-endian bytes are `key`, which has 8 of them.
std::uint64_t id_of_key(KeyView key) noexcept;

/// Throws Error(kInvalidArgument) unless `key` is a legal key of `kind`.
void validate_key(KeyView key, KeyKind kind);

/// The order of keys: bytewise, or numeric for ids. Ties of distance are broken by it.
std::strong_ordering compare_keys(KeyView a, KeyView b, KeyKind kind) noexcept;

/// For people: an id in decimal; bytes as they are when they are printable UTF-8, the others as \xNN (a backslash doubled).
std::string display_key(KeyView key, KeyKind kind = KeyKind::kBytes);

}  // namespace annulus
