// Saved indexes: whole after a round trip, refused when damaged, and plain FAISS inside.
#include <faiss/Index.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/durable_file.h"
#include "tests/index/support.h"
#include "tests/sanitized.h"

// FAISS 1.7.3 leaks what it has read when it refuses the rest; the tests with right checksums make it refuse.
extern "C" const char* __lsan_default_suppressions() { return "leak:faiss::read_\n"; }

namespace annulus {
namespace {

using testing::every_kind;
using testing::expect_error;
using testing::filled_index;
using testing::ids_from;
using testing::Kind;
using testing::kind_name;
using testing::make_index;
using testing::make_spec;
using testing::random_matrix;
using testing::search;

constexpr std::size_t kD = 8;

class FileOfEveryKind : public ::testing::TestWithParam<Kind> {
 protected:
  Matrix data(std::size_t n, std::uint64_t seed) const { return random_matrix(n, kD, seed, GetParam().metric == Metric::kCosine); }

  IndexSpec spec() const { return make_spec(GetParam().factory, GetParam().metric, kD); }

  /// A small index with erased and overwritten rows.
  VectorIndex lived_in(std::size_t rows) const {
    VectorIndex index = make_index(spec(), data(300, 1));
    index.upsert(ids_from(7, rows), data(rows, 2));
    index.erase(std::vector<VectorId>{8, 9, 12});
    index.upsert(std::vector<VectorId>{10}, data(1, 3));
    return index;
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, FileOfEveryKind, ::testing::ValuesIn(every_kind()), kind_name);

/// The FAISS index inside the bytes of a saved index: the last field of the payload.
std::string_view faiss_blob(std::string_view bytes, const VectorIndex& index) {
  const std::string_view payload = open_envelope(EnvelopeKind::kIndex, 2, bytes, "test");
  std::size_t at = 8 + 1 + 8 + index.spec().factory.size() + 3 * 4 + 8 + 1 + 1 + 8;
  std::uint64_t rows = 0;
  std::memcpy(&rows, payload.data() + at, 8);
  at += 8 + rows * 9 + 8;
  if (index.codec() != nullptr) at += 8 + (index.codec()->version() >= 2 ? 4 * (index.spec().dimension + 1) : 0);  // the scale
  return payload.substr(at);
}

TEST_P(FileOfEveryKind, IsTheSameIndexAfterARoundTrip) {
  const VectorIndex index = lived_in(250);
  const std::string bytes = index.to_bytes();
  for (const auto& codec : {index.codec(), std::shared_ptr<const Codec>()}) {
    const VectorIndex loaded = VectorIndex::from_bytes(bytes, codec);
    EXPECT_EQ(loaded.to_bytes(), bytes);
    EXPECT_EQ(loaded.spec(), index.spec());
    EXPECT_EQ(loaded.size(), index.size());
    EXPECT_EQ(loaded.dead_rows(), index.dead_rows());
    if (index.codec() != nullptr) {
      EXPECT_EQ(loaded.codec()->fingerprint(), index.codec()->fingerprint());
    }
    if (codec != nullptr) {
      EXPECT_EQ(loaded.codec(), codec);
    }
    const Matrix queries = data(10, 4);
    EXPECT_EQ(search(loaded, queries, 20).rows, search(index, queries, 20).rows);
  }
}

TEST_P(FileOfEveryKind, HoldsAPlainFaissIndexThatSearches) {
  const VectorIndex index = filled_index(spec(), data(300, 5));
  const std::string bytes = index.to_bytes();
  const std::string_view blob = faiss_blob(bytes, index);
  faiss::VectorIOReader reader;
  reader.data.assign(blob.begin(), blob.end());
  const std::unique_ptr<faiss::Index> plain(faiss::read_index(&reader));
  ASSERT_EQ(plain->ntotal, 300);
  if (auto* ivf = dynamic_cast<faiss::IndexIVF*>(plain.get())) ivf->nprobe = 8;
  const Matrix query = data(1, 6);
  std::vector<float> distances(5);
  std::vector<std::int64_t> rows(5);
  plain->search(1, query.data(), 5, distances.data(), rows.data());
  const auto ours = search(index, query, 5, {.ef = 100, .nprobe = 8}).rows[0];
  EXPECT_EQ(rows[0], static_cast<std::int64_t>(ours[0].id));
  EXPECT_NEAR(GetParam().metric == Metric::kL2 ? distances[0] : -distances[0], ours[0].distance, 1e-3);
}

TEST_P(FileOfEveryKind, IsRefusedAtEveryTruncation) {
  const std::string bytes = lived_in(20).to_bytes();
  const std::size_t step = bytes.size() > 4000 ? 37 : 1;
  for (std::size_t length = 0; length < bytes.size(); length += length < 200 ? 1 : step) {
    ASSERT_THROW(VectorIndex::from_bytes(std::string_view(bytes).substr(0, length)), Error) << length;
  }
  EXPECT_THROW(VectorIndex::from_bytes(bytes + "x"), Error);
  EXPECT_NO_THROW(VectorIndex::from_bytes(bytes));
}

TEST_P(FileOfEveryKind, IsRefusedWithAnyByteFlipped) {
  std::string bytes = lived_in(20).to_bytes();
  const std::size_t step = bytes.size() > 4000 ? 13 : 1;
  for (std::size_t i = 0; i < bytes.size(); i += i < 200 ? 1 : step) {
    bytes[i] = static_cast<char>(bytes[i] ^ 0x10);
    ASSERT_THROW(VectorIndex::from_bytes(bytes), Error) << i;
    bytes[i] = static_cast<char>(bytes[i] ^ 0x10);
  }
  EXPECT_NO_THROW(VectorIndex::from_bytes(bytes));
}

TEST_P(FileOfEveryKind, IsRefusedOrHarmlessWhenAlteredUnderARightChecksum) {
  // What a checksum cannot see: a writer with a defect, or an enemy. The altered index must be refused, or else survive
  // what is done to an index; a sanitizer watches.
  const VectorIndex index = lived_in(20);
  std::string payload(open_envelope(EnvelopeKind::kIndex, 2, index.to_bytes(), "test"));
  const Matrix queries = data(3, 7);
  std::size_t refused = 0;
  std::size_t tried = 0;
  const std::size_t step = payload.size() > 4000 ? 11 : 1;
  for (const char mask : {'\x01', '\x80', '\xff'}) {
    for (std::size_t i = 0; i < payload.size(); i += i < 400 ? 1 : step) {
      ++tried;
      payload[i] = static_cast<char>(payload[i] ^ mask);
      try {
        VectorIndex altered = VectorIndex::from_bytes(seal_envelope(EnvelopeKind::kIndex, 2, payload));
        search(altered, queries, 5, {.ef = 20, .nprobe = 3});
        altered.erase(std::vector<VectorId>{7, 10, 14});
        altered.upsert(ids_from(100, 3), queries);
        search(altered, queries, 30);
      } catch (const Error&) {
        ++refused;
      }
      payload[i] = static_cast<char>(payload[i] ^ mask);
    }
  }
  EXPECT_GT(refused, tried / 20);
}

TEST_P(FileOfEveryKind, IsSavedAndLoadedByPath) {
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / ("annulus_index_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::filesystem::path path = folder / "a.index";
  const VectorIndex index = lived_in(50);
  index.save(path);
  EXPECT_EQ(VectorIndex::load(path).to_bytes(), index.to_bytes());
  const VectorIndex other = lived_in(60);
  other.save(path);
  EXPECT_EQ(VectorIndex::load(path, other.codec()).size(), other.size());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1) << "a temporary file stayed behind";
  write_file_atomically(path, "ANNULUS");
  expect_error(ErrorCode::kDataLoss, {path.string(), "truncated"}, [&] { VectorIndex::load(path); });
  expect_error(ErrorCode::kNotFound, {"absent.index"}, [&] { VectorIndex::load(folder / "absent.index"); });
  std::filesystem::remove_all(folder);
}

/// Vectors that no library's random generator has a say in.
Matrix golden_vectors() {
  Matrix m(24, 4);
  for (Eigen::Index i = 0; i < m.rows(); ++i) {
    for (Eigen::Index j = 0; j < m.cols(); ++j) m(i, j) = static_cast<float>((i * i * 7 + j * j * 5 + i * j * 3) % 23 - 11);
  }
  return m;
}

/// Files of format version 1, written once: they must be read for ever. (Made by upserting golden_vectors() under ids 100 to
/// 123, erasing 103, and overwriting 104 with the vector of 105.)
TEST(IndexFile, OfVersion1IsStillRead) {
  for (const char* name : {"flat", "hnsw", "ivf"}) {
    SCOPED_TRACE(name);
    const std::filesystem::path path =
        std::filesystem::path(ANNULUS_SOURCE_DIR) / "tests/golden" / ("index_v1_" + std::string(name) + ".index");
    const VectorIndex index = VectorIndex::load(path);
    EXPECT_EQ(index.size(), 23U);
    EXPECT_EQ(index.dead_rows(), std::string(name) == "hnsw" ? 2U : 0U);
    EXPECT_FALSE(index.contains(103));
    const Matrix vectors = golden_vectors();
    std::vector<float> stored(4);
    for (VectorId id = 100; id < 124; ++id) {
      if (id == 103) continue;
      ASSERT_TRUE(index.reconstruct(id, stored));
      const auto row = static_cast<Eigen::Index>(id == 104 ? 5 : id - 100);
      for (Eigen::Index j = 0; j < 4; ++j) EXPECT_EQ(stored[static_cast<std::size_t>(j)], vectors(row, j)) << id;
    }
    const auto found = search(index, vectors.row(5), 2, {.ef = 30, .nprobe = 3}).rows[0];
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0], (Candidate{104, 0.0F}));
    EXPECT_EQ(found[1], (Candidate{105, 0.0F}));
    if (std::string(name) == "flat") {
      EXPECT_EQ(index.to_bytes(), read_file(path.parent_path() / "index_v2_flat.index"));
    }
  }
}

TEST(IndexFile, OfVersion2WithAnInt8ScaleIsStillRead) {
  // Made as those of version 1, on a codec trained on golden_vectors() for "IVF3,Flat".
  const std::filesystem::path golden = std::filesystem::path(ANNULUS_SOURCE_DIR) / "tests/golden";
  const VectorIndex index = VectorIndex::load(golden / "index_v2_ivf.index");
  EXPECT_EQ(index.codec()->version(), 2U);
  EXPECT_FALSE(index.candidates_are_exact());
  EXPECT_EQ(index.to_bytes(), read_file(golden / "index_v2_ivf.index"));
  const auto codec = Codec::from_bytes(read_file(golden / "codec_v2_ivf.codec"));
  EXPECT_EQ(codec->fingerprint(), index.codec()->fingerprint());
  EXPECT_EQ(codec->to_bytes(), read_file(golden / "codec_v2_ivf.codec"));
  EXPECT_EQ(index.size(), 23U);
  EXPECT_FALSE(index.contains(103));
  const Matrix vectors = golden_vectors();
  for (const Eigen::Index row : {0, 5, 22}) {
    const auto found = search(index, vectors.row(row), 1, {.nprobe = 3}).rows[0];
    EXPECT_EQ(found, (std::vector<Candidate>{{row == 5 ? VectorId{104} : 100 + static_cast<VectorId>(row), 0.0F}}));
  }
}

TEST(IndexFile, OfVersion1SearchesListsByFloats) {
  const VectorIndex index = VectorIndex::load(std::filesystem::path(ANNULUS_SOURCE_DIR) / "tests/golden/index_v1_ivf.index");
  EXPECT_EQ(index.codec()->version(), 1U);
  EXPECT_TRUE(index.candidates_are_exact());
  EXPECT_EQ(VectorIndex::from_bytes(index.to_bytes()).codec()->fingerprint(), index.codec()->fingerprint());
}

TEST(IndexFile, HasTheSameCodesAfterCompaction) {
  // Compaction encodes what it decoded. Hardest far from the origin and narrow, where a step of the int8 scale is less than a
  // float's rounding.
  const Matrix rows = (random_matrix(300, kD, 13) * 1e-3F).array() + 1000.0F;
  VectorIndex index = filled_index(make_spec("HNSW8,SQ8", Metric::kL2, kD), rows);
  const auto codes = [](const VectorIndex& of) {
    const std::string bytes = of.to_bytes();
    faiss::VectorIOReader reader;
    const std::string_view blob = faiss_blob(bytes, of);
    reader.data.assign(blob.begin(), blob.end());
    const std::unique_ptr<faiss::Index> plain(faiss::read_index(&reader));
    const auto& stored = dynamic_cast<const faiss::IndexFlatCodes&>(*dynamic_cast<const faiss::IndexHNSW&>(*plain).storage).codes;
    return std::vector<std::uint8_t>(stored.begin(), stored.end());
  };
  std::vector<std::uint8_t> expected = codes(index);
  index.erase(ids_from(0, 1));
  expected.erase(expected.begin(), expected.begin() + kD);
  EXPECT_EQ(codes(index.compacted()), expected);
}

TEST(IndexFile, IsRefusedWhenAListHoldsARowThatIsElsewhereToo) {
  // No single altered byte does this: a writer with a defect could. Counts and checksum are right, and every live row is in a list.
  const VectorIndex index = filled_index(make_spec("IVF2,Flat", Metric::kL2, kD), random_matrix(20, kD, 1));
  const std::string bytes = index.to_bytes();
  const std::string_view blob = faiss_blob(bytes, index);
  const std::string_view payload = open_envelope(EnvelopeKind::kIndex, 2, bytes, "test");
  const auto sealed_with = [&](std::int64_t row) {
    faiss::VectorIOReader reader;
    reader.data.assign(blob.begin(), blob.end());
    const std::unique_ptr<faiss::Index> plain(faiss::read_index(&reader));
    auto& ivf = dynamic_cast<faiss::IndexIVF&>(*plain);
    const std::size_t list = ivf.invlists->list_size(0) == 0 ? 1 : 0;
    const std::vector<std::uint8_t> code(ivf.code_size);
    ivf.invlists->add_entry(list, row, code.data());
    faiss::VectorIOWriter writer;
    faiss::write_index(plain.get(), &writer);
    std::string altered(payload.substr(0, payload.size() - blob.size() - 8));
    for (int i = 0; i < 8; ++i) altered += static_cast<char>(std::uint64_t{writer.data.size()} >> (8 * i));
    altered.append(writer.data.begin(), writer.data.end());
    return seal_envelope(EnvelopeKind::kIndex, 2, altered);
  };
  for (const std::int64_t row : {0, 19, 20, -1}) {
    expect_error(ErrorCode::kDataLoss, {"doubled.index", "a list holds a row that is not live, or is in another list too"},
                 [&] { VectorIndex::from_bytes(sealed_with(row), nullptr, "doubled.index"); });
  }
}

TEST(IndexFile, HoldsFewVectorsInRowsOfHighNumbers) {
  // Row numbers beyond the number of bytes of FAISS's index, and a default beyond its lists, are no sign of damage.
  IndexSpec spec = make_spec("IVF2,Flat", Metric::kL2, 2);
  spec.nprobe = 1000000000;
  const Matrix rows = random_matrix(30000, 2, 1);
  VectorIndex index = filled_index(spec, rows);
  index.erase(ids_from(0, 29999));
  const VectorIndex loaded = VectorIndex::from_bytes(index.to_bytes());
  EXPECT_EQ(loaded.size(), 1U);
  EXPECT_EQ(search(loaded, rows.bottomRows(1), 3).rows[0].at(0).id, 29999U);
}

// A file of a few bytes a row asks for no address space of a vector a row.
TEST(IndexFile, AsksForNoVectorsOfRowsThatAreFree) {
  constexpr std::size_t kRows = 100'000;
  const IndexSpec spec = make_spec("IVF2,Flat", Metric::kL2, 256);
  VectorIndex index(spec, Codec::train(spec, random_matrix(512, 256, 1)));
  const Matrix block = random_matrix(1000, 256, 2);
  for (VectorId first = 0; first < kRows; first += 1000) index.upsert(ids_from(first, 1000), block);
  index.erase(ids_from(0, kRows - 10));
  const auto address_space = [] {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  };
  const std::string bytes = index.to_bytes();
  const std::size_t before = address_space();
  const VectorIndex loaded = VectorIndex::from_bytes(bytes, index.codec());
  EXPECT_EQ(loaded.size(), 10U);
  EXPECT_LE(loaded.memory_bytes(), kRows * 10);
  if (!testing::kSanitized) {
    EXPECT_LE(address_space(), before + kRows * 40);
  }
  std::vector<float> vector(256);
  ASSERT_TRUE(loaded.reconstruct(kRows - 1, vector));
  EXPECT_TRUE(std::equal(vector.begin(), vector.end(), block.data() + std::size_t{999} * 256));
}

TEST(IndexFile, IsRefusedWithACodecThatDidNotWriteIt) {
  const IndexSpec spec = make_spec("IVF8,Flat", Metric::kL2, kD);
  const VectorIndex index = filled_index(spec, random_matrix(300, kD, 1));
  const auto other = Codec::train(spec, random_matrix(300, kD, 2));
  expect_error(ErrorCode::kInvalidArgument, {std::to_string(index.codec()->fingerprint()), std::to_string(other->fingerprint())},
               [&] { VectorIndex::from_bytes(index.to_bytes(), other); });
  const auto foreign = Codec::train(make_spec("IVF9,Flat", Metric::kL2, kD), random_matrix(300, kD, 2));
  expect_error(ErrorCode::kInvalidArgument, {"IVF9,Flat"}, [&] { VectorIndex::from_bytes(index.to_bytes(), foreign); });
}

TEST(IndexFile, IsNoCodecFileAndConversely) {
  const VectorIndex index = filled_index(make_spec("IVF8,Flat", Metric::kL2, kD), random_matrix(300, kD, 1));
  expect_error(ErrorCode::kInvalidArgument, {"kind 3", "kind 2"}, [&] { VectorIndex::from_bytes(index.codec()->to_bytes()); });
  expect_error(ErrorCode::kInvalidArgument, {"kind 2", "kind 3"}, [&] { Codec::from_bytes(index.to_bytes()); });
}

TEST(IndexFile, OfALaterFormatIsRefusedAsSuch) {
  expect_error(ErrorCode::kUnimplemented, {"version 3"},
               [] { VectorIndex::from_bytes(seal_envelope(EnvelopeKind::kIndex, 3, "")); });
  expect_error(ErrorCode::kUnimplemented, {"version 3"}, [] { Codec::from_bytes(seal_envelope(EnvelopeKind::kCodec, 3, "")); });
}

TEST(CodecFile, IsRefusedDamagedOrAlteredUnderARightChecksum) {
  for (const char* factory : {"HNSW4,SQ8", "IVF4_HNSW4,SQ8", "IVF4,PQ4"}) {
    SCOPED_TRACE(factory);
    const auto codec = Codec::train(make_spec(factory, Metric::kL2, kD), random_matrix(300, kD, 1));
    const std::string bytes = codec->to_bytes();
    for (std::size_t length = 0; length < bytes.size(); length += 1 + length / 50) {
      ASSERT_THROW(Codec::from_bytes(std::string_view(bytes).substr(0, length)), Error) << length;
    }
    std::string payload(open_envelope(EnvelopeKind::kCodec, 2, bytes, "test"));
    for (std::size_t i = 0; i < payload.size(); i += 1 + i / 200) {
      payload[i] = static_cast<char>(payload[i] ^ 0x41);
      try {
        const auto altered = Codec::from_bytes(seal_envelope(EnvelopeKind::kCodec, 2, payload));
        // Bytes that decide about no code: search defaults, the seed, and what only FAISS's own search reads.
        EXPECT_EQ(altered->fingerprint(), codec->fingerprint()) << i;
      } catch (const Error& e) {
        EXPECT_TRUE(e.code() == ErrorCode::kDataLoss) << i << ": " << e.what();
      }
      payload[i] = static_cast<char>(payload[i] ^ 0x41);
    }
  }
}

}  // namespace
}  // namespace annulus
