#include "shard/record.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace annulus {

std::uint64_t hash_vector(const float* vector, std::size_t d) noexcept { return XXH3_64bits(vector, d * sizeof(float)); }

void RecordPage::clear() noexcept {
  keys_.clear();
  vectors_.clear();
  codes_.clear();
  items_.clear();
}

RecordPage::Item& RecordPage::append_item(const RecordView& record) {
  items_.push_back({.key_begin = keys_.size(),
                    .key_size = static_cast<std::uint32_t>(record.key.size()),
                    .deleted = record.deleted,
                    .version = record.version,
                    .vector_hash = record.vector_hash,
                    .vector_begin = kNoVector,
                    .code_begin = 0,
                    .code_bytes = 0,
                    .codec = 0});
  keys_.append(record.key);
  return items_.back();
}

void RecordPage::append(const RecordView& record) {
  if (!record.code.empty()) {
    std::ranges::copy(record.code, append_code(record, record.codec, record.code.size()).begin());
  } else if (record.vector != nullptr) {
    std::copy_n(record.vector, dimension_, append_live(record).begin());
  } else {
    append_item(record);
  }
}

std::span<float> RecordPage::append_live(const RecordView& record) {
  append_item(record).vector_begin = vectors_.size();
  vectors_.resize(vectors_.size() + dimension_);
  return std::span(vectors_).last(dimension_);
}

std::span<std::uint8_t> RecordPage::append_code(const RecordView& record, std::uint64_t codec, std::size_t bytes) {
  Item& item = append_item(record);
  item.code_begin = codes_.size();
  item.code_bytes = bytes;
  item.codec = codec;
  codes_.resize(codes_.size() + bytes);
  return std::span(codes_).last(bytes);
}

RecordView RecordPage::operator[](std::size_t i) const noexcept {
  const Item& item = items_[i];
  return {.key = KeyView(keys_).substr(item.key_begin, item.key_size),
          .version = item.version,
          .deleted = item.deleted,
          .vector_hash = item.vector_hash,
          .vector = item.vector_begin == kNoVector ? nullptr : vectors_.data() + item.vector_begin,
          .code = std::span(codes_).subspan(item.code_begin, item.code_bytes),
          .codec = item.codec};
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
