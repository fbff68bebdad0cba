// The write path: key -> token -> owners -> shards, all of them at once.
#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/prefetch.h"
#include "index/distance.h"
#include "shard/vector_router.h"

namespace annulus {
namespace {

// The rows that one member gets, and what it did with them.
struct Share {
  std::vector<std::uint32_t> rows;
  std::vector<RecordView> records;
  std::vector<WriteOutcome> outcomes;
  std::optional<ShardError> error;
};

// One write under one snapshot.
class Write {
 public:
  Write(const ClusterSnapshot& snapshot, std::span<const RecordView> records, CostMeter& cost)
      : snapshot_(snapshot), records_(records), cost_(cost), required_(snapshot.members().size()), former_(required_.size()) {}

  void run(WriteReport& report) {
    route();
    send(required_, WriteMode::kInsertOrUpdate);
    std::vector<bool> taken(records_.size(), false);
    for (const Share& share : required_) {
      for (std::size_t i = 0; !share.error && i < share.rows.size(); ++i) taken[share.rows[i]] = true;
    }
    // A former owner follows what an owner took, and nothing else.
    for (Share& share : former_) {
      std::erase_if(share.rows, [&](std::uint32_t row) { return !taken[row]; });
    }
    send(former_, WriteMode::kOnlyIfHeld);
    fill(taken, report);
  }

 private:
  // Rows go in the order of their tokens: neighbours in a shard's table, and a fair shuffle to a graph, which comes out worse from
  // rows that arrive sorted by what they mean. Rows of one key stay in their order.
  void route() {
    std::vector<std::pair<Token, std::uint32_t>> order(records_.size());
    for (std::uint32_t row = 0; row < records_.size(); ++row) order[row] = {token_of_key(records_[row].key), row};
    std::sort(order.begin(), order.end());
    ClusterSnapshot::Owners owners;
    for (const auto& [token, row] : order) {
      snapshot_.owners_of(token, owners);
      for (const MemberIndex member : owners.required) required_[member].rows.push_back(row);
      for (const MemberIndex member : owners.former) former_[member].rows.push_back(row);
    }
  }

  void send(std::vector<Share>& shares, WriteMode mode) {
    std::vector<MemberIndex> asked;
    for (MemberIndex member = 0; member < shares.size(); ++member) {
      Share& share = shares[member];
      if (share.rows.empty()) continue;
      if (snapshot_.members()[member].health == ShardHealth::kDown) {
        share.error = ShardError{name(member), ErrorCode::kUnavailable, "shard '" + name(member) + "' is down"};
        continue;
      }
      gather(share);
      share.outcomes.resize(share.rows.size());
      asked.push_back(member);
    }
    std::size_t rows = 0;
    for (const MemberIndex member : asked) rows += shares[member].rows.size();
    const auto failures = fan_out(asked.size(), cost_.threads_for(rows), [&](std::size_t i) {
      const std::uint64_t began = thread_nanoseconds();
      Share& share = shares[asked[i]];
      snapshot_.members()[asked[i]].shard->upsert_if_newer(share.records, mode, share.outcomes);
      cost_.learn(thread_nanoseconds() - began, share.rows.size());
    });
    for (std::size_t i = 0; i < asked.size(); ++i) {
      if (!failures.empty() && failures[i]) shares[asked[i]].error = describe_failure(name(asked[i]), failures[i]);
    }
  }

  // The rows lie in no order, nor do their keys, which the shard reads next.
  void gather(Share& share) const {
    constexpr std::size_t kKeysAhead = 16;
    const std::vector<std::uint32_t>& rows = share.rows;
    share.records.reserve(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (i + 2 * kKeysAhead < rows.size()) prefetch(&records_[rows[i + 2 * kKeysAhead]]);
      if (i + kKeysAhead < rows.size()) prefetch(records_[rows[i + kKeysAhead]].key.data());
      share.records.push_back(records_[rows[i]]);
    }
  }

  void fill(const std::vector<bool>& taken, WriteReport& report) const {
    for (std::size_t row = 0; row < taken.size(); ++row) {
      if (!taken[row]) report.failed_rows.push_back(row);
    }
    for (MemberIndex member = 0; member < required_.size(); ++member) {
      const Share& share = required_[member];
      const Share& former = former_[member];
      const bool missed_required =
          share.error && std::any_of(share.rows.begin(), share.rows.end(), [&](std::uint32_t row) { return taken[row]; });
      if (missed_required || (former.error && !former.rows.empty())) report.missed.push_back(name(member));
      if (share.rows.empty() && former.rows.empty()) continue;
      WriteReport::ShardPart part{.shard = name(member), .sent = share.records.size() + former.records.size(), .applied = 0, .error = share.error};
      if (!part.error) part.error = former.error;
      if (!share.error) part.applied += applied(share);
      if (!former.error) part.applied += applied(former);
      report.shards.push_back(std::move(part));
    }
  }

  static std::size_t applied(const Share& share) {
    return static_cast<std::size_t>(std::count(share.outcomes.begin(), share.outcomes.end(), WriteOutcome::kApplied));
  }
  const std::string& name(MemberIndex member) const { return snapshot_.members()[member].shard->id(); }

  const ClusterSnapshot& snapshot_;
  std::span<const RecordView> records_;
  CostMeter& cost_;
  std::vector<Share> required_;
  std::vector<Share> former_;
};

void require_taken(const WriteReport& report, KeyView key, KeyKind kind) {
  if (report.ok()) return;
  std::string who;
  for (const WriteReport::ShardPart& part : report.shards) {
    who += (who.empty() ? "" : "; ") + (part.error ? part.error->message : "shard '" + part.shard + "' did not answer");
  }
  throw Error(ErrorCode::kUnavailable, "no owner of key '" + display_key(key, kind) + "' took the write" +
                                           (who.empty() ? ": no shard is attached to this router; call attach_node"
                                                        : ": " + who + "; bring a shard up and try again"));
}

}  // namespace

void VectorRouter::validate_keys(std::span<const KeyView> keys) const {
  for (std::size_t row = 0; row < keys.size(); ++row) {
    try {
      validate_key(keys[row], options_.key_kind);
    } catch (const Error& error) {
      throw Error(error.code(), "row " + std::to_string(row) + ": " + error.what());
    }
  }
}

Matrix VectorRouter::accepted(const MatrixView& vectors, const char* what) const {
  validate_vectors(vectors, options_.index.dimension, options_.index.metric, what);
  Matrix taken = vectors;
  if (options_.index.metric == Metric::kCosine) {
    for (Eigen::Index row = 0; row < taken.rows(); ++row) normalise(taken.row(row).data(), options_.index.dimension);
  }
  return taken;
}

WriteReport VectorRouter::write(std::vector<RecordView> records) {
  WriteReport report;
  report.rows = records.size();
  if (records.empty()) return report;
  control_.start_running();
  report.versions.reserve(records.size());
  {
    // The version is newer than the pin: a drain that saw no such operation has seen all older versions.
    const SnapshotPtr snapshot = control_.pin();
    const Version first = clock_.next(records.size());
    for (std::size_t row = 0; row < records.size(); ++row) {
      records[row].version = {first.clock + row, first.writer};
      report.versions.push_back(records[row].version);
    }
    Write(*snapshot, records, row_cost_).run(report);
    // Before the caller hears of it, and before a drain can end: nobody may read from a shard that missed a write.
    control_.mark_missed(report.missed);
  }
  return report;
}

WriteReport VectorRouter::upsert(std::span<const KeyView> keys, const MatrixView& vectors) {
  if (keys.size() != static_cast<std::size_t>(vectors.rows())) {
    throw Error(ErrorCode::kInvalidArgument,
                std::to_string(keys.size()) + " keys for " + std::to_string(vectors.rows()) + " vectors; pass one key a row");
  }
  if (keys.empty()) return {};
  validate_keys(keys);
  const Matrix taken = accepted(vectors, "the vectors to upsert");
  std::vector<RecordView> records(keys.size());
  for (std::size_t row = 0; row < keys.size(); ++row) {
    const float* vector = taken.row(static_cast<Eigen::Index>(row)).data();
    records[row] = {.key = keys[row], .version = {}, .deleted = false,
                    .vector_hash = hash_vector(vector, options_.index.dimension), .vector = vector};
  }
  WriteReport report = write(std::move(records));
  codec_.wrote(keys.size());
  return report;
}

WriteReport VectorRouter::upsert(KeyView key, const VectorView& vector) {
  WriteReport report = upsert(std::span(&key, 1), MatrixView(map_rows(vector.data(), 1, static_cast<std::size_t>(vector.size()))));
  require_taken(report, key, options_.key_kind);
  return report;
}

WriteReport VectorRouter::erase(std::span<const KeyView> keys) {
  validate_keys(keys);
  std::vector<RecordView> records(keys.size());
  for (std::size_t row = 0; row < keys.size(); ++row) records[row] = {.key = keys[row], .version = {}, .deleted = true};
  return write(std::move(records));
}

WriteReport VectorRouter::erase(KeyView key) {
  WriteReport report = erase(std::span(&key, 1));
  require_taken(report, key, options_.key_kind);
  return report;
}

}  // namespace annulus
