// Private to artifact/: a version on its way into a directory host.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "artifact/artifact_host.h"
#include "artifact/host_store.h"

namespace annulus::internal {

/// Writes "@<version>.<process>-<n>.part" and, sealed, the same with ".manifest.part"; a commit renames both. The lock on the first
/// says to garbage collectors that its process is alive; it goes with the descriptor, and so with the process.
class StagedVersion final : public ArtifactWriter {
 public:
  StagedVersion(std::shared_ptr<const HostStore> store, std::string_view name, Version version);
  ~StagedVersion() override;

  void append(std::span<const std::byte> bytes) override;
  void seal(const ArtifactManifest& manifest) override;
  void commit() override;

 private:
  enum class State { kOpen, kSealed, kCommitted };

  void require(State state, const char* call) const;
  std::string part() const { return stem_ + std::string(kPartSuffix); }
  std::string manifest_part() const { return stem_ + std::string(kManifestPartSuffix); }

  std::shared_ptr<const HostStore> store_;
  std::string name_;
  Version version_;
  State state_ = State::kOpen;
  ArtifactKind kind_ = ArtifactKind::kBlob;
  std::uint64_t bytes_ = 0;
  std::uint64_t writing_back_ = 0;    // of `bytes_`, those that the kernel was told to write
  std::optional<HostFolder> folder_;  // not removed while the part is in it
  std::string stem_;
  FileDescriptor file_;
};

}  // namespace annulus::internal
