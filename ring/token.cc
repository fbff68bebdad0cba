// xxHash is inlined here: its small-key paths are several times faster when the compiler sees them.
#define XXH_INLINE_ALL
#include "ring/token.h"

#include <xxhash.h>

#include <string>

namespace annulus {
namespace {

void put_le(std::string& out, std::uint64_t v, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out += static_cast<char>(v >> (8 * i));
}

/// The hashed bytes of a virtual node, without its number.
std::string virtual_node_prefix(std::string_view id) {
  std::string bytes;
  bytes.reserve(id.size() + 12);
  put_le(bytes, kPlacementVersion, 4);
  put_le(bytes, id.size(), 4);
  bytes += id;
  return bytes;
}

}  // namespace

Token token_of_key(KeyView key) noexcept { return XXH3_64bits(key.data(), key.size()); }

Token token_of_virtual_node(std::string_view id, std::uint32_t i, std::uint64_t seed) {
  std::string bytes = virtual_node_prefix(id);
  put_le(bytes, i, 4);
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

void tokens_of_node(std::string_view id, std::uint64_t seed, std::span<Token> out) {
  std::string bytes = virtual_node_prefix(id);
  const std::size_t prefix = bytes.size();
  for (std::size_t i = 0; i < out.size(); ++i) {
    bytes.resize(prefix);
    put_le(bytes, i, 4);
    out[i] = XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
  }
}

Token probe_of_token(Token token, std::uint32_t j) noexcept {
  if (j == 0) return token;
  char bytes[8];
  for (std::size_t i = 0; i < sizeof bytes; ++i) bytes[i] = static_cast<char>(token >> (8 * i));
  return XXH3_64bits_withSeed(bytes, sizeof bytes, j);
}

}  // namespace annulus
