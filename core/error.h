// The one exception type of the library and its closed set of codes.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace annulus {

/// Why a call failed. The names are gRPC's canonical codes, so that a service can pass them on.
enum class ErrorCode {
  kInvalidArgument,     ///< the argument can never be right
  kNotFound,            ///< a named thing does not exist
  kAlreadyExists,       ///< a named thing exists already
  kFailedPrecondition,  ///< the object is in a state that forbids the call
  kResourceExhausted,   ///< a limit or a full disk
  kAborted,             ///< the operation was stopped on request
  kUnavailable,         ///< no shard that could serve is up; a retry may succeed
  kDataLoss,            ///< bytes are truncated or corrupt
  kUnimplemented,       ///< known, and not supported
  kInternal,            ///< a dependency failed in a way that should not happen
};

/// "INVALID_ARGUMENT", ...
std::string_view to_string(ErrorCode code) noexcept;

/// What the library throws (besides std::bad_alloc). The message says what was given, what was expected, what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace annulus
