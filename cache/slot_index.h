// Private to cache/: which slot holds a key, by the key's token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ring/token.h"

namespace annulus::internal {

/// Open addressing with linear probing over (tag, slot) pairs of 8 bytes, at most half full. The tag is a part of the token that
/// also says where the search begins, so that a removal moves what follows without a look at the slots.
/// At one cache node tokens share their top bits (the node owns arcs): the tag is cut from below them.
class SlotIndex {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFu;

  /// The slot with this token of which `is_it(slot)` says that it has the key, or kNone.
  template <typename IsIt>
  std::uint32_t find(Token token, IsIt&& is_it) const noexcept {
    if (pairs_.empty()) return kNone;
    const std::uint32_t tag = tag_of(token);
    for (std::size_t at = tag & mask_;; at = (at + 1) & mask_) {
      if (pairs_[at].slot == kNone) return kNone;
      if (pairs_[at].tag == tag && is_it(pairs_[at].slot)) return pairs_[at].slot;
    }
  }

  /// Makes room for one more, so that the next insert() cannot fail. O(1) amortised.
  void reserve_one();

  /// The slot's key must not be there yet, and reserve_one() have been called.
  void insert(Token token, std::uint32_t slot) noexcept;

  /// The slot must be there.
  void erase(Token token, std::uint32_t slot) noexcept;

  void clear() noexcept;

 private:
  struct Pair {
    std::uint32_t tag = 0;
    std::uint32_t slot = kNone;
  };
  static std::uint32_t tag_of(Token token) noexcept { return static_cast<std::uint32_t>(token >> 12); }
  void place(Pair pair) noexcept;

  std::vector<Pair> pairs_;  // a power of two, or empty
  std::size_t mask_ = 0;
  std::size_t size_ = 0;
};

}  // namespace annulus::internal
