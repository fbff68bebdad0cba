#include "cache/lru_shard.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace annulus::internal {

EntryBytes::EntryBytes(KeyView key, std::string_view value)
    : data_(std::make_unique_for_overwrite<char[]>(key.size() + value.size())),
      value_bytes_(static_cast<std::uint32_t>(value.size())),
      key_bytes_(static_cast<std::uint32_t>(key.size())) {
  std::memcpy(data_.get(), key.data(), key.size());
  if (!value.empty()) std::memcpy(data_.get() + key.size(), value.data(), value.size());
}

void LruShard::set_limits(const Limits& limits) {
  limits_ = limits;
  floors_.assign(limits.floors, Version{});
}

CacheOutcome LruShard::write(const CacheWrite& write, Token token, EntryBytes& bytes, const std::atomic<std::uint64_t>& generation,
                             std::optional<std::uint64_t> only_in) {
  Discarded discarded;  // freed after the lock
  std::lock_guard lock(mutex_);
  const auto superseded = [this] {
    ++stats_.superseded;
    return CacheOutcome::kSuperseded;
  };
  std::uint32_t at = find(write.key, token);
  if (only_in) {
    const std::uint64_t now = generation.load(std::memory_order_seq_cst);
    if (now != *only_in || now % 2 != 0) {
      // What is about to be cleared must not be read meanwhile, if the write is newer.
      if (at != kNone && slots_[at].version() < write.version) lose(at, discarded);
      return superseded();
    }
  }
  // Where there is an entry, the floor says nothing of its key: it was below it when it came.
  const bool newer = at == kNone ? write.version >= floor_of(token) : write.version > slots_[at].version();
  if (!newer) return superseded();
  if (!bytes) {
    if (at != kNone) lose(at, discarded);
    raise_floor(token, write.version);
    ++stats_.rejected;
    return CacheOutcome::kRejected;
  }
  if (at == kNone) {
    at = take_slot();
    slots_[at].token = token;
    index_.insert(token, at);
    ++entries_;
    stats_.bytes += kOverheadBytes;
  } else {
    unlink(at);
    stats_.bytes -= slots_[at].bytes.size();
    if (slots_[at].kind == CacheWriteKind::kPut) --stats_.items;
  }
  Slot& slot = slots_[at];
  std::swap(slot.bytes, bytes);
  slot.clock = write.version.clock;
  slot.writer = write.version.writer;
  slot.expires = write.expires;
  slot.kind = write.kind;
  stats_.bytes += slot.bytes.size();
  if (slot.kind == CacheWriteKind::kPut) ++stats_.items;
  link_first(at);
  while (entries_ > limits_.items || stats_.bytes > limits_.bytes) {
    if (slots_[last_].kind == CacheWriteKind::kPut) ++stats_.evicted;
    lose(last_, discarded);
  }
  ++stats_.stored;
  return CacheOutcome::kStored;
}

bool LruShard::forget(KeyView key, Token token, CacheTime now) {
  Discarded discarded;
  std::lock_guard lock(mutex_);
  const std::uint32_t at = find(key, token);
  if (at == kNone) return false;
  const bool live = slots_[at].kind == CacheWriteKind::kPut && slots_[at].expires > now;
  remove(at, discarded);
  return live;
}

void LruShard::clear() {
  std::vector<Slot> slots;  // freed after the lock
  std::lock_guard lock(mutex_);
  slots.swap(slots_);
  index_.clear();
  std::fill(floors_.begin(), floors_.end(), Version{});
  first_ = last_ = free_ = kNone;
  entries_ = 0;
  stats_.items = 0;
  stats_.bytes = 0;
}

std::optional<std::uint32_t> LruShard::scan(std::uint32_t from, std::size_t limit, CacheTime now,
                                            std::vector<std::string>& page) const {
  std::lock_guard lock(mutex_);
  for (std::uint32_t at = from; at < slots_.size(); ++at) {
    if (page.size() >= limit) return at;
    const Slot& slot = slots_[at];
    if (slot.bytes && slot.kind == CacheWriteKind::kPut && slot.expires > now) page.emplace_back(slot.bytes.key());
  }
  return std::nullopt;
}

void LruShard::add_stats(CacheNodeStats& sum) const {
  std::lock_guard lock(mutex_);
  sum.hits += stats_.hits;
  sum.misses += stats_.misses;
  sum.stored += stats_.stored;
  sum.superseded += stats_.superseded;
  sum.rejected += stats_.rejected;
  sum.evicted += stats_.evicted;
  sum.expired += stats_.expired;
  sum.items += stats_.items;
  sum.bytes += stats_.bytes;
}

std::uint32_t LruShard::find(KeyView key, Token token) const noexcept {
  return index_.find(token, [&](std::uint32_t slot) { return slots_[slot].bytes.key() == key; });
}

void LruShard::raise_floor(Token token, const Version& version) noexcept {
  Version& floor = floor_of(token);
  floor = std::max(floor, version);
}

void LruShard::unlink(std::uint32_t slot) noexcept {
  const Slot& out = slots_[slot];
  (out.newer == kNone ? first_ : slots_[out.newer].older) = out.older;
  (out.older == kNone ? last_ : slots_[out.older].newer) = out.newer;
}

void LruShard::link_first(std::uint32_t slot) noexcept {
  slots_[slot].newer = kNone;
  slots_[slot].older = first_;
  (first_ == kNone ? last_ : slots_[first_].newer) = slot;
  first_ = slot;
}

void LruShard::lose(std::uint32_t at, Discarded& discarded) noexcept {
  raise_floor(slots_[at].token, slots_[at].version());
  remove(at, discarded);
}

void LruShard::remove(std::uint32_t at, Discarded& discarded) noexcept {
  Slot& slot = slots_[at];
  unlink(at);
  index_.erase(slot.token, at);
  --entries_;
  if (slot.kind == CacheWriteKind::kPut) --stats_.items;
  stats_.bytes -= cost_of(slot.bytes.size());
  discarded.add(std::move(slot.bytes));
  slot.bytes = EntryBytes();
  slot.older = free_;
  free_ = at;
}

std::uint32_t LruShard::take_slot() {
  index_.reserve_one();
  if (free_ == kNone) {
    slots_.emplace_back();
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  return std::exchange(free_, slots_[free_].older);
}

}  // namespace annulus::internal
