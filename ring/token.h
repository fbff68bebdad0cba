// Tokens: positions on the ring, and how keys and virtual nodes get theirs.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/key.h"

namespace annulus {

/// A position on the ring of 2^64 positions, read clockwise (upwards, through 0 after the greatest).
using Token = std::uint64_t;

/// The version of everything that decides where a key lands: token functions, their input bytes, the order of equal
/// tokens, the replica rule. It is hashed into every token and stated in saved rings; rings of two versions are never mixed.
inline constexpr std::uint32_t kPlacementVersion = 1;

/// The token of a key: xxh3_64 with seed 0. The same on every ring.
Token token_of_key(KeyView key) noexcept;

/// The token of virtual node `i` of node `id`: xxh3_64, seeded with the ring's seed, of
/// le32(kPlacementVersion) le32(id's length) id le32(i). `id` has at most 1024 bytes (checked by the ring).
Token token_of_virtual_node(std::string_view id, std::uint32_t i, std::uint64_t seed);

/// Writes the tokens of the virtual nodes 0 .. out.size()-1 of node `id`. Each is token_of_virtual_node of its number.
void tokens_of_node(std::string_view id, std::uint64_t seed, std::span<Token> out);

/// Probe `j` of a key whose token is `token`: the token itself for j = 0, else xxh3_64 of its 8 little-endian bytes
/// with seed j.
Token probe_of_token(Token token, std::uint32_t j) noexcept;

}  // namespace annulus
