// Writes the seeds of the corpora: write_fuzz_corpus FOLDER.
#include <cstdio>
#include <filesystem>
#include <string>

#include "artifact/artifact_manifest.h"
#include "core/durable_file.h"
#include "index/vector_index.h"
#include "ring/hash_ring.h"

namespace annulus::fuzz {
namespace {

// An input of a target: the version, then the payload.
void write(const std::filesystem::path& path, EnvelopeKind kind, std::string_view bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::uint32_t version = 0;
  const std::string_view payload = open_envelope(kind, 255, bytes, path.string(), &version);
  write_file_atomically(path, std::string(1, static_cast<char>(version)) + std::string(payload));
}

void write_indexes(const std::filesystem::path& folder) {
  constexpr Eigen::Index kRows = 24;
  Matrix vectors(kRows, 4);
  for (Eigen::Index i = 0; i < vectors.size(); ++i) vectors.data()[i] = static_cast<float>((i * i * 31 + 7 * i) % 101) / 10 + 1;
  Matrix samples(320, 4);
  for (Eigen::Index i = 0; i < samples.size(); ++i) samples.data()[i] = static_cast<float>((i * i * 17 + 5 * i) % 997) / 90 + 1;
  std::vector<VectorId> ids;
  for (VectorId id = 100; ids.size() < kRows; id += 3) ids.push_back(id);
  int metric = 0;
  for (const char* factory : {"Flat", "HNSW4", "HNSW4,SQ8", "IVF4,Flat", "IVF4,SQ8", "IVF4,PQ2", "IVF4_HNSW4,Flat"}) {
    IndexSpec spec;
    spec.dimension = 4;
    spec.factory = factory;
    spec.metric = static_cast<Metric>(metric++ % 3);
    const auto codec = needs_training(spec) ? Codec::train(spec, samples) : nullptr;
    VectorIndex index(spec, codec);
    index.upsert(ids, vectors);
    index.erase(std::vector<VectorId>{ids[3], ids[8]});
    write(folder / "index" / factory, EnvelopeKind::kIndex, index.to_bytes());
    if (codec != nullptr) write(folder / "codec" / factory, EnvelopeKind::kCodec, codec->to_bytes());
  }
}

void write_golden(const std::filesystem::path& folder) {
  const std::filesystem::path golden = std::filesystem::path(ANNULUS_SOURCE_DIR) / "tests/golden";
  for (const auto& file : std::filesystem::directory_iterator(golden)) {
    const std::filesystem::path& path = file.path();
    if (path.extension() == ".index") write(folder / "index" / path.stem(), EnvelopeKind::kIndex, read_file(path));
    if (path.extension() == ".codec") write(folder / "codec" / path.stem(), EnvelopeKind::kCodec, read_file(path));
  }
}

void write_rings(const std::filesystem::path& folder) {
  const ConsistentHasher empty;
  write(folder / "ring/empty", EnvelopeKind::kRing, empty.to_bytes());
  const ConsistentHasher ring({.virtual_nodes_per_weight = 4, .probes = 2, .seed = 9},
                              std::vector<Node>{{"aa", 1.0, "z1"}, {"bb", 2.5, ""}, {"c", 0.5, "z2"}});
  write(folder / "ring/three_nodes", EnvelopeKind::kRing, ring.to_bytes());
}

void write_manifests(const std::filesystem::path& folder) {
  ArtifactManifest manifest{.info = {.name = "model", .version = {}}, .chunks = {}};
  manifest.info.kind = ArtifactKind::kBlob;
  manifest.info.bytes = 1000;
  manifest.chunks.resize(internal::chunk_count(manifest.info.bytes));
  write(folder / "manifest/blob", EnvelopeKind::kArtifactManifest, internal::manifest_to_bytes(manifest));
  manifest = {.info = {.name = "model", .version = {}}, .chunks = {}};
  manifest.info.kind = ArtifactKind::kErased;
  write(folder / "manifest/erased", EnvelopeKind::kArtifactManifest, internal::manifest_to_bytes(manifest));
}

}  // namespace

void write_corpora(const std::filesystem::path& folder) {
  write_indexes(folder);
  write_golden(folder);
  write_rings(folder);
  write_manifests(folder);
}

}  // namespace annulus::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: write_fuzz_corpus FOLDER\n", stderr);
    return 2;
  }
  annulus::fuzz::write_corpora(argv[1]);
  return 0;
}
