#include "cache/in_memory_cache_node.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "cache/lru_shard.h"
#include "core/error.h"
#include "ring/hash_ring.h"
#include "ring/token.h"

namespace annulus {
namespace {

constexpr std::size_t kMostShards = 64;
constexpr std::size_t kLeastItemsOfShard = 512;
constexpr std::size_t kLeastBytesOfShard = std::size_t{4} << 20;
constexpr std::size_t kLeastFloors = 1024;
constexpr std::size_t kMostFloors = std::size_t{1} << 20;
constexpr unsigned kSlotBits = 32;  // of a cursor's position; the shard is above

std::string checked_id(std::string id) {
  if (id.empty() || id.size() > kMaxNodeIdBytes) {
    throw Error(ErrorCode::kInvalidArgument,
                "a cache node's id has " + std::to_string(id.size()) + " bytes; it needs 1 to " + std::to_string(kMaxNodeIdBytes));
  }
  return id;
}

CacheCapacity checked(const CacheCapacity& capacity, const std::string& id) {
  if (capacity.items == 0 || capacity.bytes == 0 || capacity.items >= internal::SlotIndex::kNone) {
    throw Error(ErrorCode::kInvalidArgument, "capacity of cache node '" + id + "' is " + std::to_string(capacity.items) +
                                                 " items and " + std::to_string(capacity.bytes) +
                                                 " bytes; give it 1 to 4294967294 items and at least 1 byte");
  }
  return capacity;
}

/// Part `i` of `whole`, split into `parts` parts as even as can be.
std::size_t part_of(std::size_t whole, std::size_t parts, std::size_t i) { return whole / parts + (i < whole % parts ? 1 : 0); }

}  // namespace

struct InMemoryCacheNode::Shards {
  struct alignas(128) Padded {
    internal::LruShard shard;
  };
  explicit Shards(const CacheCapacity& capacity)
      : count(std::bit_floor(std::clamp<std::size_t>(
            std::min(capacity.items / kLeastItemsOfShard, capacity.bytes / kLeastBytesOfShard), 1, kMostShards))),
        shards(std::make_unique<Padded[]>(count)) {
    const std::size_t floors = std::bit_ceil(std::clamp(capacity.items, kLeastFloors, kMostFloors)) / count;
    for (std::size_t i = 0; i < count; ++i) {
      shards[i].shard.set_limits({part_of(capacity.items, count, i), part_of(capacity.bytes, count, i), floors});
    }
  }
  internal::LruShard& of(Token token) const noexcept { return shards[token & (count - 1)].shard; }

  const std::size_t count;  // a power of two
  const std::unique_ptr<Padded[]> shards;
};

InMemoryCacheNode::InMemoryCacheNode(std::string id, CacheCapacity capacity, std::function<CacheTime()> now)
    : id_(checked_id(std::move(id))),
      capacity_(checked(capacity, id_)),
      now_(std::move(now)),
      shards_(std::make_unique<Shards>(capacity_)) {
  static_assert(kEntryOverheadBytes == internal::LruShard::kOverheadBytes);
}

InMemoryCacheNode::~InMemoryCacheNode() = default;

std::optional<CacheEntry> InMemoryCacheNode::get(KeyView key) {
  const Token token = token_of_key(key);
  return shards_->of(token).get(key, token, [this] { return now(); });
}

void InMemoryCacheNode::get(std::span<const KeyView> keys, std::vector<std::optional<CacheEntry>>& entries) {
  entries.resize(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) entries[i] = get(keys[i]);
}

CacheOutcome InMemoryCacheNode::write(const CacheWrite& write, std::optional<std::uint64_t> only_in) {
  const Token token = token_of_key(write.key);
  internal::LruShard& shard = shards_->of(token);
  internal::EntryBytes bytes;
  if (shard.has_room_for(write.key.size() + write.value.size())) bytes = internal::EntryBytes(write.key, write.value);
  return shard.write(write, token, bytes, generation_, only_in);
}

void InMemoryCacheNode::write(std::span<const CacheWrite> writes, std::vector<CacheOutcome>& outcomes,
                              std::optional<std::uint64_t> only_in) {
  outcomes.resize(writes.size());
  for (std::size_t i = 0; i < writes.size(); ++i) outcomes[i] = write(writes[i], only_in);
}

std::uint64_t InMemoryCacheNode::forget(std::span<const KeyView> keys) {
  const CacheTime at = now();
  std::uint64_t live = 0;
  for (const KeyView key : keys) {
    const Token token = token_of_key(key);
    live += shards_->of(token).forget(key, token, at) ? 1 : 0;
  }
  return live;
}

void InMemoryCacheNode::scan(CacheCursor& cursor, std::size_t limit, std::vector<std::string>& page) {
  const CacheTime at = now();
  const std::size_t end = page.size() + std::max<std::size_t>(limit, 1);
  std::uint64_t shard = cursor.position >> kSlotBits;
  auto slot = static_cast<std::uint32_t>(cursor.position);
  while (shard < shards_->count) {
    const auto next = shards_->shards[shard].shard.scan(slot, end, at, page);
    if (next) {
      cursor.position = shard << kSlotBits | *next;
      return;
    }
    ++shard;
    slot = 0;
  }
  cursor.position = shard << kSlotBits;
  cursor.done = true;
}

void InMemoryCacheNode::invalidate() {
  std::lock_guard one_at_a_time(invalidation_mutex_);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  for (std::size_t i = 0; i < shards_->count; ++i) shards_->shards[i].shard.clear();
  generation_.fetch_add(1, std::memory_order_seq_cst);
}

CacheNodeStats InMemoryCacheNode::stats() const {
  CacheNodeStats sum;
  for (std::size_t i = 0; i < shards_->count; ++i) shards_->shards[i].shard.add_stats(sum);
  return sum;
}

}  // namespace annulus
