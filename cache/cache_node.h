// What a cache node is: where entries live, and what every kind of node promises. Start at CacheNode.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/key.h"
#include "core/version.h"

namespace annulus {

using CacheClock = std::chrono::system_clock;  ///< wall time, because entries expire in other processes too
using CacheTime = CacheClock::time_point;

inline constexpr CacheTime kNeverExpires = CacheTime::max();
inline constexpr std::size_t kMaxCacheValueBytes = std::size_t{256} << 20;

/// What a key has at a node.
struct CacheEntry {
  std::string value;
  Version version;  ///< of the write that made it; newer wins
  CacheTime expires = kNeverExpires;

  friend bool operator==(const CacheEntry&, const CacheEntry&) = default;
};

enum class CacheWriteKind : std::uint8_t {
  kPut,    ///< `value` under `key`
  kErase,  ///< a tombstone: for as long as it is remembered, nothing older is taken. `value` is empty
};

/// One write to a node. Views: the caller keeps key and value alive during the call.
struct CacheWrite {
  KeyView key;
  std::string_view value;
  Version version;
  CacheTime expires = kNeverExpires;  ///< of a tombstone: when it may be forgotten
  CacheWriteKind kind = CacheWriteKind::kPut;
};

/// What became of a write. Whichever it is, the node does not hold anything older than the write any more.
enum class CacheOutcome : std::uint8_t {
  kStored,      ///< the node holds it
  kSuperseded,  ///< the node knows of a write as new or newer, or of a newer generation: it stays as it was
  kRejected,    ///< the node has no room for it: it holds nothing under this key now
};

/// Counts since the node was made. Sizes are of now.
struct CacheNodeStats {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t stored = 0;
  std::uint64_t superseded = 0;
  std::uint64_t rejected = 0;
  std::uint64_t evicted = 0;   ///< pushed out for room
  std::uint64_t expired = 0;   ///< found past their time
  std::uint64_t failures = 0;  ///< calls that found the node out of reach
  std::uint64_t items = 0;     ///< live entries; 0 where a node cannot tell
  std::uint64_t bytes = 0;     ///< keys, values and what an entry costs beside them; 0 where a node cannot tell
  std::string last_error;      ///< of the last failure: what happened, and what to do
};

/// Where a scan stands. Start with a fresh one; a node's own business inside.
struct CacheCursor {
  std::uint64_t position = 0;
  bool done = false;
};

/// Holds cache entries. DistributedCache knows nodes by this interface alone.
///
/// A node may forget anything at any time (eviction, expiry, a restart), and never goes back: once it took a write, it does
/// not give an older entry of that key. What it forgets by itself it must either remember as a version (so that an
/// older copy is refused), or answer for with a new generation.
/// Generation: a number that changes whenever the node may have lost writes that it took, or missed some. What is copied from
/// another node is written with the generation which the copier read *before* it read the source; a node of another
/// generation by then refuses it. So a copy that was on its way meanwhile cannot bring back what was overwritten.
/// A put that is fresh carries the generation too, read before its version was drawn: it may have been overtaken by a newer
/// write that the node missed.
/// Keys: 1 to kMaxKeyBytes bytes, values up to kMaxCacheValueBytes, both any bytes; checked by the caller.
/// Thread-safe. Calls throw Error(kUnavailable) when the node is out of reach: some writes may then have been taken.
class CacheNode {
 public:
  virtual ~CacheNode();

  /// Its name on the ring; constant.
  virtual const std::string& id() const noexcept = 0;

  /// The live entry, or nothing: expired and erased ones are none.
  virtual std::optional<CacheEntry> get(KeyView key) = 0;

  /// entries[i] for keys[i]; resized by the call. One round trip where there is a network.
  virtual void get(std::span<const KeyView> keys, std::vector<std::optional<CacheEntry>>& entries) = 0;

  /// Takes what is newer than all it knows of the key. `only_in`: and only if the node is of this generation when it takes it.
  virtual CacheOutcome write(const CacheWrite& write, std::optional<std::uint64_t> only_in = std::nullopt) = 0;

  /// outcomes[i] for writes[i], applied in order; resized by the call. One round trip where there is a network.
  virtual void write(std::span<const CacheWrite> writes, std::vector<CacheOutcome>& outcomes,
                     std::optional<std::uint64_t> only_in = std::nullopt) = 0;

  /// Drops entries that are not wanted here any more, tombstones included, and remembers nothing of them: the caller sees to it
  /// that no copy of them is under way. They may come back as they were. Returns how many live entries it held of them.
  virtual std::uint64_t forget(std::span<const KeyView> keys) = 0;

  /// Appends up to about `limit` keys of live entries to `page`, and moves `cursor`; it is done when all were given. A key that
  /// is there from the first call to the last is given at least once, perhaps twice.
  virtual void scan(CacheCursor& cursor, std::size_t limit, std::vector<std::string>& page) = 0;

  /// The number that copies carry.
  virtual std::uint64_t generation() const noexcept = 0;

  /// Starts a new generation: all that the node held is gone. What a node must do before it is used again when it missed a
  /// write. Throws Error(kUnavailable), and then nothing was promised.
  virtual void invalidate() = 0;

  virtual CacheNodeStats stats() const = 0;

  /// Whether calls wait for a network: those to several such nodes are made side by side.
  virtual bool remote() const noexcept { return false; }
};

}  // namespace annulus
