#include "artifact/host_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "artifact/artifact_manifest.h"
#include "artifact/content_hash.h"
#include "core/durable_file.h"
#include "core/key.h"

namespace annulus::internal {
namespace {

constexpr const char* kMarker = "@host.json";
constexpr const char* kArtifacts = "artifacts";
constexpr std::uint32_t kFormat = 1;
constexpr std::size_t kMaxIdBytes = 1024;

std::vector<std::string> parts_of(std::string_view name) {
  validate_artifact_name(name);
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    parts.emplace_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// The whole file, or nothing if there is none.
std::optional<std::string> read_all(const HostFolder& folder, const std::string& name) {
  const FileDescriptor file = folder.open_file(name);
  if (!file.is_open()) return std::nullopt;
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) throw_system_error("cannot stat", folder.path() / name, errno, ErrorCode::kUnavailable);
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  bytes.resize(read_fully(file.get(), std::as_writable_bytes(std::span(bytes)), 0, folder.path() / name));
  return bytes;
}

/// An id is bytes, JSON is UTF-8.
std::string marker_of(std::string_view id) {
  const std::string shown = display_key(id);
  const nlohmann::ordered_json json{
      {"annulus_artifact_host", kFormat}, {"id", shown}, {"id_bytes", bytes_to_hex(std::as_bytes(std::span(id)))}};
  return json.dump() + "\n";
}

std::string id_of_marker(const std::string& marker, const std::string& source) {
  const auto json = nlohmann::json::parse(marker, nullptr, false);
  if (json.is_object() && json.contains("annulus_artifact_host") && json["annulus_artifact_host"].is_number_unsigned() &&
      json["annulus_artifact_host"].get<std::uint64_t>() > kFormat) {
    throw Error(ErrorCode::kUnimplemented, source + " has format version " +
                                               std::to_string(json["annulus_artifact_host"].get<std::uint64_t>()) +
                                               "; this build reads up to " + std::to_string(kFormat));
  }
  if (json.is_object() && json.contains("id_bytes") && json["id_bytes"].is_string()) {
    const auto& hex = json["id_bytes"].get_ref<const std::string&>();
    std::string id(hex.size() / 2, '\0');
    if (hex_to_bytes(hex, std::as_writable_bytes(std::span(id))) && !id.empty() && marker_of(id) == marker) return id;
  }
  throw Error(ErrorCode::kDataLoss, source + " is damaged: it does not say which host this is; write it again, or take a copy");
}

/// Whether the folder holds a file of a version, committed or not.
bool is_ours(const std::string& file) { return file.front() == '@'; }

}  // namespace

std::string file_name(Version version, std::string_view suffix) { return "@" + to_digits(version) + std::string(suffix); }

std::optional<Version> version_of_file(std::string_view file, std::string_view suffix) noexcept {
  if (!file.starts_with('@') || !file.ends_with(suffix) || file.size() < 1 + suffix.size()) return std::nullopt;
  return version_of_digits(file.substr(1, file.size() - 1 - suffix.size()));
}

void HostStore::create(const std::filesystem::path& root, std::string_view id) {
  if (id.empty() || id.size() > kMaxIdBytes) {
    throw Error(ErrorCode::kInvalidArgument, "an id of " + std::to_string(id.size()) + " bytes for an artifact host; it has 1 to " +
                                                 std::to_string(kMaxIdBytes));
  }
  std::error_code failed;
  std::filesystem::create_directories(root, failed);
  if (failed) throw_system_error("cannot make the folder", root, failed.value(), ErrorCode::kUnavailable);
  const auto refuse_if = [&](bool taken, const char* what) {
    if (!taken) return;
    throw Error(ErrorCode::kAlreadyExists,
                root.string() + " holds '" + what + "' already: it is a host, or was one; open it, or choose another folder");
  };
  refuse_if(std::filesystem::exists(std::filesystem::symlink_status(root / kMarker)), kMarker);
  if (::mkdir((root / kArtifacts).c_str(), 0755) != 0) {
    if (errno != EEXIST) throw_system_error("cannot make the folder", root / kArtifacts, errno, ErrorCode::kUnavailable);
    // An empty folder is what a process leaves that died on its way to the marker.
    const bool is_folder = std::filesystem::is_directory(std::filesystem::symlink_status(root / kArtifacts));
    refuse_if(!is_folder || !std::filesystem::is_empty(root / kArtifacts, failed) || failed, kArtifacts);
  }
  write_file_atomically(root / kMarker, marker_of(id));  // last: it makes the folder a host
}

HostStore::HostStore(std::filesystem::path root, StepHook before_step)
    : root_(std::move(root)), before_step_(std::move(before_step)) {
  try {
    marker_ = read_file(root_ / kMarker);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    throw Error(ErrorCode::kNotFound, root_.string() + " is no artifact host: it has no " + kMarker +
                                          "; is its disk mounted?");
  }
  id_ = id_of_marker(marker_, (root_ / kMarker).string());
}

HostFolder HostStore::artifacts() const {
  FileDescriptor fd(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.is_open()) throw_system_error("cannot open the host's folder", root_, errno, ErrorCode::kUnavailable);
  const HostFolder root(std::move(fd), root_);
  if (read_all(root, kMarker) != marker_) {
    throw Error(ErrorCode::kUnavailable, root_.string() + " is not host '" + id_ + "' any more: its " + kMarker +
                                             " is gone or another's; is its disk mounted?");
  }
  auto artifacts = root.child(kArtifacts);
  if (!artifacts)
    throw Error(ErrorCode::kUnavailable, (root_ / kArtifacts).string() + " is gone; restore the folder, or make the host anew");
  return std::move(*artifacts);
}

std::optional<HostFolder> HostStore::folder_of(std::string_view name) const {
  const std::vector<std::string> parts = parts_of(name);
  std::optional<HostFolder> folder = artifacts();
  for (const std::string& part : parts) {
    folder = folder->child(part);
    if (!folder) break;
  }
  return folder;
}

HostFolder HostStore::make_folder_of(std::string_view name) const {
  const std::vector<std::string> parts = parts_of(name);
  for (;;) {
    std::optional<HostFolder> folder = artifacts();
    for (const std::string& part : parts) {
      folder = folder->make_child(part, before_step_);
      if (!folder) break;  // somebody removed it, being empty: from the top
    }
    if (folder) return std::move(*folder);
  }
}

void HostStore::sync_folders_of(std::string_view name) const {
  std::optional<HostFolder> folder = artifacts();
  step("sync the folders");
  folder->sync();
  for (const std::string& part : parts_of(name)) {
    folder = folder->child(part);
    if (!folder)
      throw Error(ErrorCode::kUnavailable,
                  "the folder of '" + display_key(name) + "' was removed while a version was written to it");
    folder->sync();
  }
}

void HostStore::remove_empty_folders_of(std::string_view name) const {
  std::vector<std::string> parts = parts_of(name);
  while (!parts.empty()) {
    std::optional<HostFolder> parent = artifacts();
    for (std::size_t i = 0; i + 1 < parts.size() && parent; ++i) parent = parent->child(parts[i]);
    if (!parent) return;
    step("remove an empty folder");
    if (::unlinkat(parent->fd(), parts.back().c_str(), AT_REMOVEDIR) != 0) return;  // not empty, gone, or it does no harm
    parts.pop_back();
  }
}

std::vector<HostStore::Stored> HostStore::scan() const {
  std::vector<Stored> found;
  std::vector<std::string> waiting{""};
  while (!waiting.empty()) {
    const std::string name = std::move(waiting.back());
    waiting.pop_back();
    // From the top each time: one descriptor a level would be too many for deep names.
    std::optional<HostFolder> folder;
    try {
      folder = name.empty() ? artifacts() : folder_of(name);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kInvalidArgument) throw;
    }
    if (!folder) continue;
    Stored stored{.name = name, .files = {}};
    auto entries = folder->entries();
    const bool empty = entries.empty();
    for (auto& entry : entries) {
      if (is_ours(entry.name)) {
        stored.files.push_back(std::move(entry.name));
      } else if (entry.kind == HostFolder::EntryKind::kFolder) {
        waiting.push_back(name.empty() ? entry.name : name + "/" + entry.name);
      }
    }
    if (!name.empty() && (empty || !stored.files.empty())) found.push_back(std::move(stored));
  }
  std::sort(found.begin(), found.end(), [](const Stored& a, const Stored& b) { return a.name < b.name; });
  return found;
}

std::optional<ArtifactManifest> HostStore::manifest(const HostFolder& folder, std::string_view name, Version version) const {
  const std::string file = file_name(version, kManifestSuffix);
  const auto bytes = read_all(folder, file);
  if (!bytes) return std::nullopt;
  return manifest_from_bytes(*bytes, name, version, (folder.path() / file).string());
}

std::optional<ArtifactInfo> HostStore::info(const HostFolder& folder, std::string_view name, Version version) const {
  try {
    const auto read = manifest(folder, name, version);
    return read ? std::optional(read->info) : std::nullopt;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDataLoss) throw;
    return ArtifactInfo{.name = std::string(name), .version = version, .kind = ArtifactKind::kDamaged};
  }
}

}  // namespace annulus::internal
