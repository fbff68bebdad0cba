#include "shard/record.h"

#include <xxhash.h>

#include <array>
#include <cassert>
#include <cstring>

namespace annulus {

std::uint64_t hash_vector(const float* vector, std::size_t d) noexcept { return XXH3_64bits(vector, d * sizeof(float)); }

void RecordPage::clear() noexcept {
  keys_.clear();
  vectors_.clear();
  items_.clear();
}

void RecordPage::append_item(const RecordView& record, std::size_t vector_begin) {
  items_.push_back({keys_.size(), static_cast<std::uint32_t>(record.key.size()), record.deleted, record.version,
                    record.vector_hash, vector_begin});
  keys_.append(record.key);
}

void RecordPage::append(const RecordView& record) {
  if (record.vector == nullptr) {
    append_item(record, kNoVector);
    return;
  }
  const std::span<float> floats = append_live(record);
  std::memcpy(floats.data(), record.vector, floats.size_bytes());
}

std::span<float> RecordPage::append_live(const RecordView& record) {
  append_item(record, vectors_.size());
  vectors_.resize(vectors_.size() + dimension_);
  return std::span(vectors_).last(dimension_);
}

RecordView RecordPage::operator[](std::size_t i) const noexcept {
  const Item& item = items_[i];
  return {.key = KeyView(keys_).substr(item.key_begin, item.key_size),
          .version = item.version,
          .deleted = item.deleted,
          .vector_hash = item.vector_hash,
          .vector = item.vector_begin == kNoVector ? nullptr : vectors_.data() + item.vector_begin};
}

std::vector<RecordView> RecordPage::views() const {
  std::vector<RecordView> views(size());
  for (std::size_t i = 0; i < views.size(); ++i) views[i] = (*this)[i];
  return views;
}

void ArcDigest::add(const RecordView& record) noexcept {
  // a fixed little-endian layout: clock, writer and tombstone flag, vector hash, key
  std::array<unsigned char, 24 + kMaxKeyBytes> buffer;
  assert(record.key.size() <= kMaxKeyBytes);
  const auto put = [&buffer](std::size_t at, std::uint64_t value) {
    for (std::size_t i = 0; i < 8; ++i) buffer[at + i] = static_cast<unsigned char>(value >> (8 * i));
  };
  put(0, record.version.clock);
  put(8, record.version.writer | (std::uint64_t{record.deleted} << 32));
  put(16, record.vector_hash);
  std::memcpy(buffer.data() + 24, record.key.data(), record.key.size());
  const XXH128_hash_t hash = XXH3_128bits(buffer.data(), 24 + record.key.size());
  ++(record.deleted ? tombstones : live);
  sum_low += hash.low64;
  sum_high += hash.high64 + (sum_low < hash.low64 ? 1 : 0);
}

ArcDigest& ArcDigest::operator+=(const ArcDigest& other) noexcept {
  live += other.live;
  tombstones += other.tombstones;
  sum_low += other.sum_low;
  sum_high += other.sum_high + (sum_low < other.sum_low ? 1 : 0);
  return *this;
}

}  // namespace annulus
