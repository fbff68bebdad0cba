#include "artifact/artifact_distributor.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "artifact/artifact_check.h"
#include "artifact/artifact_get.h"
#include "artifact/artifact_put.h"
#include "artifact/artifact_store.h"
#include "artifact/artifact_transfer.h"
#include "core/durable_file.h"

namespace annulus {

class ArtifactDistributor::Impl : public internal::ArtifactStore {
 public:
  using ArtifactStore::ArtifactStore;
  std::mutex execution;
};

ArtifactDistributor::ArtifactDistributor(ArtifactDistributorOptions options) : impl_(std::make_unique<Impl>(options)) {}

ArtifactDistributor::~ArtifactDistributor() = default;

void ArtifactDistributor::attach_node(std::shared_ptr<ArtifactHost> host, double weight, std::string zone) {
  impl_->membership.attach(std::move(host), weight, std::move(zone));
}
void ArtifactDistributor::detach_node(std::string_view id) { impl_->membership.detach(id); }
void ArtifactDistributor::set_weight(std::string_view id, double weight) { impl_->membership.set_weight(id, weight); }
void ArtifactDistributor::set_replicas(std::size_t replicas) { impl_->membership.set_replicas(replicas); }

ConsistentHasher ArtifactDistributor::ring() const { return impl_->membership.ring(); }
std::size_t ArtifactDistributor::replicas() const { return impl_->membership.replicas(); }
Placement ArtifactDistributor::placement() const { return impl_->membership.pin()->placement; }

std::vector<std::string> ArtifactDistributor::placement(std::string_view name) const {
  validate_artifact_name(name);
  std::vector<std::string> ids;
  for (const internal::HostPtr& host : impl_->membership.pin()->serving(name)) ids.push_back(host->id());
  return ids;
}

std::vector<std::string> ArtifactDistributor::placement_with_ring(std::string_view name, const ConsistentHasher& ring) const {
  validate_artifact_name(name);
  std::vector<std::string> ids;
  for (const NodeIndex node : ring.replica_set(KeyView(name), replicas()).nodes) ids.push_back(ring.node(node).id);
  return ids;
}

ArtifactPutReport ArtifactDistributor::put(std::string_view name, const ArtifactSource& source) {
  return internal::put(*impl_, name, source);
}

ArtifactPutReport ArtifactDistributor::put(std::string_view name, std::span<const std::byte> content) {
  return internal::put(*impl_, name, [content](std::span<std::byte> buffer) mutable {
    const std::size_t bytes = std::min(buffer.size(), content.size());
    if (bytes > 0) std::memcpy(buffer.data(), content.data(), bytes);
    content = content.subspan(bytes);
    return bytes;
  });
}

ArtifactPutReport ArtifactDistributor::put_file(std::string_view name, const std::filesystem::path& path,
                                                const ArtifactProgress& progress) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!file.is_open() || ::fstat(file.get(), &info) != 0) throw_system_error("cannot open", path, errno);
  if (!S_ISREG(info.st_mode))
    throw Error(ErrorCode::kInvalidArgument, path.string() + " is no plain file; an artifact is the content of one");
  ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  std::uint64_t offset = 0;
  const auto source = [&](std::span<std::byte> buffer) {
    const std::size_t got = read_fully(file.get(), buffer, offset, path);
    offset += got;
    return got;
  };
  const auto total = static_cast<std::uint64_t>(info.st_size);
  return internal::put(*impl_, name, source, [&](std::uint64_t done) {
    if (progress) progress(done, std::max(done, total));
  });
}

ArtifactGetReport ArtifactDistributor::get(std::string_view name, const ArtifactSink& sink) {
  return internal::get(*impl_, name, {}, sink);
}

std::vector<std::byte> ArtifactDistributor::get(std::string_view name) {
  std::vector<std::byte> content;
  internal::get(
      *impl_, name, [&](const ArtifactInfo& info) { content.reserve(info.bytes); },
      [&](std::span<const std::byte> bytes) { content.insert(content.end(), bytes.begin(), bytes.end()); });
  return content;
}

ArtifactGetReport ArtifactDistributor::get_file(std::string_view name, const std::filesystem::path& path,
                                                const ArtifactProgress& progress) {
  AtomicFile file(path);
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  ArtifactGetReport report = internal::get(
      *impl_, name, [&](const ArtifactInfo& info) { total = info.bytes; },
      [&](std::span<const std::byte> bytes) {
        file.append(bytes);
        done += bytes.size();
        if (progress) progress(done, total);
      });
  file.commit();
  return report;
}

std::optional<ArtifactInfo> ArtifactDistributor::find(std::string_view name) { return internal::find(*impl_, name); }

std::vector<ArtifactInfo> ArtifactDistributor::list(std::string_view prefix, std::vector<ArtifactHostError>* problems) {
  return internal::list(*impl_, prefix, problems);
}

ArtifactPutReport ArtifactDistributor::erase(std::string_view name) { return internal::erase(*impl_, name); }

ArtifactCheckReport ArtifactDistributor::verify(const ArtifactProgress& progress) {
  return internal::check(*impl_, internal::CheckMode::kVerify, progress);
}
ArtifactCheckReport ArtifactDistributor::repair(const ArtifactProgress& progress) {
  return internal::check(*impl_, internal::CheckMode::kRepair, progress);
}

ResizeStage ArtifactDistributor::stage() const { return impl_->membership.stage(); }
bool ArtifactDistributor::begin_resize() { return impl_->membership.begin_resize(); }
bool ArtifactDistributor::begin_resize(const ConsistentHasher& ring, std::size_t replicas) {
  return impl_->membership.begin_resize(ring, replicas);
}

void ArtifactDistributor::publish_target() {
  const auto ready = [&](const internal::ArtifactSnapshot& now) { return internal::target_holds_what_is_known(*impl_, now); };
  while (!impl_->membership.publish_target(ready)) internal::bring_what_is_known(*impl_);
}

void ArtifactDistributor::begin_abort() { impl_->membership.begin_abort(); }
void ArtifactDistributor::finish() { impl_->membership.finish(); }

std::mutex& ArtifactDistributor::execution() noexcept { return impl_->execution; }

std::vector<ArtifactMiss> ArtifactDistributor::missed() const { return impl_->ledger.all(); }

std::vector<std::shared_ptr<ArtifactHost>> ArtifactDistributor::hosts() const { return impl_->membership.pin()->others({}); }

bool ArtifactDistributor::copy(std::string_view name, std::string_view from, std::string_view to,
                               const std::function<void(std::uint64_t bytes)>& step) {
  validate_artifact_name(name);
  return internal::copy(*impl_, name, from, to, step);
}

bool ArtifactDistributor::drop(std::string_view name, std::string_view host, std::span<const std::string> keepers) {
  validate_artifact_name(name);
  return internal::drop(*impl_, name, host, keepers);
}

}  // namespace annulus
