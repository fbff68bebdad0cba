// The demo's artifacts: the word vectors as files, on a folder for each node of the cluster.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "artifact/artifact_distributor.h"
#include "cli/demo_data.h"
#include "rebalance/artifact_rebalancer.h"

namespace annulus::cli {

/// What was found when every artifact was verified on its hosts, and read back.
struct ArtifactProof {
  ArtifactCheckReport check;
  std::uint64_t artifacts = 0;  ///< put
  std::uint64_t missing = 0;    ///< could not be read
  std::uint64_t wrong = 0;      ///< read, and not what was put
  bool ok() const noexcept { return check.ok() && check.superseded == 0 && missing == 0 && wrong == 0; }
};

struct ArtifactFigures {
  MoveReport report;
  ArtifactProof proof;
  bool ok() const noexcept { return report.outcome == ResizeOutcome::kCompleted && report.lost == 0 && proof.ok(); }
};

/// A byte of one replica was changed behind the store's back, and the artifact read.
struct HealFigures {
  std::string artifact;
  std::string host;     ///< whose replica was damaged
  bool healed = false;  ///< by the read
  ArtifactProof proof;
};

/// A folder below the system's for temporary files; gone with this object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// Puts the vectors in parts, as checkpoints come in files.
class DemoArtifacts {
 public:
  /// `data` must outlive this.
  DemoArtifacts(const WordVectors& data, std::size_t replicas);

  void attach(const std::string& id);
  void detach(const std::string& id) { artifacts_.detach_node(id); }
  void fill();
  /// Does `declare`, which attaches or detaches; resizes; verifies and reads everything.
  ArtifactFigures change(const std::function<void()>& declare);
  /// Nothing if there is one replica only: then there is nothing to heal from.
  std::optional<HealFigures> damage_and_read();

  std::uint64_t count() const noexcept { return names_.size(); }
  std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  std::vector<std::byte> content(std::size_t part) const;
  ArtifactProof prove();

  const WordVectors& data_;
  TemporaryFolder folder_;
  ArtifactDistributor artifacts_;
  std::vector<std::string> names_;
  std::uint64_t bytes_ = 0;
};

}  // namespace annulus::cli
