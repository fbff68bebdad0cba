// Saved indexes of every family, and codecs.
#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "core/durable_file.h"
#include "core/error.h"
#include "index/vector_index.h"
#include "tests/fuzz/require.h"
#include "tests/fuzz/targets.h"

namespace annulus::fuzz {
namespace {

std::string sealed(EnvelopeKind kind, std::string_view input) {
  return seal_envelope(kind, static_cast<std::uint8_t>(input[0]), input.substr(1));
}

Matrix some_vectors(std::size_t n, std::size_t d) {
  Matrix vectors(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(d));
  for (Eigen::Index i = 0; i < vectors.size(); ++i) vectors.data()[i] = static_cast<float>((i * 7 + 3) % 11 + 1) / 4;
  return vectors;
}

void search(const VectorIndex& index) {
  constexpr std::size_t kQueries = 2;
  constexpr std::size_t kNearest = 5;
  std::vector<Candidate> found(kQueries * kNearest);
  std::vector<std::size_t> counts(kQueries);
  index.search(some_vectors(kQueries, index.spec().dimension), kNearest, {}, nullptr, nullptr, found, counts);
  for (const std::size_t count : counts) require(count <= std::min(kNearest, index.size()), "more answers than rows");
}

// What a loaded index must bear. The vectors in it may be anything, even NaN: answers are only counted.
void use(VectorIndex& index) {
  const std::size_t d = index.spec().dimension;
  std::vector<VectorId> ids(index.size());
  index.ids(ids);
  std::vector<float> row(d);
  for (const VectorId id : ids) {
    require(index.contains(id), "an id of the index is not in it");
    require(index.reconstruct(id, row), "an id of the index has no vector");
  }
  if (!index.ready()) return;
  search(index);
  const VectorId fresh = std::numeric_limits<VectorId>::max() / 2;
  std::vector<VectorId> written{fresh};
  if (!ids.empty() && ids[0] != fresh) written.push_back(ids[0]);
  index.upsert(written, some_vectors(written.size(), d));
  require(index.contains(fresh), "an upserted id is not in the index");
  search(index);
  require(index.erase(written) == written.size(), "an erase removes another number of rows");
  search(index);
  require(index.compacted().size() == index.size(), "a compaction loses rows");
}

}  // namespace

bool index_target(std::string_view input) {
  if (input.empty()) return false;
  try {
    VectorIndex index = VectorIndex::from_bytes(sealed(EnvelopeKind::kIndex, input));
    if (index.spec().dimension > 512) return true;  // sound, but slow to use
    const std::string saved = index.to_bytes();
    require(VectorIndex::from_bytes(saved).to_bytes() == saved, "a saved index differs when loaded");
    use(index);
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool codec_target(std::string_view input) {
  if (input.empty()) return false;
  std::shared_ptr<const Codec> codec;
  try {
    codec = Codec::from_bytes(sealed(EnvelopeKind::kCodec, input));
  } catch (const Error&) {
    return false;
  }
  const std::string saved = codec->to_bytes();
  require(Codec::from_bytes(saved)->fingerprint() == codec->fingerprint(), "a saved codec differs when loaded");
  if (codec->spec().dimension > 512) return true;
  try {
    VectorIndex index(codec->spec(), codec);
    const std::vector<VectorId> ids{1, 2, 3};
    index.upsert(ids, some_vectors(ids.size(), codec->spec().dimension));
    use(index);
  } catch (const Error&) {
  }
  return true;
}

}  // namespace annulus::fuzz
