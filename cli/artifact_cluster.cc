#include "cli/artifact_cluster.h"

#include <fcntl.h>
#include <sys/file.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <random>

#include "artifact/directory_artifact_host.h"
#include "cli/node_argument.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/key.h"

namespace annulus::cli {
namespace {

constexpr const char* kFile = "cluster.json";
constexpr const char* kLockFile = "cluster.lock";
constexpr int kFormat = 1;

/// Stands for a host whose folder cannot be opened: the others serve.
class AbsentHost final : public ArtifactHost {
 public:
  AbsentHost(std::string id, std::string why) : id_(std::move(id)), why_(std::move(why)) {}
  const std::string& id() const noexcept override { return id_; }
  std::vector<ArtifactInfo> versions(std::string_view) override { fail(); }
  std::vector<ArtifactInfo> list() override { fail(); }
  std::unique_ptr<ArtifactWriter> stage(std::string_view, Version) override { fail(); }
  std::unique_ptr<ArtifactReader> open(std::string_view, Version) override { fail(); }
  void remove(std::string_view, Version) override { fail(); }
  std::uint64_t collect_garbage() override { fail(); }

 private:
  [[noreturn]] void fail() const { throw Error(ErrorCode::kUnavailable, why_); }
  std::string id_;
  std::string why_;
};

std::filesystem::path folder_of(const std::filesystem::path& root, const ArtifactCluster::Host& host) { return root / host.folder; }

void make_host(const std::filesystem::path& folder, const std::string& id) {
  try {
    DirectoryArtifactHost::create(folder, id);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kAlreadyExists) throw;
    const DirectoryArtifactHost there(folder);  // throws if it is none
    if (there.id() != id)
      throw Error(ErrorCode::kAlreadyExists, folder.string() + " is host '" + display_key(there.id()) +
                                                 "' already; choose another folder for '" + display_key(id) + "'");
  }
}

/// Refuses bad weights, ids twice, no replicas: before anything is made.
void require_valid(const ArtifactLayout& layout) {
  ArtifactDistributor fits({.replicas = layout.replicas});
  for (const ArtifactLayout::Host& host : layout.hosts) {
    fits.attach_node(std::make_shared<AbsentHost>(host.node.id, ""), host.node.weight, host.node.zone);
  }
}

ArtifactLayout layout_of(const nlohmann::json& json) {
  ArtifactLayout layout{.replicas = json.at("replicas").get<std::size_t>(), .hosts = {}};
  for (const auto& host : json.at("hosts")) {
    layout.hosts.push_back({.node = {.id = host.at("id").get<std::string>(),
                                     .weight = host.at("weight").get<double>(),
                                     .zone = host.at("zone").get<std::string>()},
                            .folder = host.at("folder").get<std::string>()});
  }
  return layout;
}

nlohmann::ordered_json json_of(const ArtifactLayout& layout) {
  nlohmann::ordered_json hosts = nlohmann::ordered_json::array();
  for (const ArtifactLayout::Host& host : layout.hosts) {
    hosts.push_back(
        {{"id", host.node.id}, {"weight", host.node.weight}, {"zone", host.node.zone}, {"folder", host.folder.string()}});
  }
  return {{"replicas", layout.replicas}, {"hosts", std::move(hosts)}};
}

}  // namespace

ArtifactCluster::Host parse_artifact_host(const std::string& text) {
  const std::size_t equals = text.find('=');
  ArtifactCluster::Host host{.node = parse_node(text.substr(0, equals)), .folder = {}};
  if (equals != std::string::npos) {
    host.folder = text.substr(equals + 1);
    if (host.folder.empty())
      throw CLI::ValidationError("'" + text + "': a host is ID[:WEIGHT[:ZONE]][=FOLDER], and the folder is empty");
    host.folder = std::filesystem::absolute(host.folder);
    return host;
  }
  try {
    validate_artifact_name(host.node.id);
  } catch (const Error&) {
    throw CLI::ValidationError("'" + text + "': the id is no name for a folder; give one, as in ID=FOLDER");
  }
  if (host.node.id.find('/') != std::string::npos)
    throw CLI::ValidationError("'" + text + "': the id is no name for a folder; give one, as in ID=FOLDER");
  host.folder = host.node.id;
  return host;
}

void make_artifact_hosts(const std::filesystem::path& root, const ArtifactLayout& layout) {
  require_valid(layout);
  for (const ArtifactLayout::Host& host : layout.hosts) make_host(folder_of(root, host), host.node.id);
}

void create_artifact_cluster(const std::filesystem::path& root, const ArtifactCluster& cluster) {
  if (std::filesystem::exists(root / kFile)) {
    throw Error(ErrorCode::kAlreadyExists, (root / kFile).string() + " is there already; choose another folder");
  }
  require_valid(cluster);
  std::error_code failed;
  std::filesystem::create_directories(root, failed);
  if (failed) throw Error(ErrorCode::kUnavailable, "cannot make the folder " + root.string() + ": " + failed.message());
  make_artifact_hosts(root, cluster);
  save_artifact_cluster(root, cluster);
}

ArtifactCluster load_artifact_cluster(const std::filesystem::path& root) {
  std::string bytes;
  try {
    bytes = read_file(root / kFile);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    throw Error(ErrorCode::kNotFound,
                root.string() + " is no store of artifacts: it has no " + kFile + "; make one with annulus artifact init");
  }
  try {
    const auto json = nlohmann::json::parse(bytes);
    if (json.at("format").get<int>() > kFormat) {
      throw Error(ErrorCode::kUnimplemented, (root / kFile).string() + " has format version " +
                                                 std::to_string(json.at("format").get<int>()) + "; this build reads up to " +
                                                 std::to_string(kFormat));
    }
    ArtifactCluster cluster{layout_of(json), std::nullopt, std::nullopt};
    if (json.contains("target")) cluster.target = layout_of(json.at("target"));
    if (json.contains("former")) cluster.former = layout_of(json.at("former"));
    return cluster;
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::kDataLoss, (root / kFile).string() + " is damaged: " + error.what());
  }
}

void save_artifact_cluster(const std::filesystem::path& root, const ArtifactCluster& cluster) {
  nlohmann::ordered_json json{{"format", kFormat}};
  json.update(json_of(static_cast<const ArtifactLayout&>(cluster)));
  if (cluster.target) json["target"] = json_of(*cluster.target);
  if (cluster.former) json["former"] = json_of(*cluster.former);
  std::string text;
  try {
    text = json.dump(2) + "\n";
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorCode::kInvalidArgument,
                "an id, a zone or a folder is not UTF-8, which " + std::string(kFile) + " cannot hold; choose another");
  }
  const ArtifactClusterLock alone(root, ArtifactClusterLock::Mode::kExclusive);
  write_file_atomically(root / kFile, text);
}

std::shared_ptr<ArtifactHost> open_artifact_host(const std::filesystem::path& root, const ArtifactCluster::Host& host) {
  const std::filesystem::path folder = folder_of(root, host);
  try {
    auto opened = std::make_shared<DirectoryArtifactHost>(folder);
    if (opened->id() == host.node.id) return opened;
    return std::make_shared<AbsentHost>(
        host.node.id, folder.string() + " is host '" + display_key(opened->id()) + "', not '" + display_key(host.node.id) + "'");
  } catch (const Error& error) {
    return std::make_shared<AbsentHost>(host.node.id, error.what());
  }
}

std::unique_ptr<ArtifactDistributor> open_artifact_layout(const std::filesystem::path& root, const ArtifactLayout& layout) {
  auto store = std::make_unique<ArtifactDistributor>(
      ArtifactDistributorOptions{.replicas = layout.replicas, .writer = std::random_device{}()});
  for (const ArtifactLayout::Host& host : layout.hosts)
    store->attach_node(open_artifact_host(root, host), host.node.weight, host.node.zone);
  (void)store->begin_resize();  // there is none: but declarations wait for one from now on
  return store;
}

void declare_artifact_layout(ArtifactDistributor& store, const std::filesystem::path& root, const ArtifactLayout& from,
                             const ArtifactLayout& to) {
  const auto find = [](const ArtifactLayout& layout, const std::string& id) {
    return std::ranges::find_if(layout.hosts, [&](const ArtifactLayout::Host& host) { return host.node.id == id; });
  };
  for (const ArtifactLayout::Host& host : to.hosts) {
    const auto old = find(from, host.node.id);
    if (old == from.hosts.end()) {
      store.attach_node(open_artifact_host(root, host), host.node.weight, host.node.zone);
    } else if (old->node.weight != host.node.weight) {
      store.set_weight(host.node.id, host.node.weight);
    }
  }
  for (const ArtifactLayout::Host& host : from.hosts) {
    if (find(to, host.node.id) == to.hosts.end()) store.detach_node(host.node.id);
  }
  store.set_replicas(to.replicas);
}

ArtifactClusterLock::ArtifactClusterLock(const std::filesystem::path& root, Mode mode) {
  const std::filesystem::path path = root / kLockFile;
  file_ = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!file_.is_open()) file_ = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file_.is_open()) {
    if (mode == Mode::kExclusive) throw_system_error("cannot open", path, errno);
    return;
  }
  while (::flock(file_.get(), mode == Mode::kShared ? LOCK_SH : LOCK_EX) != 0) {
    if (errno != EINTR) throw_system_error("cannot lock", path, errno);
  }
}

ArtifactResizeLock::ArtifactResizeLock(const std::filesystem::path& root)
    : folder_(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (!folder_.is_open()) throw_system_error("cannot open", root, errno);
  if (::flock(folder_.get(), LOCK_EX | LOCK_NB) != 0) {
    throw Error(ErrorCode::kFailedPrecondition,
                "another process is resizing or repairing " + root.string() + "; wait for it to end");
  }
}

OpenArtifactCluster open_artifact_cluster(const std::filesystem::path& root) {
  (void)load_artifact_cluster(root);  // says that it is no store, before a lock is made there
  OpenArtifactCluster open{ArtifactClusterLock(root, ArtifactClusterLock::Mode::kShared), load_artifact_cluster(root), nullptr};
  open.store = open_artifact_layout(root, open.cluster);
  if (open.cluster.target) {
    declare_artifact_layout(*open.store, root, open.cluster, *open.cluster.target);
    (void)open.store->begin_resize();
  }
  return open;
}

}  // namespace annulus::cli
