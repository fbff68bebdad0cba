#include "cache/redis_format.h"

#include <gtest/gtest.h>

#include <limits>

namespace annulus::testing {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;

// Pinned: what other versions of the program, and docs/formats/redis_cache.md, say.
TEST(RedisFormat, AHeaderIsTheseBytes) {
  std::string bytes;
  append_header(bytes, {CacheWriteKind::kPut, {0x0102030405060708, 0x090a0b0c}, CacheTime(milliseconds(0x1112131415))});
  EXPECT_EQ(bytes, "\x01\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x00\x00\x00\x11\x12\x13\x14\x15"s);
  bytes.clear();
  append_header(bytes, {CacheWriteKind::kErase, {1, 0}, kNeverExpires});
  EXPECT_EQ(bytes, "\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"s);
}

TEST(RedisFormat, AHeaderIsReadAsItWasWritten) {
  for (const CacheWriteKind kind : {CacheWriteKind::kPut, CacheWriteKind::kErase}) {
    for (const Version version : {Version{0, 0}, Version{0xfffffffffffffffe, 0xfffffffd}}) {
      for (const CacheTime expires : {CacheTime(milliseconds(0)), CacheTime(milliseconds(1'700'000'000'123)), kNeverExpires}) {
        std::string bytes;
        append_header(bytes, {kind, version, expires});
        bytes += "payload";
        const auto header = parse_header(bytes);
        ASSERT_TRUE(header);
        EXPECT_EQ(header->kind, kind);
        EXPECT_EQ(header->version, version);
        EXPECT_EQ(header->expires, expires);
      }
    }
  }
}

TEST(RedisFormat, WhatIsNoHeaderIsNotRead) {
  std::string good;
  append_header(good, {});
  ASSERT_TRUE(parse_header(good));
  EXPECT_FALSE(parse_header(""));
  EXPECT_FALSE(parse_header(good.substr(0, good.size() - 1)));
  const auto altered = [&](std::size_t at, char byte) {
    std::string bytes = good;
    bytes[at] = byte;
    return bytes;
  };
  EXPECT_FALSE(parse_header(altered(0, 2)));        // another format
  EXPECT_FALSE(parse_header(altered(1, 2)));        // another kind
  EXPECT_FALSE(parse_header(altered(14, '\x80')));  // before 1970
}

TEST(RedisFormat, TimesAreRoundedDownToMillisecondsSince1970) {
  EXPECT_EQ(milliseconds_of(CacheTime(std::chrono::microseconds(1999))), 1);
  EXPECT_EQ(milliseconds_of(CacheTime(milliseconds(-5))), 0);
  EXPECT_EQ(milliseconds_of(kNeverExpires), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(time_bytes(CacheTime(milliseconds(258))), "\0\0\0\0\0\0\x01\x02"s);
}

TEST(RedisFormat, NamesAreThese) {
  const RedisNames names("annulus", "cache-1");
  EXPECT_EQ(names.generation(), "annulus:cache-1:generation");
  EXPECT_EQ(names.swept(), "annulus:cache-1:swept");
  EXPECT_EQ(names.entries(17), "annulus:cache-1:e:17:");
  EXPECT_EQ(names.all_entries(), "annulus:cache-1:e:*");
  EXPECT_EQ(names.all_entries(17), "annulus:cache-1:e:17:*");
}

TEST(RedisFormat, NodesWhoseNamesRunTogetherStillDiffer) {
  EXPECT_NE(RedisNames("a", "b:c").generation(), RedisNames("a:b", "c").generation());
  EXPECT_NE(RedisNames("a", "b%3Ac").generation(), RedisNames("a", "b:c").generation());
  EXPECT_EQ(RedisNames("a:b", "c%").generation(), "a%3Ab:c%25:generation");
  EXPECT_EQ(RedisNames("x", "e").generation_of(RedisNames("x", "e:e").entries(3) + "key"), std::nullopt);
}

TEST(RedisFormat, PatternsEscapeWhatScanWouldExpand) {
  EXPECT_EQ(RedisNames("a*?", "[b]\\^").all_entries(), "a\\*\\?:\\[b\\]\\\\\\^:e:*");
}

TEST(RedisFormat, TheGenerationOfAnEntryIsReadFromItsName) {
  const RedisNames names("p", "n");
  EXPECT_EQ(names.generation_of("p:n:e:17:key"), 17U);
  EXPECT_EQ(names.generation_of("p:n:e:18446744073709551615::e:3:"), 18446744073709551615U);
  for (const char* other :
       {"", "p:n:e:", "p:n:e:17", "p:n:e:x:key", "p:n:e:99999999999999999999:key", "p:n:generation", "p:m:e:17:key"}) {
    EXPECT_EQ(names.generation_of(other), std::nullopt) << other;
  }
}

TEST(RedisFormat, ARecordNamesAGenerationAndARun) {
  EXPECT_EQ((RedisGenerationRecord{17, "abc"}).text(), "17 abc");
  const auto record = RedisGenerationRecord::parse("17 abc");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->generation, 17U);
  EXPECT_EQ(record->run_id, "abc");
  for (const char* bad : {"", "17", "17 ", " abc", "x abc", "17abc", "99999999999999999999 abc"}) {
    EXPECT_FALSE(RedisGenerationRecord::parse(bad)) << bad;
  }
}

}  // namespace
}  // namespace annulus::testing
