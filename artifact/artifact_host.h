// What an artifact host is: where versions of artifacts are stored, and what every kind of host promises. Start at ArtifactHost.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/version.h"

namespace annulus {

using Sha256 = std::array<std::byte, 32>;

/// 64 lower-case hexadecimal digits, as sha256sum prints them.
std::string to_hex(const Sha256& digest);

/// Bytes of a chunk, but for the last one: what is read, checked and handed on at once.
inline constexpr std::size_t kArtifactChunkBytes = std::size_t{4} << 20;

/// Names are relative paths: 1 to 1024 bytes, components of 1 to 200 bytes apart by '/', none of them "." or "..", no NUL, no
/// leading or trailing '/', and no component that begins with '@' (the hosts' own). Throws Error(kInvalidArgument) that says which
/// rule.
void validate_artifact_name(std::string_view name);

enum class ArtifactKind : std::uint8_t {
  kBlob,     ///< a content
  kErased,   ///< the erase of the name: a version without content
  kDamaged,  ///< a committed version whose manifest cannot be read: what it was, only another replica can tell
};

/// One committed version of an artifact, but for its chunks.
struct ArtifactInfo {
  std::string name;
  Version version;  ///< newer wins
  ArtifactKind kind = ArtifactKind::kBlob;
  std::uint64_t bytes = 0;
  Sha256 sha256 = {};  ///< of the whole content

  friend bool operator==(const ArtifactInfo&, const ArtifactInfo&) = default;
};

/// What a host keeps beside a blob. docs/formats/artifact_host.md.
struct ArtifactManifest {
  ArtifactInfo info;
  std::vector<std::array<std::byte, 16>> chunks;  ///< xxh3_128 of each chunk, so that a chunk is checked before it is handed on

  friend bool operator==(const ArtifactManifest&, const ArtifactManifest&) = default;
};

/// A version on its way into a host. Nobody sees it before `commit`; if it is destroyed before, or the process dies, it is garbage.
class ArtifactWriter {
 public:
  virtual ~ArtifactWriter() = default;
  /// Throws Error(kResourceExhausted) if the disk is full, Error(kUnavailable) if the host fails.
  /// The memory of `bytes` is the caller's again when it returns.
  virtual void append(std::span<const std::byte> bytes) = 0;
  /// The content is whole: makes it and its manifest durable, still unseen, so that a commit needs no room. Throws as append;
  /// Error(kInvalidArgument) if the manifest's size is not what was appended.
  virtual void seal(const ArtifactManifest& manifest) = 0;
  /// Makes the sealed version visible, durably, all at once; takes the place of the same version, damaged or not. Once.
  /// Throws Error(kUnavailable): then it is not visible, as far as the host can tell.
  virtual void commit() = 0;
};

/// An open version. It stays readable when the version is removed meanwhile.
class ArtifactReader {
 public:
  virtual ~ArtifactReader() = default;
  virtual const ArtifactManifest& manifest() const noexcept = 0;
  /// Reads chunk `index` into `buffer` (kArtifactChunkBytes of room) and checks it; returns its bytes, a part of `buffer`.
  /// Throws Error(kDataLoss) if it is truncated or altered, Error(kUnavailable) if the host fails.
  virtual std::span<const std::byte> read_chunk(std::size_t index, std::span<std::byte> buffer) = 0;
};

/// Stores versions of artifacts; knows nothing of rings and replicas. Versions never change once committed. Thread-safe, also
/// beside other processes on the same host. Names are validated by every call (validate_artifact_name).
/// Throws Error(kUnavailable) when the host is out of reach.
class ArtifactHost {
 public:
  virtual ~ArtifactHost() = default;

  /// Its name on the ring; constant.
  virtual const std::string& id() const noexcept = 0;

  /// The committed versions of a name, newest first; empty if there are none. Damaged ones are in it (kDamaged).
  virtual std::vector<ArtifactInfo> versions(std::string_view name) = 0;

  /// All committed versions, sorted by (name, version). O(versions).
  virtual std::vector<ArtifactInfo> list() = 0;

  /// Begins a version. An erase is a version without an append: seal, commit. The same version may be staged twice at a time.
  /// Throws as ArtifactWriter::append; Error(kInvalidArgument) if the name leads out of the host (a symbolic link on its way).
  virtual std::unique_ptr<ArtifactWriter> stage(std::string_view name, Version version) = 0;

  /// Opens a committed blob. Throws Error(kNotFound) if there is no such version or it is an erase, Error(kDataLoss) if its
  /// manifest is damaged, or its blob missing or of another size.
  virtual std::unique_ptr<ArtifactReader> open(std::string_view name, Version version) = 0;

  /// Removes a version, whole or damaged; does nothing if there is none. First it becomes invisible, durably, then it goes.
  virtual void remove(std::string_view name, Version version) = 0;

  /// Removes what versions left that were never committed, or only half removed, because their process died (never one that is
  /// alive, in whichever process). Returns how many.
  virtual std::uint64_t collect_garbage() = 0;
};

}  // namespace annulus
