// Random lives of an index against a map of what it must hold.
#include <cstring>
#include <map>

#include "tests/index/support.h"

namespace annulus {
namespace {

using testing::brute_force;
using testing::every_kind;
using testing::filled_index;
using testing::ids_from;
using testing::Kind;
using testing::kind_name;
using testing::make_index;
using testing::make_spec;
using testing::random_matrix;
using testing::recall;
using testing::search;

constexpr std::size_t kD = 16;

class MutateEveryKind : public ::testing::TestWithParam<Kind> {
 protected:
  Matrix data(std::size_t n, std::uint64_t seed) const { return random_matrix(n, kD, seed, GetParam().metric == Metric::kCosine); }
  IndexSpec spec() const { return make_spec(GetParam().factory, GetParam().metric, kD); }
  bool lossy() const {
    return GetParam().factory.find("SQ8") != std::string::npos || GetParam().factory.find("PQ") != std::string::npos;
  }
  bool graph() const { return GetParam().factory.rfind("HNSW", 0) == 0; }
};

INSTANTIATE_TEST_SUITE_P(Kinds, MutateEveryKind, ::testing::ValuesIn(every_kind()), kind_name);

using Vectors = std::map<VectorId, std::vector<float>>;

/// Every statement of the index about itself agrees with `oracle`.
void expect_holds(const VectorIndex& index, const Vectors& oracle, const Matrix& queries, bool lossy) {
  ASSERT_EQ(index.size(), oracle.size());
  std::vector<VectorId> ids(oracle.size());
  index.ids(ids);
  std::sort(ids.begin(), ids.end());
  std::size_t i = 0;
  Vectors decoded;
  for (const auto& [id, vector] : oracle) {
    ASSERT_EQ(ids[i++], id);
    ASSERT_TRUE(index.contains(id));
    std::vector<float> out(kD);
    ASSERT_TRUE(index.reconstruct(id, out));
    if (!lossy) {
      ASSERT_EQ(std::memcmp(out.data(), vector.data(), kD * sizeof(float)), 0);
    }
    const float error = l2_squared(out.data(), vector.data(), kD);
    const std::vector<float> origin(kD, 0.0F);
    ASSERT_LE(error, 0.8F * l2_squared(origin.data(), vector.data(), kD) + 1e-3F) << "not the vector of this id";
    decoded[id] = out;
  }
  std::vector<std::pair<VectorId, const float*>> rows;
  for (const auto& [id, vector] : decoded) rows.emplace_back(id, vector.data());
  const testing::Answer answer = search(index, queries, 10, {.ef = 500, .nprobe = 8});
  double found = 0;
  for (std::size_t q = 0; q < answer.rows.size(); ++q) {
    ASSERT_EQ(answer.rows[q].size(), std::min<std::size_t>(10, oracle.size()));
    for (const Candidate& candidate : answer.rows[q]) ASSERT_TRUE(oracle.contains(candidate.id));
    const float* query = queries.row(static_cast<Eigen::Index>(q)).data();
    found += recall(brute_force(index.spec().metric, query, kD, rows, 10), answer.rows[q]);
  }
  EXPECT_GE(found / static_cast<double>(answer.rows.size()), 0.98);
}

TEST_P(MutateEveryKind, HoldsWhatAMapHoldsThroughARandomLife) {
  const std::uint64_t seed = 20240607;
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const Matrix queries = data(5, 1);
  VectorIndex index = make_index(spec(), data(600, 2));
  Vectors oracle;
  for (int step = 0; step < 60; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const auto choice = random() % 10;
    if (choice < 5) {
      const std::size_t n = 1 + random() % 40;
      const Matrix vectors = data(n, random());
      std::vector<VectorId> ids(n);
      for (VectorId& id : ids) id = (random() % 200) << 56;  // equal ids in one batch happen
      index.upsert(ids, vectors);
      for (std::size_t i = 0; i < n; ++i) {
        const float* row = vectors.row(static_cast<Eigen::Index>(i)).data();
        oracle[ids[i]] = {row, row + kD};
      }
    } else if (choice < 8) {
      std::vector<VectorId> ids(1 + random() % 30);
      for (VectorId& id : ids) id = (random() % 200) << 56;
      std::size_t expected = 0;
      for (const VectorId id : ids) expected += oracle.erase(id);
      EXPECT_EQ(index.erase(ids), expected);
    } else if (choice == 8) {
      const std::string bytes = index.to_bytes();
      VectorIndex loaded = VectorIndex::from_bytes(bytes, random() % 2 == 0 ? index.codec() : nullptr);
      EXPECT_EQ(loaded.to_bytes(), bytes);
      index = std::move(loaded);
    } else {
      index = index.compacted();
      EXPECT_EQ(index.dead_rows(), 0U);
    }
    if (step % 6 == 5) expect_holds(index, oracle, queries, lossy());
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(oracle.size(), 10U);
}

TEST_P(MutateEveryKind, TellsLosslessFromLossy) {
  const VectorIndex index = filled_index(spec(), data(300, 3));
  EXPECT_EQ(index.lossless(), !lossy());
  EXPECT_TRUE(index.ready());
  EXPECT_GT(index.memory_bytes(), 300 * (lossy() ? kD / 2 : kD * 4));
}

TEST_P(MutateEveryKind, OverwritesInsteadOfDoubling) {
  VectorIndex index = filled_index(spec(), data(300, 4));
  const Matrix fresh = data(300, 5);
  index.upsert(ids_from(0, 300), fresh);
  EXPECT_EQ(index.size(), 300U);
  EXPECT_EQ(index.dead_rows(), graph() ? 300U : 0U);
  EXPECT_DOUBLE_EQ(index.dead_fraction(), graph() ? 0.5 : 0.0);
  const VectorIndex once = [&] {
    VectorIndex made(spec(), index.codec());
    made.upsert(ids_from(0, 300), fresh);
    return made;
  }();
  std::vector<float> a(kD);
  std::vector<float> b(kD);
  for (VectorId id = 0; id < 300; ++id) {
    ASSERT_TRUE(index.reconstruct(id, a));
    ASSERT_TRUE(once.reconstruct(id, b));
    ASSERT_EQ(a, b);
  }
}

TEST_P(MutateEveryKind, TakesTheLastOfEqualIdsInOneCall) {
  VectorIndex index = make_index(spec(), data(300, 6));
  const Matrix vectors = data(4, 7);
  index.upsert(std::vector<VectorId>{7, 8, 7, 7}, vectors);
  EXPECT_EQ(index.size(), 2U);
  EXPECT_EQ(index.dead_rows(), 0U);
  VectorIndex last(spec(), index.codec());
  last.upsert(std::vector<VectorId>{7}, vectors.bottomRows(1));
  std::vector<float> a(kD);
  std::vector<float> b(kD);
  ASSERT_TRUE(index.reconstruct(7, a));
  ASSERT_TRUE(last.reconstruct(7, b));
  EXPECT_EQ(a, b);
}

TEST_P(MutateEveryKind, IsAsNewAfterAllIsErased) {
  const Matrix rows = data(300, 8);
  VectorIndex index = filled_index(spec(), rows);
  EXPECT_EQ(index.erase(ids_from(0, 1000)), 300U);
  EXPECT_EQ(index.erase(ids_from(0, 1000)), 0U);
  EXPECT_EQ(index.size(), 0U);
  EXPECT_TRUE(search(index, rows.topRows(1), 3).rows[0].empty());
  index.upsert(ids_from(5, 300), rows);
  EXPECT_EQ(search(index, rows.topRows(1), 300, {.ef = 300, .nprobe = 8}).rows[0].size(), 300U);
  std::vector<float> out(kD);
  EXPECT_FALSE(index.reconstruct(4, out));
  EXPECT_FALSE(index.contains(305));
}

TEST_P(MutateEveryKind, CompactsToTheSameCodesWithoutTheDead) {
  const Matrix rows = data(500, 9);
  VectorIndex index = filled_index(spec(), rows);
  std::vector<VectorId> doomed;
  for (VectorId id = 0; id < 500; id += 3) doomed.push_back(id);
  index.erase(doomed);
  const VectorIndex compact = index.compacted();
  EXPECT_EQ(compact.size(), index.size());
  EXPECT_EQ(compact.dead_rows(), 0U);
  EXPECT_EQ(compact.codec(), index.codec());
  EXPECT_EQ(compact.spec(), index.spec());
  if (graph()) {
    EXPECT_LT(compact.memory_bytes(), index.memory_bytes());
  }
  std::vector<float> a(kD);
  std::vector<float> b(kD);
  for (VectorId id = 0; id < 500; ++id) {
    ASSERT_EQ(index.reconstruct(id, a), compact.reconstruct(id, b));
    if (id % 3 != 0) {
      ASSERT_EQ(a, b);
    }
  }
}

TEST(MutateIvf, ReusesTheRowsOfErasedVectors) {
  VectorIndex index = filled_index(make_spec("IVF8,Flat", Metric::kL2, kD), random_matrix(400, kD, 10));
  const std::size_t before = index.memory_bytes();
  for (std::uint64_t round = 0; round < 50; ++round) {
    index.erase(ids_from(100 * (round % 4), 100));
    index.upsert(ids_from(100 * (round % 4), 100), random_matrix(100, kD, round));
  }
  EXPECT_EQ(index.size(), 400U);
  EXPECT_LE(index.memory_bytes(), before + before / 4);
}

TEST(MutateHnsw, GrowsOnAfterALoadAsItWouldHaveWithout) {
  const Matrix rows = random_matrix(600, kD, 11);
  VectorIndex index = filled_index(make_spec("HNSW8", Metric::kL2, kD), rows.topRows(300));
  VectorIndex loaded = VectorIndex::from_bytes(index.to_bytes());
  index.upsert(ids_from(300, 300), rows.bottomRows(300));
  loaded.upsert(ids_from(300, 300), rows.bottomRows(300));
  EXPECT_EQ(index.to_bytes(), loaded.to_bytes());
}

TEST(MutateHnsw, IsTheSameForTheSameSeedAndInputAndAnotherForAnotherSeed) {
  const Matrix rows = random_matrix(300, kD, 12);
  IndexSpec spec = make_spec("HNSW8", Metric::kL2, kD);
  const std::string first = filled_index(spec, rows).to_bytes();
  EXPECT_EQ(filled_index(spec, rows).to_bytes(), first);
  spec.seed = 4321;
  const std::string other = filled_index(spec, rows).to_bytes();
  // The seed itself is 8 of the bytes, the checksum 16 more; the levels differ besides.
  ASSERT_TRUE(other.size() != first.size() || std::inner_product(first.begin(), first.end(), other.begin(), std::size_t{0},
                                                                 std::plus<>(), std::not_equal_to<>()) > 100);
}

}  // namespace
}  // namespace annulus
