#include "core/key.h"

#include <algorithm>
#include <random>

#include "tests/core/expect_error.h"

namespace annulus {
namespace {

using testing::expect_error;

TEST(Key, HasOneTo1024BytesInAClusterOfBytes) {
  EXPECT_NO_THROW(validate_key("a", KeyKind::kBytes));
  EXPECT_NO_THROW(validate_key(std::string(1024, '\0'), KeyKind::kBytes));
  expect_error(ErrorCode::kInvalidArgument, {"empty", "1 to 1024"}, [] { validate_key("", KeyKind::kBytes); });
  expect_error(ErrorCode::kInvalidArgument, {"1025 bytes", "1 to 1024"},
               [] { validate_key(std::string(1025, 'x'), KeyKind::kBytes); });
}

TEST(Key, HasEightBytesInAClusterOfIds) {
  EXPECT_NO_THROW(validate_key(IdKey(0), KeyKind::kId));
  for (const std::size_t size : {0UL, 7UL, 9UL}) {
    expect_error(ErrorCode::kInvalidArgument, {std::to_string(size) + " bytes", "IdKey"},
                 [&] { validate_key(std::string(size, 'x'), KeyKind::kId); });
  }
}

TEST(Key, OfAnIdIsLittleEndian) {
  EXPECT_EQ(KeyView(IdKey(0x0102030405060708ULL)), KeyView("\x08\x07\x06\x05\x04\x03\x02\x01", 8));
  for (const std::uint64_t id :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x80}, std::uint64_t{0xff00ff00ff00ff00}, UINT64_MAX}) {
    EXPECT_EQ(id_of_key(IdKey(id)), id);
  }
}

TEST(Key, OrdersBytesAsUnsignedAndIdsAsNumbers) {
  EXPECT_TRUE(compare_keys("a", "b", KeyKind::kBytes) < 0);
  EXPECT_TRUE(compare_keys("a", "ab", KeyKind::kBytes) < 0);
  EXPECT_TRUE(compare_keys("\x7f", "\x80", KeyKind::kBytes) < 0);
  EXPECT_TRUE(compare_keys("a", "a", KeyKind::kBytes) == 0);
  // 256 is 00 01 ... and 1 is 01 00 ...: bytes and numbers disagree.
  EXPECT_TRUE(compare_keys(IdKey(256), IdKey(1), KeyKind::kId) > 0);
  EXPECT_TRUE(compare_keys(IdKey(256), IdKey(1), KeyKind::kBytes) < 0);
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t a = random() >> (random() % 64);
    const std::uint64_t b = random() >> (random() % 64);
    EXPECT_EQ(compare_keys(IdKey(a), IdKey(b), KeyKind::kId), a <=> b);
  }
}

TEST(DisplayKey, ShowsPrintableUtf8AsItIs) {
  for (const char* text : {"word", "two words", "naïve", "日本語", "😀", "~!@#"}) EXPECT_EQ(display_key(text), text);
}

TEST(DisplayKey, EscapesWhatIsNotPrintableUtf8) {
  EXPECT_EQ(display_key(KeyView("\0a\n\x7f", 4)), "\\x00a\\x0a\\x7f");
  EXPECT_EQ(display_key("a\\b"), "a\\\\b");
  EXPECT_EQ(display_key("\xc3"), "\\xc3") << "cut short";
  EXPECT_EQ(display_key("\xc3("), "\\xc3(") << "no continuation";
  EXPECT_EQ(display_key("\x80"), "\\x80") << "a continuation alone";
  EXPECT_EQ(display_key("\xc0\xaf"), "\\xc0\\xaf") << "overlong, two bytes";
  EXPECT_EQ(display_key("\xe0\x80\xaf"), "\\xe0\\x80\\xaf") << "overlong, three bytes";
  EXPECT_EQ(display_key("\xf0\x80\x80\xaf"), "\\xf0\\x80\\x80\\xaf") << "overlong, four bytes";
  EXPECT_EQ(display_key("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(display_key("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond U+10FFFF";
  EXPECT_EQ(display_key("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
  EXPECT_EQ(display_key("\xc2\x85"), "\\xc2\\x85") << "a C1 control";
}

TEST(DisplayKey, ShowsIdsInDecimal) {
  EXPECT_EQ(display_key(IdKey(42), KeyKind::kId), "42");
  EXPECT_EQ(display_key(IdKey(UINT64_MAX), KeyKind::kId), "18446744073709551615");
}

TEST(DisplayKey, TellsDifferentKeysApart) {
  // Escaping is injective: random short keys over an alphabet full of traps never share what is shown.
  std::mt19937_64 random(2);
  const std::string alphabet("\\x0a\xc3\xa9\x80", 8);
  std::vector<std::pair<std::string, std::string>> shown;
  for (int i = 0; i < 3000; ++i) {
    std::string key(1 + random() % 5, ' ');
    for (char& c : key) c = alphabet[random() % alphabet.size()];
    shown.emplace_back(display_key(key), key);
  }
  std::sort(shown.begin(), shown.end());
  for (std::size_t i = 1; i < shown.size(); ++i) {
    if (shown[i].first == shown[i - 1].first) {
      EXPECT_EQ(shown[i].second, shown[i - 1].second);
    }
  }
}

}  // namespace
}  // namespace annulus
