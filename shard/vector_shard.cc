#include "shard/vector_shard.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <shared_mutex>

#include "core/error.h"
#include "core/reused.h"
#include "index/distance.h"
#include "shard/slot_filter.h"

namespace annulus {
namespace {

// Rows that a write encodes and links at once, beside searches; another write waits for so many.
constexpr std::size_t kWriteBlock = 256;
// Rows that one exclusive lock covers when they become visible: what a search may have to wait for.
constexpr std::size_t kCommitRows = 32;
// Records that one lock covers when they are only looked at, or dropped.
constexpr std::size_t kDigestPage = 1024;
constexpr std::size_t kDropBlock = 256;
// Compaction pays when a third of the rows is dead; below this many rows it is not worth its lock.
constexpr double kCompactFraction = 1.0 / 3;
// Drops come in a row, and often empty a shard that leaves: compacting after each would build the graph several times over.
constexpr double kCompactFractionOfDrops = 2.0 / 3;
constexpr std::size_t kCompactRows = 1024;

// Orders slots by their keys.
class KeyTieOrder final : public TieOrder {
 public:
  KeyTieOrder(const RecordTable& table, KeyKind kind) : table_(table), kind_(kind) {}
  bool less(VectorId a, VectorId b) const override {
    return compare_keys(table_.key(static_cast<Slot>(a)), table_.key(static_cast<Slot>(b)), kind_) < 0;
  }

 private:
  const RecordTable& table_;
  KeyKind kind_;
};

// How many candidates ahead records are asked for, and keys, which stand in the records.
constexpr std::size_t kRecordsAhead = 64;
constexpr std::size_t kKeysAhead = 32;

// Goes through the candidates of all queries, one at a time.
class CandidateWalk {
 public:
  explicit CandidateWalk(const GroupedIndex::Found& found) : found_(found) {}

  template <typename Use>
  void next(const Use& use) {
    while (query_ < found_.counts.size() && at_ == found_.counts[query_]) {
      ++query_;
      at_ = 0;
    }
    if (query_ < found_.counts.size()) use(static_cast<Slot>(found_.rows[query_ * found_.stride + at_++].id));
  }

 private:
  const GroupedIndex::Found& found_;
  std::size_t query_ = 0;
  std::size_t at_ = 0;
};

void check_outcomes(std::size_t records, std::size_t outcomes) {
  if (records != outcomes) {
    throw Error(ErrorCode::kInvalidArgument, std::to_string(outcomes) + " outcomes for " + std::to_string(records) + " records");
  }
}

}  // namespace

VectorShard::VectorShard(std::string id, IndexSpec spec, KeyKind key_kind)
    : id_(std::move(id)), spec_(std::move(spec)), key_kind_(key_kind), index_(spec_, write_mutex_, mutex_) {
  if (id_.empty()) throw Error(ErrorCode::kInvalidArgument, "a shard needs an id that is not empty");
}

void VectorShard::attach_codec(std::shared_ptr<const Codec> codec) {
  std::lock_guard rebuilding(rebuild_mutex_);
  index_.attach_codec(spec_, codec, id_);
}

void VectorShard::validate(std::span<const RecordView> records) const {
  bool vectors = false, codes = false;
  for (const RecordView& record : records) {
    validate_key(record.key, key_kind_);
    if (record.deleted) continue;
    (record.code.empty() ? vectors : codes) = true;
    if (vectors && codes) throw Error(ErrorCode::kInvalidArgument, "records with vectors and records with codes in one write");
    if (codes) {
      validate_code(record);
      continue;
    }
    if (record.vector == nullptr) {
      throw Error(ErrorCode::kInvalidArgument, "record '" + display_key(record.key, key_kind_) + "' is live and has no vector");
    }
    validate_vectors(map_rows(record.vector, 1, spec_.dimension), spec_.dimension, spec_.metric, "the record's vector");
  }
}

void VectorShard::validate_code(const RecordView& record) const {
  std::shared_lock lock(mutex_);
  const std::uint64_t codec = index_.code_fingerprint();
  if (codec == 0 || record.codec != codec) {
    throw Error(ErrorCode::kFailedPrecondition, "record '" + display_key(record.key, key_kind_) +
                                                    "' is in codes that shard '" + id_ + "' does not hold; send the vector");
  }
  if (record.code.size() != index_.code_bytes()) {
    throw Error(ErrorCode::kInvalidArgument, "record '" + display_key(record.key, key_kind_) + "' has a code of " +
                                                 std::to_string(record.code.size()) + " bytes, expected " +
                                                 std::to_string(index_.code_bytes()));
  }
  index_.check_codes(record.code);
}

void VectorShard::upsert_if_newer(std::span<const RecordView> records, WriteMode mode, std::span<WriteOutcome> outcomes) {
  check_outcomes(records.size(), outcomes.size());
  validate(records);
  for (std::size_t begin = 0; begin < records.size(); begin += kWriteBlock) {
    const std::size_t count = std::min(kWriteBlock, records.size() - begin);
    std::lock_guard writing(write_mutex_);
    apply_block(records.subspan(begin, count), mode, outcomes.subspan(begin, count));
  }
  compact_beyond(kCompactFraction);
}

// What each key will be when the block is done: a key may come twice, and the newer record counts. Only writes change the table,
// and they take turns: it is read without its lock.
std::vector<VectorShard::Change> VectorShard::plan_block(std::span<const RecordView> records, WriteMode mode,
                                                         std::span<WriteOutcome> outcomes) const {
  const std::size_t count = records.size();
  std::array<Token, kWriteBlock> tokens;
  std::array<KeyView, kWriteBlock> keys;
  std::array<Slot, kWriteBlock> found;
  for (std::size_t i = 0; i < count; ++i) {
    keys[i] = records[i].key;
    tokens[i] = token_of_key(keys[i]);
  }
  table_.find(std::span(tokens).first(count), std::span(keys).first(count), found);
  std::vector<Change> changes;
  changes.reserve(count);
  ChangeOfKey<kWriteBlock> change_of(changes);
  std::size_t fresh = 0;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const RecordView& incoming = records[i];
    outcomes[i] = WriteOutcome::kApplied;
    const Token token = tokens[i];
    const Slot slot = found[i];
    const bool known = slot != RecordTable::kNoSlot;
    if (!known && mode == WriteMode::kOnlyIfHeld) {
      outcomes[i] = WriteOutcome::kAbsent;
      continue;
    }
    if (known && table_[slot].version >= incoming.version) {
      outcomes[i] = WriteOutcome::kSuperseded;
      continue;
    }
    if (const std::size_t planned = change_of.find_or_add(token, incoming.key); planned != changes.size()) {
      const RecordView*& newest = changes[planned].record;
      if (newest->version >= incoming.version) {
        outcomes[i] = WriteOutcome::kSuperseded;
      } else {
        newest = &incoming;
      }
      continue;
    }
    changes.push_back({slot, token, &incoming, !known, !index_.has_groups() || primary_arcs_.contains(token)});
    fresh += known ? 0 : 1;
  }
  // Erases come last: they move rows about, and what is staged knows its rows.
  const auto lives = [](const Change& change) { return !change.record->deleted; };
  const auto erases = std::stable_partition(changes.begin(), changes.end(), lives);
  std::stable_partition(changes.begin(), erases, [](const Change& change) { return change.primary; });
  const std::vector<Slot> slots = table_.upcoming(fresh);
  auto next = slots.begin();
  for (Change& change : changes) {
    if (change.fresh) change.slot = *next++;
  }
  return changes;
}

void VectorShard::apply_block(std::span<const RecordView> records, WriteMode mode, std::span<WriteOutcome> outcomes) {
  const std::vector<Change> changes = plan_block(records, mode, outcomes);
  std::vector<VectorId> ids;
  std::size_t primaries = 0;
  for (const Change& change : changes) {
    if (change.record->deleted) continue;
    ids.push_back(change.slot);
    primaries += change.primary ? 1 : 0;
  }
  if (!grouped_) {
    index_.move(std::span(ids).first(primaries), RowGroup::kPrimary, kCommitRows);
    index_.move(std::span(ids).subspan(primaries), RowGroup::kSecondary, kCommitRows);
  }
  Matrix vectors;
  GroupedIndex::Staged staged = stage(std::span(changes).first(ids.size()), ids, primaries, vectors);
  for (std::size_t begin = 0, end = 0; begin < changes.size(); begin = end) {
    // no erase before the last commit of staged rows: the two kinds do not mix
    const std::size_t limit = begin < ids.size() ? ids.size() : changes.size();
    end = std::min(begin + kCommitRows, limit);
    commit(std::span(changes).subspan(begin, end - begin), staged);
  }
}

// Stages the live records of `changes`, which are all vectors or all codes. `vectors` must outlive what is staged.
GroupedIndex::Staged VectorShard::stage(std::span<const Change> changes, std::span<const VectorId> ids, std::size_t primaries,
                                        Matrix& vectors) {
  if (changes.empty()) return {};
  const RecordView& first = *changes.front().record;
  if (first.code.empty()) {
    vectors.resize(static_cast<Eigen::Index>(ids.size()), static_cast<Eigen::Index>(spec_.dimension));
    Eigen::Index row = 0;
    for (const Change& change : changes) std::copy_n(change.record->vector, spec_.dimension, vectors.row(row++).data());
    return index_.stage(ids, vectors, primaries);
  }
  if (!index_.takes_codes(first.codec)) {
    throw Error(ErrorCode::kFailedPrecondition, "shard '" + id_ + "' is given another codec; send vectors");
  }
  std::vector<std::uint8_t> codes;
  codes.reserve(ids.size() * first.code.size());
  for (const Change& change : changes) codes.insert(codes.end(), change.record->code.begin(), change.record->code.end());
  return index_.stage_codes(ids, codes, primaries);
}

// The index goes first and the table follows, so that a failure in between leaves an old version, which a repeated write replaces.
void VectorShard::commit(std::span<const Change> changes, GroupedIndex::Staged& staged) {
  std::unique_lock lock(mutex_);
  std::vector<VectorId> erased;
  std::size_t upserted = 0, inserted = 0;
  try {
    for (const Change& change : changes) {
      if (change.record->deleted) erased.push_back(change.slot);
      upserted += change.record->deleted ? 0 : 1;
    }
    for (const Change& change : changes) {
      if (change.fresh) {
        [[maybe_unused]] const Slot slot = table_.insert(change.token, change.record->key);
        assert(slot == change.slot);
        table_.set(change.slot, Version{}, 0, true);  // nothing live yet
      }
      ++inserted;
    }
    index_.commit(staged, upserted);
  } catch (...) {
    for (const Change& change : changes.first(inserted)) {
      if (!change.fresh) continue;
      const VectorId id = change.slot;
      index_.erase(std::span(&id, 1));
      table_.remove(change.slot);
    }
    index_.abandon(staged);
    throw;
  }
  index_.erase(erased);
  for (const Change& change : changes) {
    const RecordView& record = *change.record;
    live_ += record.deleted ? 0 : 1;
    live_ -= table_[change.slot].deleted ? 0 : 1;
    table_.set(change.slot, record.version, record.deleted ? 0 : record.vector_hash, record.deleted);
  }
}

RecordView VectorShard::view_of(Slot slot) const noexcept {
  const RecordTable::Record record = table_[slot];
  return {.key = record.key, .version = record.version, .deleted = record.deleted, .vector_hash = record.vector_hash};
}

HeldRecord VectorShard::get(KeyView key, std::span<float> vector) const {
  validate_key(key, key_kind_);
  if (!vector.empty() && vector.size() != spec_.dimension) {
    throw Error(ErrorCode::kInvalidArgument, "room for " + std::to_string(vector.size()) + " floats, the vectors have " +
                                                 std::to_string(spec_.dimension));
  }
  std::shared_lock lock(mutex_);
  const Slot slot = table_.find(token_of_key(key), key);
  const HeldRecord record = held(slot);
  if (record.found && !record.deleted && !vector.empty()) require_vector(index_.reconstruct(slot, vector), key);
  return record;
}

void VectorShard::require_vector(bool found, KeyView key) const {
  if (found) return;
  throw Error(ErrorCode::kInternal, "shard '" + id_ + "' has lost the vector of '" + display_key(key, key_kind_) +
                                        "' in a write that failed; write it again, or drop and synchronise the shard");
}

HeldRecord VectorShard::held(Slot slot) const noexcept {
  if (slot == RecordTable::kNoSlot) return {};
  const RecordTable::Record record = table_[slot];
  return {.found = true, .deleted = record.deleted, .version = record.version, .vector_hash = record.vector_hash};
}

void VectorShard::lookup(std::span<const KeyView> keys, std::span<HeldRecord> held_records) const {
  if (held_records.size() != keys.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                "room for " + std::to_string(held_records.size()) + " answers about " + std::to_string(keys.size()) + " keys");
  }
  std::shared_lock lock(mutex_);
  std::vector<Token> tokens(keys.size());
  std::vector<Slot> slots(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) tokens[i] = token_of_key(keys[i]);
  table_.find(tokens, keys, slots);
  for (std::size_t i = 0; i < keys.size(); ++i) held_records[i] = held(slots[i]);
}

bool VectorShard::scan(std::span<const Arc> arcs, ScanPosition& position, std::size_t most, ScanContents contents,
                       RecordPage& page) const {
  if (most == 0) throw Error(ErrorCode::kInvalidArgument, "a scan of 0 records a page never ends; ask for at least 1");
  std::shared_lock lock(mutex_);
  const std::uint64_t codec = contents == ScanContents::kCodes ? index_.code_fingerprint() : 0;
  std::size_t left = most;
  const auto visit = [&](Slot slot) {
    if (left == 0) return false;
    --left;
    const RecordView record = view_of(slot);
    if (contents == ScanContents::kVersions || record.deleted) {
      page.append(record);
    } else if (codec != 0) {
      require_vector(index_.read_code(slot, page.append_code(record, codec, index_.code_bytes())), record.key);
    } else {
      require_vector(index_.reconstruct(slot, page.append_live(record)), record.key);
    }
    position.inside = true;
    position.token = table_.token(slot);
    position.key = record.key;
    return true;
  };
  while (position.arc < arcs.size()) {
    const Arc& arc = arcs[position.arc];
    // the walk writes to `position`: it starts from a copy
    const Token token = position.token;
    const std::string key = position.key;
    const bool whole = position.inside ? table_.walk_behind(arc, token, key, visit) : table_.walk(arc, visit);
    if (!whole) return true;
    ++position.arc;
    position.inside = false;
  }
  return false;
}

std::vector<ArcDigest> VectorShard::digest(std::span<const Arc> arcs) const {
  std::vector<ArcDigest> digests(arcs.size());
  for (std::size_t i = 0; i < arcs.size(); ++i) {
    Token token = 0;
    std::string key, last_key;  // the last record that was added; empty: none yet
    for (bool whole = false; !whole; key = last_key) {
      std::shared_lock lock(mutex_);
      std::size_t left = kDigestPage;
      const auto visit = [&](Slot slot) {
        if (left-- == 0) return false;
        digests[i].add(view_of(slot));
        token = table_.token(slot);
        last_key = table_.key(slot);
        return true;
      };
      whole = key.empty() ? table_.walk(arcs[i], visit) : table_.walk_behind(arcs[i], token, key, visit);
    }
  }
  return digests;
}

std::uint64_t VectorShard::remove_where(std::span<const Arc> arcs, const Version* tombstones_up_to) {
  std::uint64_t counted = 0;
  for (const Arc& arc : arcs) {
    Token token = 0;
    std::string key, last_key;  // the last record that was looked at; empty: none yet
    for (bool whole = false; !whole;) {
      std::lock_guard writing(write_mutex_);
      std::unique_lock lock(mutex_);
      std::vector<Slot> slots;
      std::vector<VectorId> live;
      std::size_t left = kDropBlock;
      const auto visit = [&](Slot slot) {
        if (left-- == 0) return false;
        const RecordTable::Record record = table_[slot];
        token = table_.token(slot);
        last_key = record.key;
        if (tombstones_up_to != nullptr && !(record.deleted && record.version <= *tombstones_up_to)) return true;
        slots.push_back(slot);
        if (!record.deleted) live.push_back(slot);
        return true;
      };
      whole = key.empty() ? table_.walk(arc, visit) : table_.walk_behind(arc, token, key, visit);
      index_.erase(live);
      live_ -= live.size();
      counted += tombstones_up_to != nullptr ? slots.size() : live.size();
      for (const Slot slot : slots) table_.remove(slot);
      key = last_key;
    }
  }
  compact_beyond(kCompactFractionOfDrops);
  return counted;
}

std::uint64_t VectorShard::drop(std::span<const Arc> arcs) { return remove_where(arcs, nullptr); }

std::uint64_t VectorShard::collect_tombstones(const Version& newest) {
  const Arc whole{0, 0};
  return remove_where(std::span(&whole, 1), &newest);
}

void VectorShard::compact_beyond(double dead_fraction) {
  {
    std::shared_lock lock(mutex_);
    if (!index_.compaction_due(dead_fraction, kCompactRows)) return;
  }
  const std::unique_lock rebuilding(rebuild_mutex_, std::try_to_lock);
  if (!rebuilding.owns_lock()) return;  // someone is at it
  index_.compact(dead_fraction, kCompactRows);
}

ShardStats VectorShard::stats() const {
  std::shared_lock lock(mutex_);
  return {.live = live_,
          .tombstones = table_.size() - live_,
          .dead_rows = index_.dead_rows(),
          .memory_bytes = index_.memory_bytes() + table_.memory_bytes(),
          .searched_queries = searched_queries_.load(std::memory_order_relaxed),
          .distances = distances_.load(std::memory_order_relaxed)};
}

void VectorShard::candidates(const CandidateRequest& request, CandidateLists& out) const {
  thread_local GroupedIndex::Found found;
  const std::size_t n = request.queries.size();
  out.reset(n);
  std::shared_lock lock(mutex_);
  if (request.k == 0) throw Error(ErrorCode::kInvalidArgument, "k is 0: ask for at least one neighbour");
  SearchWork work;
  const KeyTieOrder by_key(table_, key_kind_);
  // approximate distances decide nothing: any order of equal ones will do, and by slot is the cheapest
  const TieOrder* order = index_.candidates_are_exact() ? &by_key : nullptr;
  const SlotFilter slots(table_, request);
  index_.candidates(request.queries, request.k, request.groups, SlotFilter::restricts(request) ? &slots : nullptr, order,
                    request.bounds, found, work);
  out.bounded = found.bounded;
  // records and keys lie anywhere: they are on their way while those before them are copied
  CandidateWalk records(found), keys(found);
  for (std::size_t i = 0; i < kRecordsAhead; ++i) records.next([&](Slot slot) { table_.prefetch(slot); });
  for (std::size_t i = 0; i < kKeysAhead; ++i) keys.next([&](Slot slot) { table_.prefetch_key(slot); });
  for (std::size_t i = 0; i < n; ++i) {
    out.begin_query();
    for (const Candidate& candidate : found.of(i)) {
      records.next([&](Slot slot) { table_.prefetch(slot); });
      keys.next([&](Slot slot) { table_.prefetch_key(slot); });
      const RecordTable::Record record = table_[static_cast<Slot>(candidate.id)];
      out.append(record.key, record.version, candidate.distance, candidate.id);
    }
  }
  out.distances = work.distances;
  searched_queries_.fetch_add(n, std::memory_order_relaxed);
  distances_.fetch_add(work.distances, std::memory_order_relaxed);
}

bool VectorShard::candidates_are_exact() const {
  std::shared_lock lock(mutex_);
  return index_.candidates_are_exact();
}

void VectorShard::refine(const MatrixView& queries, std::span<const RefineItem> items, std::span<float> distances) const {
  if (distances.size() != items.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                "room for " + std::to_string(distances.size()) + " distances of " + std::to_string(items.size()) + " items");
  }
  for (const RefineItem& item : items) {
    if (item.query >= static_cast<std::size_t>(queries.rows())) {
      throw Error(ErrorCode::kInvalidArgument,
                  "an item of query " + std::to_string(item.query) + ", there are " + std::to_string(queries.rows()) + " queries");
    }
  }
  const Reused<std::vector<Pair>> reused;
  std::vector<Pair>& pairs = *reused;
  pairs.resize(items.size());
  std::shared_lock lock(mutex_);
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i + kRecordsAhead < items.size()) table_.prefetch(static_cast<Slot>(items[i + kRecordsAhead].handle));
    if (i + kKeysAhead < items.size()) table_.prefetch_key(static_cast<Slot>(items[i + kKeysAhead].handle));
    const Slot hint = static_cast<Slot>(items[i].handle);
    // kNoSlot is no id of the index: +infinity
    const Slot slot = table_.holds(hint, items[i].key) ? hint : table_.find(token_of_key(items[i].key), items[i].key);
    pairs[i] = {items[i].query, slot};
  }
  index_.distances(queries, pairs, distances);
}

std::uint64_t VectorShard::code_fingerprint() const {
  std::shared_lock lock(mutex_);
  return index_.code_fingerprint();
}

bool VectorShard::lossless() const {
  std::shared_lock lock(mutex_);
  return index_.lossless();
}

}  // namespace annulus
