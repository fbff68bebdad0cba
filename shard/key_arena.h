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

/// The byte at which a key lies in its arena; below 2^32 - 1.
using KeyRef = std::uint32_t;

/// Keys of 1 to kMaxKeyBytes bytes, each with a mark, behind a byte that has both mark and length; of keys from 127 bytes on the
/// length takes two more. Keys never move. The room of a released key goes to the next key of its size, or to a smaller one, which
/// leaves the rest for others. Rooms are not joined again: keys that come and go need no more than the most that ever were there of
/// each size. Not thread-safe.
class KeyArena {
 public:
  KeyArena() { free_.fill(kNone); }

  /// Not marked. Throws Error(kResourceExhausted) beyond 4 GiB of keys. If it throws, nothing has changed.
  KeyRef store(KeyView key);
  void release(KeyRef ref) noexcept;
  KeyView operator[](KeyRef ref) const noexcept;
  bool marked(KeyRef ref) const noexcept { return (std::to_integer<unsigned>(*at(ref)) & kMark) != 0; }
  void mark(KeyRef ref, bool marked) noexcept {
    *at(ref) = static_cast<std::byte>((std::to_integer<unsigned>(*at(ref)) & kLengthBits) | (marked ? kMark : 0));
  }
  void prefetch(KeyRef ref) const noexcept { annulus::prefetch(at(ref)); }

  /// Bytes that were ever written to.
  std::size_t memory_bytes() const noexcept;

 private:
  static constexpr unsigned kMark = 128;
  static constexpr unsigned kLengthBits = 127;  ///< all ones: a longer key's length is in the next two bytes
  static constexpr std::size_t kLeastRoom = sizeof(KeyRef);  ///< which a room holds while it is free
  static constexpr std::size_t kMostRoom = 3 + kMaxKeyBytes;
  static constexpr std::size_t kBlockBytes = 65536;
  static constexpr std::size_t kMostBlocks = (std::size_t{1} << 32) / kBlockBytes - 1;
  static constexpr KeyRef kNone = static_cast<KeyRef>(-1);
  using Block = std::array<std::byte, kBlockBytes>;

  static std::size_t header_of(std::size_t key_bytes) noexcept { return key_bytes < kLengthBits ? 1 : 3; }
  static std::size_t room_of(std::size_t key_bytes) noexcept;
  std::byte* at(KeyRef ref) const noexcept { return blocks_[ref / kBlockBytes]->data() + ref % kBlockBytes; }
  KeyRef take(std::size_t room);
  std::size_t free_room(std::size_t least) const noexcept;
  KeyRef pop_free(std::size_t room) noexcept;
  void push_free(KeyRef ref, std::size_t room) noexcept;

  std::vector<std::unique_ptr<Block>> blocks_;
  std::size_t used_ = kBlockBytes;                              // of the last block
  std::array<KeyRef, kMostRoom + 1> free_;                      // by size: the last room released; each holds the one before
  std::array<std::uint64_t, kMostRoom / 64 + 1> has_free_ = {};  // a bit for each size of which there are any
};

}  // namespace annulus
