// Private to artifact/: manifests as bytes (docs/formats/artifact_host.md), and versions as parts of file names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "artifact/artifact_host.h"

namespace annulus::internal {

/// Digits that sort as versions do: the clock's 16, '-', the writer's 8.
std::string to_digits(Version version);
/// Nothing if the digits are not exactly what to_digits writes.
std::optional<Version> version_of_digits(std::string_view digits) noexcept;

/// Chunks of a content of `bytes`.
std::uint64_t chunk_count(std::uint64_t bytes) noexcept;
/// Bytes of chunk `index`.
std::size_t chunk_size(std::uint64_t bytes, std::uint64_t index) noexcept;

std::string manifest_to_bytes(const ArtifactManifest& manifest);

/// What manifest_to_bytes wrote of this name and version. `source` names it in messages. Throws Error(kDataLoss) if it is
/// damaged, or that of another version; Error(kUnimplemented) for a newer format.
ArtifactManifest manifest_from_bytes(std::string_view bytes, std::string_view name, Version version, const std::string& source);

}  // namespace annulus::internal
