// Records as they travel between the router and shards, and from shard to shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/key.h"
#include "core/version.h"

namespace annulus {

/// A record, not owned. An erased key is a record too: a tombstone, with the version of its erase and no vector.
struct RecordView {
  KeyView key;
  Version version;
  bool deleted = false;
  std::uint64_t vector_hash = 0;  ///< xxh3_64 of the accepted vector as it came to the router; 0 for a tombstone
  const float* vector = nullptr;  ///< d floats; null for a tombstone, or where only versions were asked for
  /// In place of the vector: what indexes hold whose codec has the fingerprint `codec` (VectorIndex::read_code).
  std::span<const std::uint8_t> code = {};
  std::uint64_t codec = 0;
};

/// xxh3_64 of `d` floats.
std::uint64_t hash_vector(const float* vector, std::size_t d) noexcept;

/// A page of records that owns its bytes. Reusable: clear() keeps the memory.
class RecordPage {
 public:
  /// For records with vectors of `dimension` floats, or codes.
  explicit RecordPage(std::size_t dimension = 0) : dimension_(dimension) {}

  void clear() noexcept;
  /// Appends a copy of `record` (its vector or code too, if it has one).
  void append(const RecordView& record);
  /// Appends a live record and returns the d floats that the caller must fill before the next append.
  std::span<float> append_live(const RecordView& record);
  /// Appends a live record with a code of `bytes` bytes by `codec`; the caller must fill it before the next append.
  std::span<std::uint8_t> append_code(const RecordView& record, std::uint64_t codec, std::size_t bytes);

  std::size_t size() const noexcept { return items_.size(); }
  bool empty() const noexcept { return items_.empty(); }
  /// Bytes of keys, vectors, codes and versions held.
  std::size_t bytes() const noexcept {
    return keys_.size() + vectors_.size() * sizeof(float) + codes_.size() + items_.size() * sizeof(Version);
  }
  /// Record i; valid until the next append or clear.
  RecordView operator[](std::size_t i) const noexcept;
  /// All records; the views are valid until the next append or clear.
  std::vector<RecordView> views() const;

 private:
  struct Item {
    std::size_t key_begin;
    std::uint32_t key_size;
    bool deleted;
    Version version;
    std::uint64_t vector_hash;
    std::size_t vector_begin;  // kNoVector where there is none
    std::size_t code_begin;
    std::size_t code_bytes;  // 0 where there is none
    std::uint64_t codec;
  };
  static constexpr std::size_t kNoVector = static_cast<std::size_t>(-1);

  Item& append_item(const RecordView& record);

  std::size_t dimension_;
  std::string keys_;
  std::vector<float> vectors_;
  std::vector<std::uint8_t> codes_;
  std::vector<Item> items_;
};

/// Digest of the records of an arc: equal on all replicas when writes are quiet, whatever their indexes store.
/// The sum is commutative (of xxh3_128 over key, version, tombstone flag and vector hash), so order does not matter.
struct ArcDigest {
  std::uint64_t live = 0;
  std::uint64_t tombstones = 0;
  std::uint64_t sum_low = 0;
  std::uint64_t sum_high = 0;

  void add(const RecordView& record) noexcept;
  ArcDigest& operator+=(const ArcDigest& other) noexcept;
  std::uint64_t records() const noexcept { return live + tombstones; }
  friend bool operator==(const ArcDigest&, const ArcDigest&) = default;
};

}  // namespace annulus
