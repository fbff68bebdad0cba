// What a shard says that it holds, beside what its process grew by; and what a record costs beside vector, codes, links and key.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/sanitized.h"
#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kKeyBytes = 16;

// Resident and not from a file, after the allocator has given back what nobody holds.
std::size_t resident_bytes() {
  ::malloc_trim(0);
  std::size_t pages = 0, resident = 0, of_files = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident >> of_files;
  return (resident - of_files) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

struct Family {
  const char* name;
  const char* factory;
  std::size_t d;
  SearchCodes search_codes;
  double content;    // bytes a row of vector, codes as they are padded, and links
  std::size_t rows = 100000;
};

// A graph's links are what FAISS keeps of them: 2 M of the lowest level, those of the levels above on average, and where they are.
constexpr double links(double m) { return 4 * (2 * m + m / (m - 1)) + 8 + 4; }

void PrintTo(const Family& family, std::ostream* out) { *out << family.name; }

class ShardMemory : public ::testing::TestWithParam<Family> {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "a sanitizer's allocator keeps what is freed, and pads what is not";
    // the kernel makes huge pages of partly used ones whenever it comes by, which nobody but it can account for
    ASSERT_EQ(::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
    // threads, their arenas and scratch memory are not the shard's
    const auto first = make_shard();
    fill(*first, 0, 8000, 1);
    fill(*first, 0, 8000, 2, true, 2);  // more than are kept in a graph: it is built anew
    first->collect_tombstones({2, 1});
  }

  static IndexSpec spec() {
    IndexSpec spec = spec_of(GetParam().factory, GetParam().d);
    spec.ef_construction = 8;
    spec.search_codes = GetParam().search_codes;
    return spec;
  }

  std::shared_ptr<VectorShard> make_shard() {
    auto shard = std::make_shared<VectorShard>("s", spec());
    if (!needs_training(spec())) return shard;
    if (codec_ == nullptr) codec_ = Codec::train(spec(), random_matrix(4000, GetParam().d, 1));
    shard->attach_codec(codec_);
    return shard;
  }

  static std::string key_of(std::size_t number) {
    std::string digits = std::to_string(number);
    return std::string(kKeyBytes - digits.size(), 'k') + digits;
  }

  // Vectors about a few dozen centres: lists are of different lengths, as they are with real data.
  static void fill_vector(std::size_t number, std::uint64_t clock, std::span<float> vector) {
    std::minstd_rand random(static_cast<std::uint_fast32_t>(number * 7 + clock + 1));
    std::minstd_rand centre(static_cast<std::uint_fast32_t>(number % 64 + 1));
    for (float& x : vector) {
      x = static_cast<float>(random() % 1024) / 512 - 1 + static_cast<float>(centre() % 1024) / 1024;
    }
  }

  // Writes records [begin, end), live or erased, as of version `clock`.
  static void fill(VectorShard& shard, std::size_t begin, std::size_t end, std::uint64_t clock, bool deleted = false,
                   std::size_t step = 1) {
    constexpr std::size_t kBlock = 256;
    const std::size_t d = GetParam().d;
    std::vector<std::string> keys(kBlock);
    std::vector<float> vectors(kBlock * d);
    std::vector<RecordView> records;
    std::array<WriteOutcome, kBlock> outcomes;
    for (std::size_t i = begin; i < end;) {
      records.clear();
      for (; records.size() < kBlock && i < end; i += step) {
        const std::size_t at = records.size();
        keys[at] = key_of(i);
        const std::span<float> vector = std::span(vectors).subspan(at * d, d);
        fill_vector(i, clock, vector);
        records.push_back({.key = keys[at],
                           .version = {clock, 1},
                           .deleted = deleted,
                           .vector_hash = deleted ? 0 : i + 1,
                           .vector = deleted ? nullptr : vector.data()});
      }
      shard.upsert_if_newer(records, WriteMode::kInsertOrUpdate, std::span(outcomes).first(records.size()));
    }
  }

  // What the process holds since `before` is what the shard says, within 5 %.
  static void expect_true(const VectorShard& shard, std::size_t before, const char* when) {
    const auto growth = static_cast<double>(resident_bytes() - before);
    const auto counted = static_cast<double>(shard.stats().memory_bytes);
    EXPECT_LE(std::abs(counted - growth), 0.05 * growth)
        << when << ": counted " << counted << ", grown by " << growth << ", ratio " << counted / growth;
  }

  // Graphs take long to fill: one size. The others also just after their arrays have grown.
  static std::vector<std::size_t> sizes() {
    if (GetParam().rows < 100000) return {GetParam().rows};
    return {100000, 131073, 200000};
  }

  std::shared_ptr<const Codec> codec_;
};

TEST_P(ShardMemory, IsWhatTheProcessGrewBy) {
  const std::size_t kRows = GetParam().rows;
  const std::size_t before = resident_bytes();
  const auto shard = make_shard();
  fill(*shard, 0, kRows, 1);
  expect_true(*shard, before, "filled");
  fill(*shard, 0, kRows / 4, 2);
  expect_true(*shard, before, "a quarter written over");
  fill(*shard, 0, kRows, 3, true, 3);
  expect_true(*shard, before, "a third erased");
  shard->collect_tombstones({3, 1});
  expect_true(*shard, before, "tombstones collected");
  fill(*shard, kRows, kRows + kRows / 10, 4);
  expect_true(*shard, before, "filled again");
}

TEST_P(ShardMemory, OfALoadedIndexIsWhatTheProcessGrewBy) {
  const std::size_t rows = GetParam().rows;
  const std::size_t d = GetParam().d;
  std::string bytes;
  {
    VectorIndex index(spec(), codec_);
    for (std::size_t begin = 0; begin < rows; begin += 1000) {
      std::vector<VectorId> ids(1000);
      Matrix vectors(1000, static_cast<Eigen::Index>(d));
      for (std::size_t i = 0; i < ids.size(); ++i) {
        ids[i] = begin + i;
        fill_vector(ids[i], 1, std::span(vectors.row(static_cast<Eigen::Index>(i)).data(), d));
      }
      index.upsert(ids, vectors);
    }
    bytes = index.to_bytes();
  }
  const std::size_t before = resident_bytes();
  const VectorIndex loaded = VectorIndex::from_bytes(bytes, codec_);
  const auto growth = static_cast<double>(resident_bytes() - before);
  const auto counted = static_cast<double>(loaded.memory_bytes());
  EXPECT_LE(std::abs(counted - growth), 0.05 * growth) << "counted " << counted << ", grown by " << growth;
  RecordProperty("ratio", std::to_string(counted / growth));
}

TEST_P(ShardMemory, TakesAtMost48BytesARecordBesideItsContent) {
  for (const std::size_t rows : sizes()) {
    const auto shard = make_shard();
    fill(*shard, 0, rows, 1);
    const auto bytes = static_cast<double>(shard->stats().memory_bytes) / static_cast<double>(rows);
    EXPECT_LE(bytes - GetParam().content - kKeyBytes, 48.0) << rows << " records of " << bytes << " bytes";
  }
}

// Half of the rows are secondary ones, as with two replicas: written so, and made so.
TEST_P(ShardMemory, IsNoLessTrueOfRowsInTwoGroups) {
  if (IndexFamily::kHnsw == parse_spec(spec()).family) GTEST_SKIP() << "a graph has one group";
  const std::size_t rows = GetParam().rows;
  const ArcSet half({Arc{0, Token{1} << 63}});
  for (const bool at_first : {true, false}) {
    const std::size_t before = resident_bytes();
    const auto shard = make_shard();
    if (at_first) shard->set_primary_arcs(half);
    fill(*shard, 0, rows, 1);
    if (!at_first) shard->set_primary_arcs(half);
    const char* when = at_first ? "grouped before" : "grouped afterwards";
    expect_true(*shard, before, when);
    const auto bytes = static_cast<double>(shard->stats().memory_bytes) / static_cast<double>(rows);
    if (at_first) {  // else the first group has room for what has left it
      EXPECT_LE(bytes - GetParam().content - kKeyBytes, 48.0) << rows << " records of " << bytes << " bytes";
    }
    shard->set_primary_arcs(ArcSet::whole());
    expect_true(*shard, before, "in one group again");
  }
}

// A key that was erased has a tombstone for as long as nobody collects it, but no vector.
TEST_P(ShardMemory, OfErasedKeysServesOthersBeforeTheirTombstonesAreCollected) {
  if (IndexFamily::kHnsw == parse_spec(spec()).family) GTEST_SKIP() << "rows of a graph stay until it is built anew";
  const std::size_t rows = GetParam().rows;
  const std::size_t before = resident_bytes();
  const auto shard = make_shard();
  fill(*shard, 0, rows, 1);
  fill(*shard, 0, rows, 2, true, 2);
  fill(*shard, rows, rows + rows / 2, 3);
  expect_true(*shard, before, "half of the keys gone and others come");
  const double tombstones = 48 + kKeyBytes;
  const auto bytes = static_cast<double>(shard->stats().memory_bytes) / static_cast<double>(rows);
  // where rows have no number of their own but their key's, a table or two more, and what was not worth one
  EXPECT_LE(bytes - GetParam().content - kKeyBytes - tombstones / 2, 48 + 12 + 0.02 * GetParam().content)
      << bytes << " bytes a live record";
}

constexpr auto kNone = SearchCodes::kNone;
constexpr auto kInt8 = SearchCodes::kInt8;
INSTANTIATE_TEST_SUITE_P(Families, ShardMemory,
                         ::testing::Values(Family{"Flat", "Flat", 32, kInt8, 128},
                                           Family{"Hnsw", "HNSW8", 32, kInt8, 128 + 64 + 4 + links(8), 80000},
                                           Family{"HnswWithoutCodes", "HNSW8", 32, kNone, 128 + links(8), 80000},
                                           Family{"HnswSq8", "HNSW8,SQ8", 64, kInt8, 64 + links(8), 80000},
                                           Family{"IvfFlat", "IVF64,Flat", 32, kInt8, 128 + 32 + 4},
                                           Family{"IvfOfShortLists", "IVF1024,Flat", 100, kInt8, 400 + 100 + 4, 41000},
                                           Family{"IvfFlatWithoutCodes", "IVF64,Flat", 32, kNone, 128},
                                           Family{"IvfOfAGraph", "IVF64_HNSW8,Flat", 32, kInt8, 128 + 32 + 4},
                                           Family{"IvfSq8", "IVF64,SQ8", 64, kInt8, 64},
                                           Family{"IvfPq", "IVF64,PQ16", 64, kInt8, 16, 200000}),
                         [](const auto& family) { return std::string(family.param.name); });

}  // namespace
}  // namespace annulus::testing
