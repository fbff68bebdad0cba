#include "artifact/artifact_manifest.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "artifact/content_hash.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/key.h"

namespace annulus::internal {
namespace {

constexpr std::uint32_t kFormat = 1;
constexpr std::size_t kClockDigits = 16;
constexpr std::size_t kWriterDigits = 8;

std::string number_to_digits(std::uint64_t number, std::size_t digits) {
  std::array<std::byte, 8> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(number >> (8 * (7 - i)));
  return bytes_to_hex(std::span(bytes).last(digits / 2));
}

std::optional<std::uint64_t> number_of_digits(std::string_view digits) noexcept {
  std::array<std::byte, 8> bytes{};
  if (!hex_to_bytes(digits, std::span(bytes).last(digits.size() / 2))) return std::nullopt;
  std::uint64_t number = 0;
  for (const std::byte byte : bytes) number = number << 8 | static_cast<std::uint64_t>(byte);
  return number;
}

[[noreturn]] void throw_damaged(const std::string& source, const std::string& why) {
  throw Error(ErrorCode::kDataLoss, source + " is damaged: " + why);
}

// A field that is a number of bytes: nothing negative, and no fraction, which could be out of the range of any integer.
std::uint64_t bytes_in(const nlohmann::json& json, const char* field, const std::string& source) {
  const auto& value = json.at(field);
  if (!value.is_number_unsigned()) throw_damaged(source, "its " + std::string(field) + " is no number of bytes");
  return value.get<std::uint64_t>();
}

ArtifactManifest parse(const nlohmann::json& json, std::string_view name, Version version, const std::string& source) {
  // Names are bytes, JSON is UTF-8: a name is written as display_key shows it, which no other name is shown as.
  if (json.at("name").get<std::string>() != display_key(name) || json.at("version").get<std::string>() != to_digits(version)) {
    throw_damaged(source,
                  "it is that of '" + json.at("name").get<std::string>() + "', version " + json.at("version").get<std::string>());
  }
  if (const std::uint64_t chunk = bytes_in(json, "chunk_bytes", source); chunk != kArtifactChunkBytes) {
    throw Error(ErrorCode::kUnimplemented, source + " has chunks of " + std::to_string(chunk) +
                                               " bytes; this build reads chunks of " + std::to_string(kArtifactChunkBytes));
  }
  ArtifactManifest manifest{.info = {.name = std::string(name), .version = version}, .chunks = {}};
  const auto kind = json.at("kind").get<std::string>();
  if (kind != "blob" && kind != "erased") throw_damaged(source, "its kind is '" + kind + "', neither blob nor erased");
  manifest.info.kind = kind == "blob" ? ArtifactKind::kBlob : ArtifactKind::kErased;
  manifest.info.bytes = bytes_in(json, "bytes", source);
  if (!hex_to_bytes(json.at("sha256").get_ref<const std::string&>(), manifest.info.sha256))
    throw_damaged(source, "its sha256 is no hash");
  const auto& chunks = json.at("chunks");
  const std::uint64_t expected = kind == "blob" ? chunk_count(manifest.info.bytes) : 0;
  if (chunks.size() != expected) {
    throw_damaged(source, "it has " + std::to_string(chunks.size()) + " chunks, " + std::to_string(expected) + " expected");
  }
  manifest.chunks.resize(chunks.size());
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    if (!hex_to_bytes(chunks[i].get_ref<const std::string&>(), manifest.chunks[i])) throw_damaged(source, "a chunk's hash is none");
  }
  return manifest;
}

}  // namespace

std::string to_digits(Version version) {
  return number_to_digits(version.clock, kClockDigits) + '-' + number_to_digits(version.writer, kWriterDigits);
}

std::optional<Version> version_of_digits(std::string_view digits) noexcept {
  if (digits.size() != kClockDigits + 1 + kWriterDigits || digits[kClockDigits] != '-') return std::nullopt;
  const auto clock = number_of_digits(digits.substr(0, kClockDigits));
  const auto writer = number_of_digits(digits.substr(kClockDigits + 1));
  if (!clock || !writer) return std::nullopt;
  return Version{*clock, static_cast<std::uint32_t>(*writer)};
}

std::uint64_t chunk_count(std::uint64_t bytes) noexcept {
  return bytes / kArtifactChunkBytes + (bytes % kArtifactChunkBytes == 0 ? 0 : 1);
}

std::size_t chunk_size(std::uint64_t bytes, std::uint64_t index) noexcept {
  return static_cast<std::size_t>(std::min<std::uint64_t>(kArtifactChunkBytes, bytes - index * kArtifactChunkBytes));
}

std::string manifest_to_bytes(const ArtifactManifest& manifest) {
  nlohmann::ordered_json chunks = nlohmann::ordered_json::array();
  for (const ChunkHash& chunk : manifest.chunks) chunks.push_back(bytes_to_hex(chunk));
  const nlohmann::ordered_json json{{"name", display_key(manifest.info.name)},
                                    {"version", to_digits(manifest.info.version)},
                                    {"kind", manifest.info.kind == ArtifactKind::kBlob ? "blob" : "erased"},
                                    {"bytes", manifest.info.bytes},
                                    {"sha256", to_hex(manifest.info.sha256)},
                                    {"chunk_bytes", kArtifactChunkBytes},
                                    {"chunks", std::move(chunks)}};
  return seal_envelope(EnvelopeKind::kArtifactManifest, kFormat, json.dump());
}

ArtifactManifest manifest_from_bytes(std::string_view bytes, std::string_view name, Version version, const std::string& source) {
  std::string_view payload;
  try {
    payload = open_envelope(EnvelopeKind::kArtifactManifest, kFormat, bytes, source);
  } catch (const Error& error) {
    // A first byte altered makes it another kind of file, which here is damage as well.
    if (error.code() == ErrorCode::kInvalidArgument) throw Error(ErrorCode::kDataLoss, error.what());
    throw;
  }
  try {
    return parse(nlohmann::json::parse(payload), name, version, source);
  } catch (const nlohmann::json::exception& error) {
    throw_damaged(source, error.what());
  }
}

}  // namespace annulus::internal
