// Manifests of artifacts.
#include <string>

#include "artifact/artifact_manifest.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "tests/fuzz/require.h"
#include "tests/fuzz/targets.h"

namespace annulus::fuzz {

bool manifest_target(std::string_view input) {
  if (input.empty()) return false;
  const std::string bytes = seal_envelope(EnvelopeKind::kArtifactManifest, static_cast<std::uint8_t>(input[0]), input.substr(1));
  try {
    const ArtifactManifest manifest = internal::manifest_from_bytes(bytes, "model", Version{}, "fuzz");
    const std::string saved = internal::manifest_to_bytes(manifest);
    const ArtifactManifest again = internal::manifest_from_bytes(saved, "model", Version{}, "fuzz");
    require(internal::manifest_to_bytes(again) == saved, "a saved manifest differs when loaded");
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace annulus::fuzz
