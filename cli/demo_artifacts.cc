#include "cli/demo_artifacts.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>
#include <system_error>

#include "artifact/directory_artifact_host.h"
#include "core/error.h"

namespace annulus::cli {
namespace {

constexpr std::size_t kParts = 24;

/// Flips a bit in the middle of the only blob of `name` on the host in `folder`.
void damage(const std::filesystem::path& folder, const std::string& name) {
  for (const auto& entry : std::filesystem::directory_iterator(folder / "artifacts" / name)) {
    if (entry.path().extension() != ".blob") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(entry.file_size() / 2);
    file.seekg(middle);
    const int byte = file.get();
    file.seekp(middle);
    file.put(static_cast<char>(byte ^ 1));
  }
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "annulus-demo-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    throw Error(ErrorCode::kUnavailable,
                fmt::format("cannot make a folder {}: {}; set TMPDIR to where there is room", name, std::strerror(errno)));
  }
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

DemoArtifacts::DemoArtifacts(const WordVectors& data, std::size_t replicas) : data_(data), artifacts_({.replicas = replicas}) {
  for (std::size_t part = 0; part < kParts; ++part) names_.push_back(fmt::format("embeddings/part-{:02}.f32", part + 1));
}

void DemoArtifacts::attach(const std::string& id) {
  const std::filesystem::path folder = folder_.path() / id;
  DirectoryArtifactHost::create(folder, id);
  artifacts_.attach_node(std::make_shared<DirectoryArtifactHost>(folder));
}

std::vector<std::byte> DemoArtifacts::content(std::size_t part) const {
  const std::size_t rows = data_.words.size();
  const std::size_t begin = rows * part / kParts;
  const std::size_t end = rows * (part + 1) / kParts;
  const auto block = data_.vectors.middleRows(static_cast<Eigen::Index>(begin), static_cast<Eigen::Index>(end - begin));
  const auto bytes = std::as_bytes(std::span(block.data(), static_cast<std::size_t>(block.size())));
  return {bytes.begin(), bytes.end()};
}

void DemoArtifacts::fill() {
  for (std::size_t part = 0; part < names_.size(); ++part) bytes_ += artifacts_.put(names_[part], content(part)).info.bytes;
}

ArtifactFigures DemoArtifacts::change(const std::function<void()>& declare) {
  declare();
  ArtifactFigures figures;
  figures.report = ArtifactRebalancer(artifacts_).execute();
  figures.proof = prove();
  return figures;
}

ArtifactProof DemoArtifacts::prove() {
  ArtifactProof proof;
  proof.artifacts = names_.size();
  proof.check = artifacts_.verify();
  for (std::size_t part = 0; part < names_.size(); ++part) {
    try {
      proof.wrong += artifacts_.get(names_[part]) == content(part) ? 0 : 1;
    } catch (const Error&) {
      ++proof.missing;
    }
  }
  return proof;
}

std::optional<HealFigures> DemoArtifacts::damage_and_read() {
  if (artifacts_.replicas() < 2) return std::nullopt;
  HealFigures figures;
  figures.artifact = names_.front();
  figures.host = artifacts_.placement(figures.artifact).front();
  damage(folder_.path() / figures.host, figures.artifact);
  std::size_t bytes = 0;
  const ArtifactGetReport report =
      artifacts_.get(figures.artifact, [&](std::span<const std::byte> chunk) { bytes += chunk.size(); });
  figures.healed = bytes == content(0).size() && std::ranges::find(report.healed, figures.host) != report.healed.end();
  figures.proof = prove();
  return figures;
}

}  // namespace annulus::cli
