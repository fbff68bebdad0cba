// Private to artifact/: the hashes of contents and chunks, and hexadecimal digits.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "artifact/artifact_host.h"

struct evp_md_ctx_st;  // OpenSSL's

namespace annulus::internal {

/// SHA-256 of a content that comes in pieces. Throws Error(kInternal) if OpenSSL refuses.
class Sha256Hasher {
 public:
  Sha256Hasher();
  void update(std::span<const std::byte> bytes);
  /// Once, at the end.
  Sha256 finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

using ChunkHash = std::array<std::byte, 16>;

/// xxh3_128, in its canonical form (as `xxhsum -H2` prints it): ten times as fast as SHA-256, so that it can be checked at each
/// read.
ChunkHash hash_chunk(std::span<const std::byte> chunk) noexcept;

std::string bytes_to_hex(std::span<const std::byte> bytes);
/// False if `hex` is not exactly the lower-case digits of `bytes.size()` bytes.
bool hex_to_bytes(std::string_view hex, std::span<std::byte> bytes) noexcept;

}  // namespace annulus::internal
