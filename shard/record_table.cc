#include "shard/record_table.h"

#include "core/error.h"

namespace annulus {

RecordTable::RecordTable() : order_(Less{&records_}) {}

Slot RecordTable::find(Token token, KeyView key) const {
  const auto it = order_.find(Probe{token, key});
  return it == order_.end() ? kNoSlot : it->slot;
}

Slot RecordTable::insert(Token token, KeyView key) {
  Slot slot = kNoSlot;
  if (free_.empty()) {
    if (records_.size() >= kNoSlot) {
      throw Error(ErrorCode::kResourceExhausted, "a shard holds at most 4294967294 records; add shards");
    }
    slot = static_cast<Slot>(records_.size());
    records_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Record& record = records_[slot];
  record.key = key;
  record.token = token;
  order_.insert(Entry{token, slot});
  return slot;
}

std::vector<Slot> RecordTable::upcoming(std::size_t count) const {
  std::vector<Slot> slots(count);
  for (std::size_t i = 0; i < count; ++i) {
    slots[i] = i < free_.size() ? free_[free_.size() - 1 - i] : static_cast<Slot>(records_.size() + i - free_.size());
  }
  return slots;
}

void RecordTable::remove(Slot slot) {
  order_.erase(Entry{records_[slot].token, slot});
  records_[slot] = Record{};
  free_.push_back(slot);
}

std::size_t RecordTable::memory_bytes() const noexcept {
  std::size_t long_keys = 0;
  const std::size_t inline_capacity = std::string().capacity();
  for (const Record& record : records_) {
    if (record.key.capacity() > inline_capacity) long_keys += record.key.capacity() + 1;
  }
  // a b-tree's nodes are between half full and full; three quarters is what random inserts leave
  return records_.capacity() * sizeof(Record) + free_.capacity() * sizeof(Slot) + long_keys + order_.size() * sizeof(Entry) * 4 / 3;
}

}  // namespace annulus
