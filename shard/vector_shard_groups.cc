// How a shard's rows change between its primary and its secondary group.
#include <mutex>
#include <vector>

#include "shard/vector_shard.h"

namespace annulus {
namespace {

// Records that are looked at while other writes wait, and of these the rows that one exclusive lock covers.
constexpr std::size_t kRegroupBlock = 256;
constexpr std::size_t kRegroupRows = 32;

}  // namespace

void VectorShard::set_primary_arcs(const ArcSet& arcs) {
  if (!index_.has_groups()) return;
  std::lock_guard regrouping(rebuild_mutex_);
  ArcSet changing;
  {
    std::lock_guard writing(write_mutex_);
    const ArcSet gained = arcs.intersected(primary_arcs_.complement());
    const ArcSet lost = primary_arcs_.intersected(arcs.complement());
    changing = grouped_ ? gained.united(lost) : ArcSet::whole();
    primary_arcs_ = arcs;
    grouped_ = changing.empty();
  }
  for (const Arc& arc : changing.arcs()) {
    Token token = 0;
    std::string key;  // the last record that was looked at; empty: none yet
    while (regroup(arc, token, key)) {
    }
  }
  std::lock_guard writing(write_mutex_);
  grouped_ = true;
}

// Looks at the next block of records of `arc`, behind (token, key). Returns whether there are more.
bool VectorShard::regroup(const Arc& arc, Token& token, std::string& key) {
  std::lock_guard writing(write_mutex_);
  std::vector<VectorId> primary, secondary;
  std::size_t left = kRegroupBlock;
  Slot last = RecordTable::kNoSlot;
  const auto visit = [&](Slot slot) {
    if (left-- == 0) return false;
    last = slot;
    if (!table_[slot].deleted) (primary_arcs_.contains(table_.token(slot)) ? primary : secondary).push_back(slot);
    return true;
  };
  // only writes change the table, and they wait
  const bool whole = key.empty() ? table_.walk(arc, visit) : table_.walk_behind(arc, token, key, visit);
  index_.move(primary, RowGroup::kPrimary, kRegroupRows);
  index_.move(secondary, RowGroup::kSecondary, kRegroupRows);
  if (last == RecordTable::kNoSlot) return false;
  token = table_.token(last);
  key = table_[last].key;
  return !whole;
}

}  // namespace annulus
