#include "cache/redis_format.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace annulus {
namespace {

constexpr char kFormat = 1;
constexpr char kPutByte = 0;
constexpr char kEraseByte = 1;

template <class Number>
void append_big_endian(std::string& bytes, Number number) {
  for (int shift = 8 * (static_cast<int>(sizeof(Number)) - 1); shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift);
}

template <class Number>
Number read_big_endian(std::string_view bytes) noexcept {
  Number number = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i) number = static_cast<Number>(number << 8 | static_cast<unsigned char>(bytes[i]));
  return number;
}

std::string escaped(std::string_view part) {
  std::string text;
  for (const char c : part) {
    if (c == ':') {
      text += "%3A";
    } else if (c == '%') {
      text += "%25";
    } else {
      text += c;
    }
  }
  return text;
}

/// `text` as a pattern that finds nothing else.
std::string literally(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (std::string_view("*?[]\\^").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

/// Reads the number at the front of `text` and removes it.
std::optional<std::uint64_t> take_number(std::string_view& text) noexcept {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

}  // namespace

std::int64_t milliseconds_of(CacheTime time) noexcept {
  if (time == kNeverExpires) return std::numeric_limits<std::int64_t>::max();
  return std::max<std::int64_t>(0, std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count());
}

void append_header(std::string& bytes, const RedisValueHeader& header) {
  bytes += kFormat;
  bytes += header.kind == CacheWriteKind::kErase ? kEraseByte : kPutByte;
  append_big_endian(bytes, header.version.clock);
  append_big_endian(bytes, header.version.writer);
  bytes += time_bytes(header.expires);
}

std::string time_bytes(CacheTime time) {
  std::string bytes;
  append_big_endian(bytes, static_cast<std::uint64_t>(milliseconds_of(time)));
  return bytes;
}

std::optional<RedisValueHeader> parse_header(std::string_view bytes) noexcept {
  if (bytes.size() < RedisValueHeader::kBytes || bytes[0] != kFormat || (bytes[1] != kPutByte && bytes[1] != kEraseByte)) {
    return std::nullopt;
  }
  RedisValueHeader header;
  header.kind = bytes[1] == kEraseByte ? CacheWriteKind::kErase : CacheWriteKind::kPut;
  header.version = {read_big_endian<std::uint64_t>(bytes.substr(2)), read_big_endian<std::uint32_t>(bytes.substr(10))};
  const auto expires = static_cast<std::int64_t>(read_big_endian<std::uint64_t>(bytes.substr(14)));
  if (expires < 0) return std::nullopt;
  constexpr std::int64_t kLast = std::chrono::floor<std::chrono::milliseconds>(kNeverExpires.time_since_epoch()).count();
  if (expires < kLast) header.expires = CacheTime(std::chrono::milliseconds(expires));
  return header;
}

RedisNames::RedisNames(std::string_view prefix, std::string_view id) {
  const std::string stem = escaped(prefix) + ':' + escaped(id) + ':';
  entry_stem_ = stem + "e:";
  generation_ = stem + "generation";
  swept_ = stem + "swept";
}

std::string RedisNames::entries(std::uint64_t generation) const { return entry_stem_ + std::to_string(generation) + ':'; }
std::string RedisNames::all_entries() const { return literally(entry_stem_) + '*'; }
std::string RedisNames::all_entries(std::uint64_t generation) const { return literally(entries(generation)) + '*'; }

std::optional<std::uint64_t> RedisNames::generation_of(std::string_view name) const noexcept {
  if (!name.starts_with(entry_stem_)) return std::nullopt;
  name.remove_prefix(entry_stem_.size());
  const std::optional<std::uint64_t> generation = take_number(name);
  return name.starts_with(':') ? generation : std::nullopt;
}

std::optional<RedisGenerationRecord> RedisGenerationRecord::parse(std::string_view text) {
  const std::optional<std::uint64_t> generation = take_number(text);
  if (!generation || text.size() < 2 || text[0] != ' ') return std::nullopt;
  return RedisGenerationRecord{*generation, std::string(text.substr(1))};
}

}  // namespace annulus
