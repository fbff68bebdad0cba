#include "shard/key_arena.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace annulus {

std::size_t KeyArena::room_of(std::size_t key_bytes) noexcept { return std::max(header_of(key_bytes) + key_bytes, kLeastRoom); }

KeyRef KeyArena::store(KeyView key) {
  const KeyRef ref = take(room_of(key.size()));
  std::byte* to = at(ref);
  const std::size_t header = header_of(key.size());
  *to = static_cast<std::byte>(header == 1 ? key.size() : kLengthBits);
  if (header != 1) {
    const auto length = static_cast<std::uint16_t>(key.size());
    std::memcpy(to + 1, &length, sizeof length);
  }
  std::memcpy(to + header, key.data(), key.size());
  return ref;
}

void KeyArena::release(KeyRef ref) noexcept { push_free(ref, room_of((*this)[ref].size())); }

KeyView KeyArena::operator[](KeyRef ref) const noexcept {
  const std::byte* bytes = at(ref);
  std::size_t length = std::to_integer<unsigned>(*bytes) & kLengthBits;
  if (length == kLengthBits) {
    std::uint16_t longer = 0;
    std::memcpy(&longer, bytes + 1, sizeof longer);
    length = longer;
  }
  return {reinterpret_cast<const char*>(bytes + header_of(length)), length};
}

KeyRef KeyArena::take(std::size_t room) {
  // What is left of a larger one must be a room itself.
  std::size_t found = free_[room] != kNone ? room : free_room(room + kLeastRoom);
  if (found != 0) {
    const KeyRef ref = pop_free(found);
    if (found != room) push_free(ref + static_cast<KeyRef>(room), found - room);
    return ref;
  }
  if (used_ + room > kBlockBytes) {
    if (blocks_.size() == kMostBlocks) {
      throw Error(ErrorCode::kResourceExhausted, "a shard holds at most 4 GiB of keys; add shards");
    }
    if (blocks_.size() == blocks_.capacity()) blocks_.reserve(blocks_.size() * 2 + 1);
    auto block = std::make_unique_for_overwrite<Block>();
    if (const std::size_t left = kBlockBytes - used_; left >= kLeastRoom) {
      push_free(static_cast<KeyRef>((blocks_.size() - 1) * kBlockBytes + used_), left);
    }
    blocks_.push_back(std::move(block));
    used_ = 0;
  }
  const auto ref = static_cast<KeyRef>((blocks_.size() - 1) * kBlockBytes + used_);
  used_ += room;
  return ref;
}

// The size of the smallest free room of at least `least` bytes; 0 if there is none.
std::size_t KeyArena::free_room(std::size_t least) const noexcept {
  for (std::size_t word = least / 64; word < has_free_.size(); ++word) {
    std::uint64_t bits = has_free_[word];
    if (word == least / 64) bits &= ~std::uint64_t{0} << least % 64;
    if (bits != 0) return 64 * word + static_cast<std::size_t>(std::countr_zero(bits));
  }
  return 0;
}

KeyRef KeyArena::pop_free(std::size_t room) noexcept {
  const KeyRef ref = free_[room];
  std::memcpy(&free_[room], at(ref), sizeof(KeyRef));
  if (free_[room] == kNone) has_free_[room / 64] &= ~(std::uint64_t{1} << room % 64);
  return ref;
}

void KeyArena::push_free(KeyRef ref, std::size_t room) noexcept {
  std::memcpy(at(ref), &free_[room], sizeof(KeyRef));
  free_[room] = ref;
  has_free_[room / 64] |= std::uint64_t{1} << room % 64;
}

std::size_t KeyArena::memory_bytes() const noexcept {
  const std::size_t whole = blocks_.empty() ? 0 : blocks_.size() - 1;
  return (blocks_.empty() ? 0 : whole * kBlockBytes + used_) + blocks_.capacity() * sizeof(blocks_[0]);
}

}  // namespace annulus
