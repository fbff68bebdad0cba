// Internal: what a search may return, as the index of a shard asks it.
#pragma once

#include <optional>
#include <vector>

#include "index/search_types.h"
#include "shard/key_set.h"
#include "shard/record_table.h"
#include "shard/shard.h"

namespace annulus {

/// The filter and the sets of a request over the records of a shard, whose ids are slots. It refers to all of them.
class SlotFilter final : public Filter {
 public:
  SlotFilter(const RecordTable& table, const CandidateRequest& request) noexcept
      : table_(table), filter_(request.filter), allow_(request.allow), deny_(request.deny) {}

  /// Whether the request restricts its answers at all.
  static bool restricts(const CandidateRequest& request) noexcept {
    return request.filter != nullptr || request.allow != nullptr || request.deny != nullptr;
  }

  /// The sets first: they are cheaper than what the caller may do, and cannot throw.
  bool accept(VectorId id) const override {
    const KeyView key = table_.key(static_cast<Slot>(id));
    if (allow_ != nullptr && !allow_->contains(key)) return false;
    if (deny_ != nullptr && deny_->contains(key)) return false;
    return filter_ == nullptr || (*filter_)(key);
  }

  std::optional<std::size_t> listed() const override {
    return allow_ == nullptr ? std::nullopt : std::optional<std::size_t>(allow_->size());
  }

  void list(std::vector<VectorId>& out) const override {
    if (allow_ == nullptr) return;
    allow_->for_each([&](Token token, KeyView key) {
      const Slot slot = table_.find(token, key);
      if (slot != RecordTable::kNoSlot && !table_[slot].deleted) out.push_back(slot);
    });
  }

 private:
  const RecordTable& table_;
  const KeyFilter* filter_;
  const KeySet* allow_;
  const KeySet* deny_;
};

}  // namespace annulus
