#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/durable_file.h"
#include "ring/hash_ring.h"
#include "tests/ring/expect_error.h"
#include "tests/ring/ring_oracle.h"

namespace annulus {
namespace {

std::string payload_of(const ConsistentHasher& ring) {
  const std::string bytes = ring.to_bytes();
  return std::string(open_envelope(EnvelopeKind::kRing, 1, bytes, "test"));
}

/// The ring whose payload is `payload`: whole and checksummed, whatever it says.
ConsistentHasher reopen(const std::string& payload, std::uint32_t version = 1) {
  return ConsistentHasher::from_bytes(seal_envelope(EnvelopeKind::kRing, version, payload), "the test's ring");
}

ConsistentHasher a_ring() {
  return ConsistentHasher({.virtual_nodes_per_weight = 4, .seed = 9}, std::vector<Node>{{"aa", 1.0, "z1"}, {"bb", 2.5, ""}});
}

// Offsets in the payload; docs/formats/ring.md.
constexpr std::size_t kVirtualNodesAt = 4;
constexpr std::size_t kProbesAt = 8;
constexpr std::size_t kTokenBitsAt = 12;
constexpr std::size_t kSeedAt = 16;
constexpr std::size_t kNodeCountAt = 24;
constexpr std::size_t kFirstIdAt = 32;
constexpr std::size_t kFirstWeightAt = 34;

TEST(RingBytes, ComeBackAsTheSameRing) {
  for (const unsigned bits : {64u, 3u}) {
    const RingOptions options{.virtual_nodes_per_weight = 16, .probes = 3, .seed = 77};
    const ConsistentHasher ring = internal::narrow_ring(bits, options, oracle::some_nodes(7, 3));
    const ConsistentHasher again = ConsistentHasher::from_bytes(ring.to_bytes());
    EXPECT_EQ(again.to_bytes(), ring.to_bytes());
    EXPECT_EQ(again.fingerprint(), ring.fingerprint());
    EXPECT_EQ(again.options(), ring.options());
    EXPECT_EQ(again.token_bits(), bits);
    EXPECT_TRUE(std::ranges::equal(again.nodes(), ring.nodes()));
    EXPECT_TRUE(std::ranges::equal(again.tokens(), ring.tokens()));
    EXPECT_TRUE(std::ranges::equal(again.owners(), ring.owners()));
  }
}

TEST(RingBytes, OfARingWithoutNodesComeBack) {
  EXPECT_EQ(ConsistentHasher::from_bytes(ConsistentHasher().to_bytes()).num_nodes(), 0u);
}

TEST(RingBytes, AreRefusedAtEveryTruncation) {
  const std::string bytes = a_ring().to_bytes();
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_THROW(ConsistentHasher::from_bytes(std::string_view(bytes).substr(0, n)), Error) << n;
  }
  EXPECT_ERROR(ConsistentHasher::from_bytes(bytes.substr(0, bytes.size() - 1), "cluster/ring"), ErrorCode::kDataLoss,
               "cluster/ring", "truncated");
}

TEST(RingBytes, AreRefusedWithAnyBitFlipped) {
  const std::string bytes = a_ring().to_bytes();
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_THROW(ConsistentHasher::from_bytes(flipped), Error) << "bit " << bit;
  }
}

TEST(RingBytes, AreRefusedIfTheyHoldSomethingElse) {
  EXPECT_ERROR(ConsistentHasher::from_bytes(seal_envelope(EnvelopeKind::kIndex, 1, "x")), ErrorCode::kInvalidArgument, "kind 2");
  EXPECT_ERROR(ConsistentHasher::from_bytes("no envelope at all, just some words of text"), ErrorCode::kInvalidArgument,
               "the ring");
  EXPECT_ERROR(reopen(payload_of(a_ring()), 2), ErrorCode::kUnimplemented, "version 2");
}

TEST(RingBytes, AreRefusedAtEveryTruncationOfASealedPayload) {
  const std::string payload = payload_of(a_ring());
  for (std::size_t n = 0; n < payload.size(); ++n) {
    EXPECT_ERROR(reopen(payload.substr(0, n)), ErrorCode::kDataLoss, "the test's ring is damaged", "restore");
  }
  EXPECT_ERROR(reopen(payload + "!"), ErrorCode::kDataLoss, "1 bytes follow");
}

TEST(RingBytes, OfAnotherPlacementVersionAreRefused) {
  std::string payload = payload_of(a_ring());
  payload[0] = 2;
  EXPECT_ERROR(reopen(payload), ErrorCode::kUnimplemented, "the test's ring", "placement version 2", "has 1");
}

TEST(RingBytes, WithIllegalContentAreRefusedAlthoughTheChecksumIsRight) {
  const auto with = [](std::size_t offset, std::string_view bytes) {
    std::string payload = payload_of(a_ring());
    payload.replace(offset, bytes.size(), bytes);
    return payload;
  };
  const std::string_view zeros("\0\0\0\0\0\0\0\0", 8);
  EXPECT_ERROR(reopen(with(kVirtualNodesAt, zeros.substr(0, 4))), ErrorCode::kDataLoss, "virtual_nodes_per_weight is 0");
  EXPECT_ERROR(reopen(with(kProbesAt, zeros.substr(0, 4))), ErrorCode::kDataLoss, "probes is 0");
  EXPECT_ERROR(reopen(with(kTokenBitsAt, zeros.substr(0, 4))), ErrorCode::kDataLoss, "token_bits is 0");
  EXPECT_ERROR(reopen(with(kSeedAt, "\x07")), ErrorCode::kDataLoss, "do not give the tokens");
  EXPECT_ERROR(reopen(with(kNodeCountAt, "\xff\xff\xff\xff")), ErrorCode::kDataLoss, "damaged");
  EXPECT_ERROR(reopen(with(kNodeCountAt, "\x01")), ErrorCode::kDataLoss, "follow the end");
  EXPECT_ERROR(reopen(with(kFirstIdAt, "cc")), ErrorCode::kDataLoss, "order of their ids");
  EXPECT_ERROR(reopen(with(kFirstIdAt, "bb")), ErrorCode::kDataLoss, "order of their ids");
  EXPECT_ERROR(reopen(with(kFirstIdAt, "ab")), ErrorCode::kDataLoss, "do not give the tokens");
  EXPECT_ERROR(reopen(with(kFirstWeightAt, zeros)), ErrorCode::kDataLoss, "weight 0");
  EXPECT_ERROR(reopen(with(kFirstWeightAt, "\xff\xff\xff\xff\xff\xff\xff\x7f")), ErrorCode::kDataLoss, "weight");
}

}  // namespace
}  // namespace annulus
