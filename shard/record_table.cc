#include "shard/record_table.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "core/error.h"

namespace annulus {

RecordTable::RecordTable(Token (*token_of)(KeyView) noexcept) : token_of_(token_of), order_(Less{this}) {}

Slot RecordTable::find(Token token, KeyView key) const {
  return find_from(first_like(token), token, key);
}

/// Among the entries whose token has this upper half, of which `at` is the first: their keys are compared, not their tokens, which
/// are not in the table. Keys that were made so that there are many of them are found as ordered.
Slot RecordTable::find_from(Order::Iterator at, Token token, KeyView key) const {
  constexpr int kFew = 4;
  for (int tried = 0; tried < kFew; ++tried, ++at) {
    if (!is_like(at, token)) return kNoSlot;
    if (this->key(at->slot) == key) return at->slot;
  }
  const auto it = order_.find(Probe{token, key});
  return it == order_.end() ? kNoSlot : it->slot;
}

void RecordTable::find(std::span<const Token> tokens, std::span<const KeyView> keys, std::span<Slot> slots) const {
  constexpr std::size_t kAtOnce = 64;
  std::array<Order::Iterator, kAtOnce> at;
  for (std::size_t begin = 0; begin < keys.size(); begin += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, keys.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      at[i] = first_like(tokens[begin + i]);
      if (is_like(at[i], tokens[begin + i])) prefetch(at[i]->slot);
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (is_like(at[i], tokens[begin + i])) prefetch_key(at[i]->slot);
    }
    for (std::size_t i = 0; i < count; ++i) slots[begin + i] = find_from(at[i], tokens[begin + i], keys[begin + i]);
  }
}

Slot RecordTable::insert(Token token, KeyView key) {
  assert(token == token_of_(key));
  const bool fresh = free_ == kNoSlot;
  const Slot slot = fresh ? static_cast<Slot>(records_.size()) : free_;
  if (slot == kNoSlot) throw Error(ErrorCode::kResourceExhausted, "a shard holds at most 4294967294 records; add shards");
  records_.reserve(std::size_t{slot} + 1);
  const KeyRef ref = keys_.store(key);
  if (fresh) records_.push_back({});
  const Packed before = records_[slot];
  records_[slot] = {.clock = 0, .vector_hash = 0, .writer = 0, .key = ref};
  try {
    order_.insert(Entry{upper_half(token), slot});
  } catch (...) {
    keys_.release(ref);
    records_[slot] = before;
    if (fresh) records_.pop_back();
    throw;
  }
  if (!fresh) free_ = static_cast<Slot>(before.vector_hash);
  return slot;
}

std::vector<Slot> RecordTable::upcoming(std::size_t count) const {
  std::vector<Slot> slots(count);
  Slot free = free_;
  auto next = static_cast<Slot>(records_.size());
  for (Slot& slot : slots) {
    slot = free != kNoSlot ? free : next++;
    if (free != kNoSlot) free = static_cast<Slot>(records_[free].vector_hash);
  }
  return slots;
}

void RecordTable::remove(Slot slot) {
  order_.erase(Entry{upper_half(token(slot)), slot});
  keys_.release(records_[slot].key);
  records_[slot] = {.clock = 0, .vector_hash = free_, .writer = 0, .key = kFreeKey};
  free_ = slot;
}

void RecordTable::set(Slot slot, const Version& version, std::uint64_t vector_hash, bool deleted) noexcept {
  Packed& record = records_[slot];
  record.clock = version.clock;
  record.writer = version.writer;
  record.vector_hash = vector_hash;
  keys_.mark(record.key, deleted);
}

RecordTable::Record RecordTable::operator[](Slot slot) const noexcept {
  const Packed& record = records_[slot];
  return {.key = keys_[record.key],
          .version = {record.clock, record.writer},
          .vector_hash = record.vector_hash,
          .deleted = keys_.marked(record.key)};
}

std::size_t RecordTable::memory_bytes() const noexcept {
  return records_.memory_bytes() + keys_.memory_bytes() + order_.memory_bytes();
}

}  // namespace annulus
