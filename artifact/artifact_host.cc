#include "artifact/artifact_host.h"

#include <algorithm>

#include "core/error.h"
#include "core/key.h"

namespace annulus {
namespace {

constexpr std::size_t kMaxNameBytes = 1024;
constexpr std::size_t kMaxComponentBytes = 200;

[[noreturn]] void refuse(std::string_view name, const std::string& why) {
  throw Error(ErrorCode::kInvalidArgument, "'" + display_key(name.substr(0, 100)) + "' is no name of an artifact: " + why);
}

void validate_component(std::string_view name, std::string_view component) {
  if (component.empty()) refuse(name, "it has an empty part; parts are separated by one '/', with none at the ends");
  if (component == "." || component == "..")
    refuse(name, "the part '" + std::string(component) + "' could lead out of the host's folder");
  if (component.front() == '@') refuse(name, "parts that begin with '@' belong to the host");
  if (component.size() > kMaxComponentBytes) {
    refuse(name, "a part has " + std::to_string(component.size()) + " bytes, at most " + std::to_string(kMaxComponentBytes) +
                     " are allowed");
  }
}

}  // namespace

void validate_artifact_name(std::string_view name) {
  if (name.empty())
    throw Error(ErrorCode::kInvalidArgument, "the name of an artifact is empty; give it 1 to 1024 bytes, as in 'llama/lora-7'");
  if (name.size() > kMaxNameBytes) {
    refuse(name, "it has " + std::to_string(name.size()) + " bytes, at most " + std::to_string(kMaxNameBytes) + " are allowed");
  }
  if (name.find('\0') != std::string_view::npos) refuse(name, "it has a NUL byte");
  if (name.front() == '/') refuse(name, "it is an absolute path; names are relative to the host's folder");
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    validate_component(name, name.substr(begin, end - begin));
    begin = end + 1;
  }
}

}  // namespace annulus
