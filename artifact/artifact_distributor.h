// One store of artifacts over many hosts: replicas, versions, healing. Start here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/artifact_host.h"
#include "ring/hash_ring.h"
#include "ring/placement.h"
#include "ring/resize_stages.h"

namespace annulus {

struct ArtifactDistributorOptions {
  std::size_t replicas = 2;  ///< R: hosts that hold each artifact
  RingOptions ring = {};     ///< one probe
  std::uint32_t writer = 0;  ///< number of this process, part of versions: different for processes that share hosts
};

/// Fills `buffer` from the front and returns how many bytes; fewer than its size only at the end of the content.
using ArtifactSource = std::function<std::size_t(std::span<std::byte> buffer)>;
/// Takes the next bytes of a content, in order, each checked before.
using ArtifactSink = std::function<void(std::span<const std::byte> bytes)>;

/// Why a host did not take part.
struct ArtifactHostError {
  std::string host;
  std::string message;
};

/// What became of a put or an erase.
struct ArtifactPutReport {
  ArtifactInfo info;
  std::vector<std::string> replicas;      ///< hosts that hold the committed version
  std::vector<ArtifactHostError> missed;  ///< owners that do not: repair() brings it to them
};

/// Where a get read from, and what it found on the way.
struct ArtifactGetReport {
  ArtifactInfo info;
  std::string host;                         ///< that gave the last chunk
  std::vector<std::string> healed;          ///< owners whose replica was missing, old or damaged, and is good again
  std::vector<ArtifactHostError> problems;  ///< owners that were out of reach, or damaged and could not be healed
};

/// An owner that missed the commit of the newest version of a name.
struct ArtifactMiss {
  std::string name;
  std::string host;
};

/// What is wrong with one name at one host.
struct ArtifactFinding {
  std::string name;
  std::string host;
  std::string what;
};

/// What a verification found, or a repair did. Counts are of replicas (version, host) unless said otherwise.
struct ArtifactCheckReport {
  std::uint64_t artifacts = 0;   ///< names with a newest committed version that is a blob
  std::uint64_t replicas = 0;    ///< of newest versions, whole, on owners
  std::uint64_t bytes = 0;       ///< read and hashed
  std::uint64_t damaged = 0;     ///< truncated or altered
  std::uint64_t missing = 0;     ///< owners without the newest version
  std::uint64_t strangers = 0;   ///< on hosts that do not own them
  std::uint64_t superseded = 0;  ///< older than the newest committed version
  std::uint64_t lost = 0;        ///< artifacts without any whole replica
  std::uint64_t healed = 0;      ///< repair: replicas written
  std::uint64_t removed = 0;     ///< repair: strangers, superseded versions, tombstones that nobody needs, remains of dead puts
  std::vector<ArtifactFinding> findings;    ///< replicas that are damaged, missing or strangers, by name: also those repaired since
  std::vector<ArtifactHostError> problems;  ///< hosts out of reach, and what could not be read or repaired (no host: at none)
  /// A verification: all is in order. Superseded versions do no harm.
  bool ok() const noexcept { return damaged == 0 && missing == 0 && strangers == 0 && lost == 0 && problems.empty(); }
  /// A repair: all is in order now.
  bool repaired() const noexcept { return lost == 0 && problems.empty(); }
};

/// Called with the bytes dealt with so far and in all, from the calling thread.
using ArtifactProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Places artifacts (checkpoints, LoRA files) on hosts by a consistent-hash ring.
///
/// An artifact is a name with immutable versions. A put streams a new version to every owner, unseen, and commits it when its
/// replicas are in place: whoever reads sees the version before or this one, whole. An erase is a version too. Readers take the
/// newest version that any owner in reach has committed; every chunk is checked before it is handed on, and a damaged or missing
/// replica is replaced from a good one. Superseded versions go when all owners hold the newer one.
/// Of puts that overlap, the one that began last wins.
/// Membership is declared here and carried out by ArtifactRebalancer: see docs/artifacts.md. Before the first operation of this
/// object (of any kind but a declaration, on any name), and as long as no host serves, a declaration holds at once: so a program
/// attaches hosts that hold artifacts already, and goes on where the last one stopped.
/// Bounded memory whatever the size: a few chunks of kArtifactChunkBytes a call. Thread-safe. Blobs move in parallel to hosts.
class ArtifactDistributor {
 public:
  /// Throws Error(kInvalidArgument) for bad options, Error(kUnimplemented) for a ring with several probes.
  explicit ArtifactDistributor(ArtifactDistributorOptions options = {});
  ~ArtifactDistributor();
  ArtifactDistributor(const ArtifactDistributor&) = delete;
  ArtifactDistributor& operator=(const ArtifactDistributor&) = delete;

  // --- membership, declared. All throw Error(kFailedPrecondition) while a resize is under way.

  /// What the host holds counts: it must be empty, or hold what an interrupted resize to the same ring brought it.
  /// Throws Error(kAlreadyExists) if the id is declared or still serving; what ConsistentHasher::add_node throws.
  void attach_node(std::shared_ptr<ArtifactHost> host, double weight = 1.0, std::string zone = {});
  void detach_node(std::string_view id);                ///< Throws Error(kNotFound).
  void set_weight(std::string_view id, double weight);  ///< Throws Error(kNotFound), Error(kInvalidArgument).
  void set_replicas(std::size_t replicas);              ///< Throws Error(kInvalidArgument) for 0.

  /// As declared: what will hold after the next resize.
  ConsistentHasher ring() const;
  std::size_t replicas() const;
  /// What holds now.
  Placement placement() const;
  /// The hosts that serve `name`, the primary first; those that a ring would give, at replicas().
  std::vector<std::string> placement(std::string_view name) const;
  std::vector<std::string> placement_with_ring(std::string_view name, const ConsistentHasher& ring) const;

  // --- artifacts. Bad names throw Error(kInvalidArgument).

  /// Stores a new version. Throws Error(kResourceExhausted) if a disk is full and Error(kUnavailable) if no serving owner takes it:
  /// then nothing is visible, and older versions are as they were. A host that fails is in the report, as long as one serving
  /// owner holds it. What the source throws passes. The source is called from this thread, with kArtifactChunkBytes of room.
  ArtifactPutReport put(std::string_view name, const ArtifactSource& source);
  ArtifactPutReport put(std::string_view name, std::span<const std::byte> content);
  /// From a file. `progress` may be empty.
  ArtifactPutReport put_file(std::string_view name, const std::filesystem::path& path, const ArtifactProgress& progress = {});

  /// Streams the newest version. Throws Error(kNotFound) if there is none or it was erased; Error(kUnavailable) if the newest one
  /// may be out of reach (no owner answers; none that answers has any and one is silent; this object knows of a newer one) or
  /// cannot be read to its end now; Error(kDataLoss) if no whole replica is left. The sink is called from this thread; its
  /// exceptions pass.
  ArtifactGetReport get(std::string_view name, const ArtifactSink& sink);
  /// Whole. For what fits in memory.
  std::vector<std::byte> get(std::string_view name);
  /// To a file that is whole or absent: written beside it, synced, renamed.
  ArtifactGetReport get_file(std::string_view name, const std::filesystem::path& path, const ArtifactProgress& progress = {});

  /// The newest version, or nothing. Throws Error(kUnavailable) as get.
  std::optional<ArtifactInfo> find(std::string_view name);
  /// Newest versions whose name begins with `prefix`, erased ones left out, sorted by name; kDamaged where no
  /// manifest in reach is whole. Hosts out of reach are in `problems`; without it, throws Error(kUnavailable) if they are so many
  /// that the list may lack a name.
  std::vector<ArtifactInfo> list(std::string_view prefix = {}, std::vector<ArtifactHostError>* problems = nullptr);

  /// Erases a name, whether it is there or not (if no host has heard of it, nothing is written). Throws as put.
  ArtifactPutReport erase(std::string_view name);

  /// Reads and hashes every replica of the newest versions. Changes nothing. Beside puts it may find what is on its way missing.
  ArtifactCheckReport verify(const ArtifactProgress& progress = {});
  /// Brings every newest version to all its owners, whole; then removes what is on other hosts, superseded or left by dead puts.
  /// Nothing is removed whose newer version is not whole on every owner. An erase is forgotten when all hosts answer and none has
  /// anything older; no other process may repair or heal meanwhile.
  ArtifactCheckReport repair(const ArtifactProgress& progress = {});

  // --- for ArtifactRebalancer: the steps of ResizeStages, which throw Error(kFailedPrecondition) in the wrong stage.

  ResizeStage stage() const;
  /// kNone -> kCopying: commits go to the owners in both rings from now on. False if the declared layout serves already.
  bool begin_resize();
  /// The same, if what is declared is still `ring` at `replicas`; throws Error(kFailedPrecondition) if not.
  bool begin_resize(const ConsistentHasher& ring, std::size_t replicas);
  /// kCopying -> kRetiring: the target serves, once every commit that one of its owners missed was brought to it. Throws
  /// Error(kUnavailable), and changes nothing, if one cannot be brought.
  void publish_target();
  /// kCopying -> kAborting: the declared ring is the serving one again.
  void begin_abort();
  /// kRetiring or kAborting -> kNone: hosts that own nothing leave.
  void finish();

  /// Held by whoever takes the hosts through the stages: one execution at a time, whoever started it.
  std::mutex& execution() noexcept;
  /// The commits that owners missed, and that nobody has brought to them yet, as far as this object knows.
  std::vector<ArtifactMiss> missed() const;
  std::vector<std::shared_ptr<ArtifactHost>> hosts() const;  ///< declared or serving, sorted by id
  /// Brings the newest version of `name` from host `from` to host `to`, verified there by its content hash. Does nothing but
  /// verify if `to` has it whole. Throws Error(kUnavailable / kResourceExhausted / kDataLoss), with the failing host's id first
  /// in the message; the exceptions of `step`, which is called with the bytes of each chunk sent, pass. Returns whether it had to
  /// be sent.
  bool copy(std::string_view name, std::string_view from, std::string_view to,
            const std::function<void(std::uint64_t bytes)>& step = {});
  /// Removes every version of `name` at `host` if each of `keepers` holds one at least as new as its newest, whole; returns whether.
  bool drop(std::string_view name, std::string_view host, std::span<const std::string> keepers);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace annulus
