// Copies arcs from one shard to others, and proves that nothing is missing there. Used to synchronise and to resize.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/error.h"
#include "shard/shard.h"

namespace annulus {

/// What a copy did. Adds up.
struct CopyCounts {
  std::uint64_t copied = 0;             ///< live records that a target took because of the copy
  std::uint64_t copied_tombstones = 0;  ///< tombstones likewise
  std::uint64_t already_there = 0;      ///< records of which the target held this version or a newer one
  std::uint64_t recopied = 0;           ///< of those copied: found missing or old when verified
  std::uint64_t verified = 0;           ///< (live record, target) pairs found at least as new as in the source
  std::uint64_t missing = 0;            ///< pairs that verification found missing or old
  std::uint64_t as_codes = 0;           ///< of those copied: as codes, which loses nothing
  std::uint64_t bytes = 0;              ///< of keys, versions, vectors and codes that were sent

  CopyCounts& operator+=(const CopyCounts& other) noexcept;
};

/// A shard failed while a copy used it: which one, and its own words.
class CopyError : public Error {
 public:
  CopyError(const std::string& shard, const Error& cause) : Error(cause.code(), cause.what()), shard_(shard) {}
  const std::string& shard() const noexcept { return shard_; }

 private:
  std::string shard_;
};

/// Called after each page with what it added; may wait (throttle, pause) and may throw (abort).
using PageCallback = std::function<void(const CopyCounts&)>;

/// Sends every record of `arcs` that `source` holds, tombstones too, to each of `targets`, as upserts of what is newer: safe
/// beside live writes, and idempotent. Pages of up to `page_records`. As codes where all have the same codec. Throws CopyError, and
/// what `after_page` throws.
/// With WriteMode::kOnlyIfHeld it updates what a target still holds, and gives it nothing else.
CopyCounts copy_arcs(const Shard& source, std::span<const std::shared_ptr<Shard>> targets, std::span<const Arc> arcs,
                     std::size_t page_records, const PageCallback& after_page = {}, WriteMode mode = WriteMode::kInsertOrUpdate);

/// Checks that each of `targets` dominates `source` on `arcs`: for every key that the source holds, tombstones included, the
/// target's version is at least as new. What is not is copied again (`recopied`), and checked again; what still is not counts
/// as `missing`. With writes to both under way a record may be met between its two halves: hence the second look.
/// Throws as copy_arcs.
CopyCounts verify_dominance(const Shard& source, std::span<const std::shared_ptr<Shard>> targets, std::span<const Arc> arcs,
                            std::size_t page_records, const PageCallback& after_page = {});

}  // namespace annulus
