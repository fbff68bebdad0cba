// Checkpoints of a training on four hosts in two zones: a disk damages a byte, and the next reader heals it.
#include <annulus/artifact/artifact_distributor.h>
#include <annulus/artifact/directory_artifact_host.h>
#include <unistd.h>

#include <fstream>
#include <iostream>

namespace fs = std::filesystem;

namespace {

/// What a bad disk does to a checkpoint on a host.
void flip_a_byte(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".blob") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1234).put('!');
  }
}

}  // namespace

int main() {
  const fs::path root = fs::temp_directory_path() / ("annulus-checkpoints-" + std::to_string(getpid()));

  annulus::ArtifactDistributor store({.replicas = 2});
  for (const std::string host : {"a", "b", "c", "d"}) {
    annulus::DirectoryArtifactHost::create(root / host, host);
    store.attach_node(std::make_shared<annulus::DirectoryArtifactHost>(root / host), 1.0, host < "c" ? "east" : "west");
  }

  const std::vector<std::byte> weights(10'000'000, std::byte{1}), better_weights(10'000'000, std::byte{2});
  store.put("llama/checkpoint", weights);
  const annulus::ArtifactPutReport put = store.put("llama/checkpoint", better_weights);  // a new version takes the old one's place
  std::cout << put.info.bytes << " bytes on " << put.replicas.size() << " hosts, one in each zone\n";

  flip_a_byte(root / put.replicas[0] / "artifacts/llama/checkpoint");
  std::cout << "found by a verification: " << store.verify().damaged << " damaged replica\n";

  std::size_t good = 0;  // every chunk is checked before it is handed on, and read elsewhere if it is damaged
  const annulus::ArtifactGetReport got = store.get("llama/checkpoint", [&](std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) good += byte == std::byte{2} ? 1 : 0;
  });
  std::cout << good << " good bytes read, " << got.healed.size() << " replica healed\n";
  std::cout << (store.verify().ok() ? "all is whole again\n" : "something is wrong\n");

  store.erase("llama/checkpoint");
  std::cout << store.list().size() << " artifacts left\n";
  fs::remove_all(root);
}
