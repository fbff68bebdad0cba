#include "core/durable_file.h"
#include "tests/core/expect_error.h"

namespace annulus {
namespace {

using testing::expect_error;

const std::string kPayload("forty-two bytes of payload, a zero: \0 ends", 42);

TEST(Envelope, GivesThePayloadBack) {
  for (const std::string& payload : {std::string(), std::string(1, '\0'), kPayload, std::string(100000, 'x')}) {
    for (const EnvelopeKind kind : {EnvelopeKind::kRing, EnvelopeKind::kIndex, EnvelopeKind::kCodec}) {
      const std::string sealed = seal_envelope(kind, 3, payload);
      EXPECT_EQ(sealed.size(), payload.size() + 40);
      std::uint32_t version = 0;
      const std::string_view opened = open_envelope(kind, 5, sealed, "test", &version);
      EXPECT_EQ(opened, payload);
      EXPECT_EQ(version, 3U);
      EXPECT_EQ(opened.data(), sealed.data() + 40) << "a copy, not a view";
    }
  }
}

TEST(Envelope, HasTheBytesThatItsPageDescribes) {
  const std::string sealed = seal_envelope(EnvelopeKind::kIndex, 7, "abc");
  EXPECT_EQ(sealed.substr(0, 24), std::string("ANNULUS\x1a"
                                              "\2\0\0\0"
                                              "\7\0\0\0"
                                              "\3\0\0\0\0\0\0\0",
                                              24));
  // Computed once with Python's xxhash as docs/formats/envelope.md says.
  std::string hex;
  for (const char c : sealed.substr(24, 16)) {
    hex += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    hex += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  EXPECT_EQ(hex, "795e133981926c8eca5fd2ac7ec7a02b");
  EXPECT_EQ(sealed.substr(40), "abc");
}

TEST(Envelope, IsRefusedWithAnyBitFlipped) {
  std::string sealed = seal_envelope(EnvelopeKind::kCodec, 1, kPayload);
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    sealed[bit / 8] = static_cast<char>(sealed[bit / 8] ^ (1 << (bit % 8)));
    try {
      open_envelope(EnvelopeKind::kCodec, 1, sealed, "test");
      ADD_FAILURE() << "bit " << bit << " is not protected";
    } catch (const Error& e) {
      EXPECT_EQ(to_string(e.code()), bit < 64 ? "INVALID_ARGUMENT" : "DATA_LOSS") << bit;
    }
    sealed[bit / 8] = static_cast<char>(sealed[bit / 8] ^ (1 << (bit % 8)));
  }
  EXPECT_NO_THROW(open_envelope(EnvelopeKind::kCodec, 1, sealed, "test"));
}

TEST(Envelope, IsRefusedAtEveryTruncationAndWithBytesToSpare) {
  const std::string sealed = seal_envelope(EnvelopeKind::kRing, 1, kPayload);
  for (std::size_t length = 0; length < sealed.size(); ++length) {
    expect_error(ErrorCode::kDataLoss, {"the.ring", "truncated"},
                 [&] { open_envelope(EnvelopeKind::kRing, 1, std::string_view(sealed).substr(0, length), "the.ring"); });
  }
  expect_error(ErrorCode::kDataLoss, {"longer than it says", "43 bytes", "42 expected"},
               [&] { open_envelope(EnvelopeKind::kRing, 1, sealed + "x", "the.ring"); });
}

TEST(Envelope, IsRefusedWhenItIsAnotherFileKindOrVersion) {
  const std::string sealed = seal_envelope(EnvelopeKind::kRing, 2, kPayload);
  expect_error(ErrorCode::kInvalidArgument, {"photo.png", "not a file of Annulus"},
               [] { open_envelope(EnvelopeKind::kRing, 1, std::string(100, 'p'), "photo.png"); });
  expect_error(ErrorCode::kInvalidArgument, {"kind 1", "kind 2"}, [&] { open_envelope(EnvelopeKind::kIndex, 2, sealed, "test"); });
  expect_error(ErrorCode::kUnimplemented, {"version 2", "up to 1"}, [&] { open_envelope(EnvelopeKind::kRing, 1, sealed, "test"); });
  expect_error(ErrorCode::kUnimplemented, {"version 0"},
               [] { open_envelope(EnvelopeKind::kRing, 1, seal_envelope(EnvelopeKind::kRing, 0, ""), "test"); });
}

}  // namespace
}  // namespace annulus
