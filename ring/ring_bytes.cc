// A ring as bytes, and its fingerprint. The layout: docs/formats/ring.md.
#include <xxhash.h>

#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/durable_file.h"
#include "core/error.h"
#include "ring/hash_ring.h"
#include "ring/ring_snapshot.h"

namespace annulus {
namespace {

constexpr std::uint32_t kFormatVersion = 1;

void put_le(std::string& out, std::uint64_t v, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out += static_cast<char>(v >> (8 * i));
}

void put_string(std::string& out, std::string_view s) {
  put_le(out, s.size(), 4);
  out += s;
}

/// All that a ring is made from.
std::string definition_of(const ConsistentHasher& ring) {
  std::string out;
  put_le(out, kPlacementVersion, 4);
  put_le(out, ring.options().virtual_nodes_per_weight, 4);
  put_le(out, ring.options().probes, 4);
  put_le(out, ring.token_bits(), 4);
  put_le(out, ring.options().seed, 8);
  put_le(out, ring.num_nodes(), 4);
  for (const Node& node : ring.nodes()) {
    put_string(out, node.id);
    put_le(out, std::bit_cast<std::uint64_t>(node.weight), 8);
    put_string(out, node.zone);
  }
  return out;
}

/// A hash of the tokens and owners, so that a reader that would place them elsewhere finds out.
std::uint64_t digest_of(const ConsistentHasher& ring) {
  std::string bytes;
  bytes.reserve(12 * ring.num_tokens());
  for (std::size_t i = 0; i < ring.num_tokens(); ++i) {
    put_le(bytes, ring.tokens()[i], 8);
    put_le(bytes, ring.owners()[i], 4);
  }
  return XXH3_64bits(bytes.data(), bytes.size());
}

class Reader {
 public:
  Reader(std::string_view bytes, std::string_view name) : bytes_(bytes), name_(name) {}

  std::uint64_t number(std::size_t size) {
    const std::string_view field = take(size);
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < size; ++i) v |= std::uint64_t{static_cast<unsigned char>(field[i])} << (8 * i);
    return v;
  }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::string string() { return std::string(take(u32())); }
  std::size_t left() const noexcept { return bytes_.size(); }

  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorCode::kDataLoss, name_ + " is damaged: " + what + "; restore it from a copy");
  }

 private:
  std::string_view take(std::size_t size) {
    if (size > bytes_.size()) {
      refuse("a field of " + std::to_string(size) + " bytes where " + std::to_string(bytes_.size()) + " are left");
    }
    const std::string_view field = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return field;
  }

  std::string_view bytes_;
  std::string name_;
};

}  // namespace

std::uint64_t ConsistentHasher::fingerprint() const {
  const std::string definition = definition_of(*this);
  return XXH3_64bits(definition.data(), definition.size());
}

std::string ConsistentHasher::to_bytes() const {
  std::string payload = definition_of(*this);
  put_le(payload, digest_of(*this), 8);
  return seal_envelope(EnvelopeKind::kRing, kFormatVersion, payload);
}

ConsistentHasher ConsistentHasher::from_bytes(std::string_view bytes, std::string_view name) {
  Reader in(open_envelope(EnvelopeKind::kRing, kFormatVersion, bytes, name), name);
  const std::uint32_t placement = in.u32();
  if (placement != kPlacementVersion) {
    throw Error(ErrorCode::kUnimplemented, std::string(name) + " has placement version " + std::to_string(placement) +
                                               ", this build has " + std::to_string(kPlacementVersion) +
                                               "; its keys lie elsewhere: use the build that wrote it");
  }
  RingOptions options;
  options.virtual_nodes_per_weight = in.u32();
  options.probes = in.u32();
  const std::uint32_t token_bits = in.u32();
  options.seed = in.number(8);
  const std::uint32_t num_nodes = in.u32();
  std::vector<Node> nodes;
  for (std::uint32_t i = 0; i < num_nodes; ++i) {
    Node node;
    node.id = in.string();
    node.weight = std::bit_cast<double>(in.number(8));
    node.zone = in.string();
    if (!nodes.empty() && !(nodes.back().id < node.id)) in.refuse("its nodes are not in the order of their ids");
    nodes.push_back(std::move(node));
  }
  const std::uint64_t digest = in.number(8);
  if (in.left() > 0) in.refuse(std::to_string(in.left()) + " bytes follow the end");
  try {
    const ConsistentHasher ring(internal::RingSnapshot::build(options, token_bits, std::move(nodes)));
    if (digest_of(ring) != digest) in.refuse("its nodes do not give the tokens that it was saved with");
    return ring;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kDataLoss || error.code() == ErrorCode::kResourceExhausted) throw;
    in.refuse(error.what());
  }
}

}  // namespace annulus
