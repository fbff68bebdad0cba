#include "shard/arc_copy.h"

#include <algorithm>

namespace annulus {
namespace {

// Looks that a record gets before it counts as missing. Two suffice unless the target loses what it is given.
constexpr int kLooks = 4;

// Runs `call`, which uses `shard`, and says of a failure whose it is.
template <typename Call>
auto at(const Shard& shard, Call&& call) {
  try {
    return call();
  } catch (const Error& error) {
    throw CopyError(shard.id(), error);
  } catch (const std::exception& error) {
    throw CopyError(shard.id(), Error(ErrorCode::kInternal, error.what()));
  }
}

CopyCounts send(std::span<const RecordView> records, Shard& target, WriteMode mode = WriteMode::kInsertOrUpdate) {
  CopyCounts counts;
  std::vector<WriteOutcome> outcomes(records.size());
  at(target, [&] { target.upsert_if_newer(records, mode, outcomes); });
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (outcomes[i] == WriteOutcome::kApplied) {
      ++(records[i].deleted ? counts.copied_tombstones : counts.copied);
      counts.as_codes += records[i].code.empty() ? 0 : 1;
    } else if (outcomes[i] == WriteOutcome::kSuperseded) {
      ++counts.already_there;
    }
  }
  return counts;
}

bool same_codes(const Shard& source, std::span<const std::shared_ptr<Shard>> targets) {
  const auto codec = [](const Shard& shard) { return at(shard, [&] { return shard.code_fingerprint(); }); };
  const std::uint64_t given = codec(source);
  return given != 0 && std::ranges::all_of(targets, [&](const auto& target) { return codec(*target) == given; });
}

// The records of `page` that `target` does not hold, or holds older.
std::vector<RecordView> not_dominated(std::span<const RecordView> records, const Shard& target) {
  std::vector<KeyView> keys;
  for (const RecordView& record : records) keys.push_back(record.key);
  std::vector<HeldRecord> held(keys.size());
  at(target, [&] { target.lookup(keys, held); });
  std::vector<RecordView> missing;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (!held[i].found || held[i].version < records[i].version) missing.push_back(records[i]);
  }
  return missing;
}

// Sends what the source holds now of the keys in `missing`; takes out those that it does not hold any more.
CopyCounts send_again(const Shard& source, std::vector<RecordView>& missing, Shard& target) {
  const std::size_t dimension = source.spec().dimension;
  RecordPage page(dimension);
  std::vector<float> vector(dimension);
  std::erase_if(missing, [&](const RecordView& record) {
    const HeldRecord held = at(source, [&] { return source.get(record.key, vector); });
    if (!held.found) return true;
    page.append({.key = record.key,
                 .version = held.version,
                 .deleted = held.deleted,
                 .vector_hash = held.vector_hash,
                 .vector = held.deleted ? nullptr : vector.data()});
    return false;
  });
  CopyCounts counts = send(page.views(), target);
  counts.recopied = counts.copied + counts.copied_tombstones;
  counts.bytes = page.bytes();
  return counts;
}

// Reads `arcs` page by page and adds up what handle(records) returns for each.
template <typename Handle>
CopyCounts each_page(const Shard& source, std::span<const Arc> arcs, std::size_t page_records, ScanContents contents,
                     const PageCallback& after_page, Handle&& handle) {
  CopyCounts total;
  RecordPage page(source.spec().dimension);
  ScanPosition position;
  for (bool more = true; more;) {
    page.clear();
    more = at(source, [&] { return source.scan(arcs, position, page_records, contents, page); });
    if (page.empty()) continue;
    const CopyCounts counts = handle(page);
    total += counts;
    if (after_page) after_page(counts);
  }
  return total;
}

// Compares a page of versions with what `target` holds, and copies again what is missing there.
CopyCounts check(const Shard& source, std::span<const RecordView> records, Shard& target) {
  CopyCounts counts;
  std::vector<RecordView> missing = not_dominated(records, target);
  for (int look = 1; look < kLooks && !missing.empty(); ++look) {
    counts += send_again(source, missing, target);
    missing = not_dominated(missing, target);
  }
  const auto is_live = [](const RecordView& record) { return !record.deleted; };
  counts.verified = static_cast<std::uint64_t>(std::count_if(records.begin(), records.end(), is_live) -
                                               std::count_if(missing.begin(), missing.end(), is_live));
  counts.missing = missing.size();
  return counts;
}

}  // namespace

CopyCounts& CopyCounts::operator+=(const CopyCounts& other) noexcept {
  copied += other.copied;
  copied_tombstones += other.copied_tombstones;
  already_there += other.already_there;
  recopied += other.recopied;
  verified += other.verified;
  missing += other.missing;
  as_codes += other.as_codes;
  bytes += other.bytes;
  return *this;
}

CopyCounts copy_arcs(const Shard& source, std::span<const std::shared_ptr<Shard>> targets, std::span<const Arc> arcs,
                     std::size_t page_records, const PageCallback& after_page, WriteMode mode) {
  const ScanContents contents = same_codes(source, targets) ? ScanContents::kCodes : ScanContents::kVectors;
  return each_page(source, arcs, page_records, contents, after_page, [&](const RecordPage& page) {
    const std::vector<RecordView> records = page.views();
    CopyCounts counts;
    for (const auto& target : targets) {
      counts += send(records, *target, mode);
      counts.bytes += page.bytes();
    }
    return counts;
  });
}

CopyCounts verify_dominance(const Shard& source, std::span<const std::shared_ptr<Shard>> targets, std::span<const Arc> arcs,
                            std::size_t page_records, const PageCallback& after_page) {
  return each_page(source, arcs, page_records, ScanContents::kVersions, after_page, [&](const RecordPage& page) {
    const std::vector<RecordView> records = page.views();
    CopyCounts counts;
    for (const auto& target : targets) counts += check(source, records, *target);
    return counts;
  });
}

}  // namespace annulus
