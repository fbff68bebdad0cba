// The key bytes of a table, one after another in blocks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/key.h"
#include "core/prefetch.h"

namespace annulus {

/// Where a key lies in its arena, in units of 4 bytes; below 2^31 - 1.
using KeyRef = std::uint32_t;

/// Keys of 1 to kMaxKeyBytes bytes, each behind its length of 2 bytes, rounded up to 4. Keys never move. The room of a released
/// key goes to the next key of its size, or to a smaller one, which leaves the rest for others: keys that come and go need no
/// more room than the most that ever were there of each size. Not thread-safe.
class KeyArena {
 public:
  KeyArena() { free_.fill(kNone); }

  /// Throws Error(kResourceExhausted) beyond 8 GiB of keys. If it throws, nothing has changed.
  KeyRef store(KeyView key);
  void release(KeyRef ref) noexcept;
  KeyView operator[](KeyRef ref) const noexcept;
  void prefetch(KeyRef ref) const noexcept { annulus::prefetch(at(ref)); }

  /// Bytes that were ever written to.
  std::size_t memory_bytes() const noexcept;

 private:
  static constexpr std::size_t kUnit = 4;
  static constexpr std::size_t kLengthBytes = 2;
  static constexpr std::size_t kMostUnits = (kMaxKeyBytes + kLengthBytes + kUnit - 1) / kUnit;
  static constexpr std::size_t kBlockUnits = 16384;
  static constexpr std::size_t kMostBlocks = (std::size_t{1} << 31) / kBlockUnits - 1;
  static constexpr KeyRef kNone = static_cast<KeyRef>(-1);
  using Block = std::array<std::byte, kBlockUnits * kUnit>;

  static std::size_t units_of(std::size_t key_bytes) noexcept { return (key_bytes + kLengthBytes + kUnit - 1) / kUnit; }
  std::byte* at(KeyRef ref) const noexcept { return blocks_[ref / kBlockUnits]->data() + ref % kBlockUnits * kUnit; }
  KeyRef take(std::size_t units);
  KeyRef pop_free(std::size_t units) noexcept;
  void push_free(KeyRef ref, std::size_t units) noexcept;

  std::vector<std::unique_ptr<Block>> blocks_;
  std::size_t used_ = kBlockUnits;           // units of the last block
  std::array<KeyRef, kMostUnits + 1> free_;  // by size: the last room released; each holds the one before
};

}  // namespace annulus
