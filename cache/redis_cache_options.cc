#include "cache/redis_cache_options.h"

#include <charconv>
#include <optional>

#include "core/error.h"

namespace annulus {
namespace {

constexpr std::string_view kScheme = "redis://";
constexpr int kMaxPort = 65535;

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument,
              "bad Redis URL: " + what + "; expected redis://[[user]:password@]host[:port][/database]");
}

std::optional<int> number_of(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

/// Decodes %XX. What it refuses it does not show: it may be a password.
std::string percent_decoded(std::string_view text, const char* what) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    unsigned byte = 0;
    const char* const first = text.data() + i + 1;
    const bool whole = i + 2 < text.size();
    if (!whole || std::from_chars(first, first + 2, byte, 16).ptr != first + 2) {
      refuse(std::string("a % in the ") + what + " is not followed by two hexadecimal digits; write % as %25");
    }
    decoded += static_cast<char>(byte);
    i += 2;
  }
  return decoded;
}

void read_credentials(std::string_view text, RedisCacheOptions& options) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) refuse("there is no ':' before the '@'; a password alone is written as :password@");
  options.username = percent_decoded(text.substr(0, colon), "user");
  options.password = percent_decoded(text.substr(colon + 1), "password");
  if (options.password.empty()) refuse("the password before the '@' is empty");
}

void read_address(std::string_view text, RedisCacheOptions& options) {
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const std::size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) refuse("'[' without ']' in the address '" + std::string(text) + "'");
    options.host = text.substr(1, bracket - 1);
    text.remove_prefix(bracket + 1);
    if (!text.empty() && text[0] != ':') refuse("'" + std::string(text) + "' after the ']'");
    has_port = !text.empty();
    if (has_port) port = text.substr(1);
  } else {
    const std::size_t colon = text.find(':');
    options.host = text.substr(0, colon);
    has_port = colon != std::string_view::npos;
    if (has_port) port = text.substr(colon + 1);
  }
  if (options.host.empty()) refuse("it has no host");
  if (!has_port) return;
  const std::optional<int> number = number_of(port);
  if (!number || *number < 1 || *number > kMaxPort) refuse("the port '" + std::string(port) + "' is not a number from 1 to 65535");
  options.port = *number;
}

}  // namespace

RedisCacheOptions RedisCacheOptions::from_url(std::string_view url) {
  if (!url.starts_with(kScheme)) refuse("it does not begin with redis:// (TLS and sockets of Unix are not supported)");
  url.remove_prefix(kScheme.size());
  if (url.find_first_of("?#") != std::string_view::npos) {
    refuse("it has a '?' or '#'; options are not set by a URL, and in a password these are written as %3F and %23");
  }
  const std::size_t at = url.rfind('@');
  const std::size_t slash = url.find('/');
  // Before anything is shown: a part of the password would be taken for the port, and be in the message.
  if (at != std::string_view::npos && slash < at) refuse("there is a '/' before the '@'; in a password it is written as %2F");
  RedisCacheOptions options;
  const std::string_view authority = url.substr(0, slash);
  if (at != std::string_view::npos) {
    if (authority.find('@') != at) refuse("it has more than one '@'; in a password it is written as %40");
    read_credentials(authority.substr(0, at), options);
  }
  read_address(at == std::string_view::npos ? authority : authority.substr(at + 1), options);
  if (slash != std::string_view::npos && slash + 1 < url.size()) {
    const std::string_view database = url.substr(slash + 1);
    const std::optional<int> number = number_of(database);
    if (!number) refuse("the database '" + std::string(database) + "' is not a number");
    options.database = *number;
  }
  return options;
}

void RedisCacheOptions::validate() const {
  const auto require = [](bool holds, const std::string& what) {
    if (!holds) throw Error(ErrorCode::kInvalidArgument, "RedisCacheOptions: " + what);
  };
  const auto ms = [](std::chrono::milliseconds time) { return std::to_string(time.count()) + " ms"; };
  require(!host.empty(), "host is empty");
  require(host.find('\0') == std::string::npos, "host has a zero byte");
  require(port >= 1 && port <= kMaxPort, "port is " + std::to_string(port) + ", expected 1 to 65535");
  require(username.empty() || !password.empty(), "username is given and password is not: give both, or neither");
  require(database >= 0, "database is " + std::to_string(database) + ", expected 0 or more");
  require(!prefix.empty(), "prefix is empty: what is in Redis would be found by nobody");
  require(connect_timeout.count() > 0, "connect_timeout is " + ms(connect_timeout) + ", expected more than 0");
  require(command_timeout.count() > 0, "command_timeout is " + ms(command_timeout) + ", expected more than 0");
  require(
      backoff_min.count() >= 0 && backoff_min <= backoff_max,
      "backoff_min is " + ms(backoff_min) + " and backoff_max " + ms(backoff_max) + ", expected 0 <= backoff_min <= backoff_max");
  require(max_connections >= 1, "max_connections is 0, expected at least 1");
  require(remembered.count() > 0, "remembered is " + ms(remembered) + ", expected more than 0");
}

}  // namespace annulus
