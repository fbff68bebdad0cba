#include "shard/key_arena.h"

#include <cstring>
#include <utility>

#include "core/error.h"

namespace annulus {

KeyRef KeyArena::store(KeyView key) {
  const KeyRef ref = take(units_of(key.size()));
  const auto length = static_cast<std::uint16_t>(key.size());
  std::memcpy(at(ref), &length, kLengthBytes);
  std::memcpy(at(ref) + kLengthBytes, key.data(), key.size());
  return ref;
}

void KeyArena::release(KeyRef ref) noexcept { push_free(ref, units_of((*this)[ref].size())); }

KeyView KeyArena::operator[](KeyRef ref) const noexcept {
  const std::byte* bytes = at(ref);
  std::uint16_t length = 0;
  std::memcpy(&length, bytes, kLengthBytes);
  return {reinterpret_cast<const char*>(bytes + kLengthBytes), length};
}

KeyRef KeyArena::take(std::size_t units) {
  for (std::size_t size = units; size <= kMostUnits; ++size) {
    if (free_[size] == kNone) continue;
    const KeyRef ref = pop_free(size);
    if (size != units) push_free(ref + static_cast<KeyRef>(units), size - units);
    return ref;
  }
  if (used_ + units > kBlockUnits) {
    if (blocks_.size() == kMostBlocks) {
      throw Error(ErrorCode::kResourceExhausted, "a shard holds at most 8 GiB of keys; add shards");
    }
    if (blocks_.size() == blocks_.capacity()) blocks_.reserve(blocks_.size() * 2 + 1);
    auto block = std::make_unique_for_overwrite<Block>();
    if (used_ != kBlockUnits) push_free(static_cast<KeyRef>((blocks_.size() - 1) * kBlockUnits + used_), kBlockUnits - used_);
    blocks_.push_back(std::move(block));
    used_ = 0;
  }
  const auto ref = static_cast<KeyRef>((blocks_.size() - 1) * kBlockUnits + used_);
  used_ += units;
  return ref;
}

KeyRef KeyArena::pop_free(std::size_t units) noexcept {
  const KeyRef ref = free_[units];
  std::memcpy(&free_[units], at(ref), sizeof(KeyRef));
  return ref;
}

void KeyArena::push_free(KeyRef ref, std::size_t units) noexcept {
  std::memcpy(at(ref), &free_[units], sizeof(KeyRef));
  free_[units] = ref;
}

std::size_t KeyArena::memory_bytes() const noexcept {
  const std::size_t whole = blocks_.empty() ? 0 : blocks_.size() - 1;
  return (blocks_.empty() ? 0 : whole * kBlockUnits + used_) * kUnit + blocks_.capacity() * sizeof(blocks_[0]);
}

}  // namespace annulus
