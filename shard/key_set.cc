#include "shard/key_set.h"

#include <algorithm>
#include <bit>

#include "core/error.h"

namespace annulus {

KeySet::KeySet(std::span<const KeyView> keys, KeyKind kind) : kind_(kind) {
  if (keys.size() >= kNone) {
    throw Error(ErrorCode::kInvalidArgument, "a set of " + std::to_string(keys.size()) + " keys, expected fewer than 2^32 - 1");
  }
  struct Hashed {
    Token token;
    KeyView key;
  };
  std::vector<Hashed> hashed;
  hashed.reserve(keys.size());
  for (const KeyView key : keys) {
    validate_key(key, kind);
    hashed.push_back({token_of_key(key), key});
  }
  std::sort(hashed.begin(), hashed.end(),
            [](const Hashed& a, const Hashed& b) { return a.token != b.token ? a.token < b.token : a.key < b.key; });
  hashed.erase(std::unique(hashed.begin(), hashed.end(), [](const Hashed& a, const Hashed& b) { return a.key == b.key; }),
               hashed.end());
  if (hashed.empty()) return;
  entries_.reserve(hashed.size());
  places_.assign(std::bit_ceil(2 * hashed.size()), kNone);
  for (const Hashed& one : hashed) {
    std::size_t at = one.token & (places_.size() - 1);
    while (places_[at] != kNone) at = (at + 1) & (places_.size() - 1);
    places_[at] = static_cast<std::uint32_t>(entries_.size());
    entries_.push_back({one.token, bytes_.size(), static_cast<std::uint32_t>(one.key.size())});
    bytes_.append(one.key);
  }
}

bool KeySet::contains(Token token, KeyView key) const noexcept {
  if (empty()) return false;
  for (std::size_t at = token & (places_.size() - 1); places_[at] != kNone; at = (at + 1) & (places_.size() - 1)) {
    const Entry& entry = entries_[places_[at]];
    if (entry.token == token && key_of(entry) == key) return true;
  }
  return false;
}

}  // namespace annulus
