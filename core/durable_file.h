// Files that are whole or absent, and that say so: atomic replacement, and a checksummed envelope.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "core/posix_file.h"

namespace annulus {

/// A file that replaces `path` when it is whole, so that a crash leaves the old file or the new one, never a part: a temporary
/// file beside it, fsync, rename, fsync of the directory. For contents that come in pieces.
/// All throw Error(kResourceExhausted) when the disk is full, Error(kNotFound) if the directory is missing, Error(kUnavailable) for
/// other failures; the old file is then untouched, and the temporary one goes with this object.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void append(std::span<const std::byte> bytes);
  /// Once; nothing is appended after it.
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;  // empty once it was renamed
  FileDescriptor file_;
  std::uint64_t written_ = 0;
};

/// Writes `bytes` to `path` so that a crash leaves the old file or the new one, never a part. Throws as AtomicFile.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

/// The whole file. Throws Error(kNotFound) if there is none, Error(kUnavailable) if it cannot be read.
std::string read_file(const std::filesystem::path& path);

/// What an envelope holds; docs/formats/envelope.md.
enum class EnvelopeKind : std::uint32_t { kRing = 1, kIndex = 2, kCodec = 3, kArtifactManifest = 4 };

/// Wraps a payload: magic, kind, the payload's format version, length, xxh3_128. Little-endian.
std::string seal_envelope(EnvelopeKind kind, std::uint32_t version, std::string_view payload);

/// The payload, after its checksum has been verified: a view into `bytes`. Throws Error(kDataLoss) if it is truncated,
/// has bytes to spare, or is altered in any bit; Error(kInvalidArgument) if it is not an envelope or of another kind;
/// Error(kUnimplemented) if `version` is newer than `newest`. `name` names the source in the message.
std::string_view open_envelope(EnvelopeKind kind, std::uint32_t newest, std::string_view bytes, std::string_view name,
                               std::uint32_t* version = nullptr);

}  // namespace annulus
