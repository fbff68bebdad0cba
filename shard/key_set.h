// A set of keys that searches are allowed, or forbidden, to return.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/key.h"
#include "ring/token.h"

namespace annulus {

/// An immutable set of keys, hashed once and shared by any number of searches. It owns copies of the keys; they need not be in
/// the cluster.
///
/// Memory: about 32 bytes a key and its bytes. Thread safety: const calls from any threads.
class KeySet {
 public:
  /// The empty set.
  KeySet() = default;
  /// Equal keys count once. O(n). Throws Error(kInvalidArgument) for a key that is not legal (core/key.h).
  explicit KeySet(std::span<const KeyView> keys, KeyKind kind = KeyKind::kBytes);

  std::size_t size() const noexcept { return entries_.size(); }
  bool empty() const noexcept { return entries_.empty(); }
  KeyKind kind() const noexcept { return kind_; }

  /// O(1) expected.
  bool contains(KeyView key) const noexcept { return !empty() && contains(token_of_key(key), key); }
  /// The same where the key's token is known.
  bool contains(Token token, KeyView key) const noexcept;

  /// Calls visit(token, key) for each key, in the order of their tokens.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const Entry& entry : entries_) visit(entry.token, key_of(entry));
  }

 private:
  struct Entry {
    Token token;
    std::uint64_t begin;  // in bytes_
    std::uint32_t size;
  };
  static constexpr std::uint32_t kNone = UINT32_MAX;

  KeyView key_of(const Entry& entry) const noexcept { return KeyView(bytes_).substr(entry.begin, entry.size); }

  KeyKind kind_ = KeyKind::kBytes;
  std::string bytes_;
  std::vector<Entry> entries_;  // by token
  std::vector<std::uint32_t>
      places_;  // a power of two, at least twice as many as entries: their numbers, from the token's low bits on
};

}  // namespace annulus
