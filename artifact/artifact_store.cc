#include "artifact/artifact_store.h"

#include <new>

#include "artifact/side_by_side.h"

namespace annulus::internal {

HostFailure describe(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kResourceExhausted, "out of memory"};
  } catch (const std::exception& error) {
    return {ErrorCode::kInternal, error.what()};
  }
}

const ArtifactInfo* HostAnswer::find(Version version) const noexcept {
  for (const ArtifactInfo& info : versions) {
    if (info.version == version) return &info;
  }
  return nullptr;
}

std::vector<HostAnswer> ask(const HostList& hosts, std::string_view name) {
  std::vector<HostAnswer> answers(hosts.size());
  const auto failures = side_by_side(hosts.size(), [&](std::size_t i) { answers[i].versions = hosts[i]->versions(name); });
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    answers[i].host = hosts[i];
    if (failures[i] != nullptr) answers[i].failure = describe(failures[i]);
  }
  return answers;
}

std::optional<ArtifactInfo> newest_of(std::span<const HostAnswer> answers) {
  std::optional<ArtifactInfo> newest;
  for (const HostAnswer& answer : answers) {
    const ArtifactInfo* info = answer.newest();
    if (info == nullptr) continue;
    if (!newest || info->version > newest->version ||
        (info->version == newest->version && newest->kind == ArtifactKind::kDamaged)) {
      newest = *info;
    }
  }
  return newest;
}

std::string reasons(std::span<const HostAnswer> answers) {
  std::string all;
  for (const HostAnswer& answer : answers) {
    if (answer.failure) all += (all.empty() ? "" : "; ") + answer.host->id() + ": " + answer.failure->message;
  }
  return all;
}

}  // namespace annulus::internal
