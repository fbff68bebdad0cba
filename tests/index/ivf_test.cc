// What IVF has of its own: searches by codes, one query or many, shards under one bound, codes that move between indexes.
#include <algorithm>
#include <limits>
#include <random>

#include "tests/index/support.h"

namespace annulus {
namespace {

using testing::expect_error;
using testing::filled_index;
using testing::FilterBy;
using testing::ids_from;
using testing::Kind;
using testing::make_index;
using testing::make_spec;
using testing::OrderBy;
using testing::random_matrix;
using testing::recall;
using testing::search;

constexpr std::size_t kD = 24;

class IvfOfEveryMetric : public ::testing::TestWithParam<Metric> {
 protected:
  Matrix data(std::size_t n, std::uint64_t seed) const { return random_matrix(n, kD, seed, GetParam() == Metric::kCosine); }
  IndexSpec spec(const std::string& factory = "IVF16,Flat") const { return make_spec(factory, GetParam(), kD); }
};

INSTANTIATE_TEST_SUITE_P(Metrics, IvfOfEveryMetric, ::testing::Values(Metric::kL2, Metric::kInnerProduct, Metric::kCosine),
                         [](const auto& metric) { return std::string(to_string(metric.param)); });

TEST_P(IvfOfEveryMetric, AnswersAQueryInABatchAsItAnswersItAlone) {
  for (const char* factory : {"IVF16,Flat", "IVF16_HNSW4,Flat"}) {
    VectorIndex index = filled_index(spec(factory), data(3000, 1));
    index.erase(ids_from(100, 300));
    const Matrix queries = data(150, 2);
    const FilterBy odd([](VectorId id) { return id % 2 == 1; });
    const OrderBy reversed([](VectorId a, VectorId b) { return a > b; });
    for (const int nprobe : {1, 5, 16}) {
      for (const Filter* filter : {static_cast<const Filter*>(nullptr), static_cast<const Filter*>(&odd)}) {
        const SearchParams params{.nprobe = nprobe, .filter_method = FilterMethod::kIndex};  // a scan may pay for many alone
        const auto together = search(index, queries, 7, params, filter, &reversed);
        std::uint64_t distances = 0;
        for (Eigen::Index i = 0; i < queries.rows(); ++i) {
          const auto alone = search(index, queries.row(i), 7, params, filter, &reversed);
          ASSERT_EQ(together.rows[static_cast<std::size_t>(i)], alone.rows[0]) << factory << " " << nprobe << " " << i;
          distances += alone.work.distances;
        }
        if (filter == nullptr) {
          EXPECT_EQ(together.work.distances, distances) << factory << " " << nprobe;
        }
      }
    }
  }
}

TEST_P(IvfOfEveryMetric, FindsByCodesWhatItFindsByFloats) {
  IndexSpec by_floats = spec();
  by_floats.search_codes = SearchCodes::kNone;
  const Matrix rows = data(4000, 3);
  const VectorIndex coded = filled_index(spec(), rows);
  const VectorIndex plain = filled_index(by_floats, rows);
  EXPECT_FALSE(coded.candidates_are_exact());
  EXPECT_TRUE(plain.candidates_are_exact());
  EXPECT_GT(coded.memory_bytes(), 4000 * kD * (sizeof(float) + 1)) << "vectors and codes";
  const Matrix queries = data(100, 4);
  const auto by_codes = search(coded, queries, 10, {.nprobe = 6});
  const auto truth = search(plain, queries, 10, {.nprobe = 6});
  double sum = 0;
  for (std::size_t i = 0; i < 100; ++i) {
    ASSERT_EQ(by_codes.rows[i].size(), 10U);
    sum += recall(truth.rows[i], by_codes.rows[i]);
    for (const Candidate& candidate : by_codes.rows[i]) {
      EXPECT_EQ(candidate.distance, distance(GetParam(), queries.row(static_cast<Eigen::Index>(i)).data(),
                                             rows.row(static_cast<Eigen::Index>(candidate.id)).data(), kD));
    }
  }
  EXPECT_GE(sum / 100, 0.995);
}

TEST_P(IvfOfEveryMetric, LosesNothingOfTheNearestUnderABoundThatShardsShare) {
  const Matrix rows = data(6000, 5);
  const VectorIndex whole = filled_index(spec(), rows);
  std::vector<VectorIndex> shards;
  for (VectorId s = 0; s < 4; ++s) {
    shards.emplace_back(spec(), whole.codec());
    for (VectorId id = s; id < 6000; id += 4)
      shards.back().upsert(std::vector<VectorId>{id}, rows.row(static_cast<Eigen::Index>(id)));
  }
  for (const std::size_t n : {1UL, 60UL}) {
    const Matrix queries = data(n, 6);
    const QueryBatch batch(spec(), queries, {.nprobe = 9}, whole.codec());
    constexpr std::size_t kWanted = 30;
    std::vector<SharedBound> bounds(n);
    std::vector<std::vector<Candidate>> merged(n);
    std::vector<Candidate> out(n * kWanted);
    std::vector<std::size_t> counts(n);
    for (const VectorIndex& shard : shards) {
      shard.candidates(batch, kWanted, nullptr, nullptr, bounds, out, counts);
      for (std::size_t i = 0; i < n; ++i) {
        merged[i].insert(merged[i].end(), out.begin() + static_cast<std::ptrdiff_t>(i * kWanted),
                         out.begin() + static_cast<std::ptrdiff_t>(i * kWanted + counts[i]));
      }
    }
    whole.candidates(batch, kWanted, nullptr, nullptr, {}, out, counts);
    std::size_t offered = 0;
    for (std::size_t i = 0; i < n; ++i) {
      std::sort(merged[i].begin(), merged[i].end(), [](const Candidate& a, const Candidate& b) {
        return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
      });
      ASSERT_EQ(counts[i], kWanted);
      ASSERT_GE(merged[i].size(), kWanted);
      offered += merged[i].size();
      merged[i].resize(kWanted);
      EXPECT_EQ(merged[i], std::vector<Candidate>(out.begin() + static_cast<std::ptrdiff_t>(i * kWanted),
                                                  out.begin() + static_cast<std::ptrdiff_t>((i + 1) * kWanted)));
    }
    if (n > 1) {
      EXPECT_LT(offered, n * 4 * kWanted) << "a bound leaves something out";
    }
  }
}

TEST_P(IvfOfEveryMetric, AnswersOnDataOfAnyScale) {
  for (const float scale : {1e-12F, 1e8F, 1e15F}) {
    const Matrix rows = data(1000, 7) * scale;
    const VectorIndex index = filled_index(spec("IVF4,Flat"), rows);
    const Matrix queries = data(20, 8) * scale;
    const auto found = search(index, queries, 5, {.nprobe = 4});
    for (std::size_t i = 0; i < 20; ++i) {
      const auto truth =
          testing::brute_force(GetParam(), queries.row(static_cast<Eigen::Index>(i)).data(), kD, testing::rows_of(rows), 5);
      EXPECT_GE(recall(truth, found.rows[i]), 0.8) << scale;
    }
  }
}

TEST(Ivf, SearchesWhatItSavedByTheSameCodes) {
  const Matrix rows = random_matrix(2000, kD, 9);
  VectorIndex index = filled_index(make_spec("IVF16,Flat", Metric::kL2, kD), rows);
  index.erase(ids_from(500, 500));
  index.upsert(ids_from(100, 50), rows.topRows(50));
  const Matrix queries = random_matrix(40, kD, 10);
  const auto before = search(index, queries, 10, {.nprobe = 3});
  EXPECT_EQ(search(VectorIndex::from_bytes(index.to_bytes()), queries, 10, {.nprobe = 3}).rows, before.rows);
  EXPECT_EQ(search(index.compacted(), queries, 10, {.nprobe = 3}).rows, before.rows);
}

/// Stages rows first to first + n - 1 of `rows` under their numbers, and commits them. Returns how often it had to be alone.
std::size_t upsert_counted(VectorIndex& index, const Matrix& rows, Eigen::Index first, Eigen::Index n) {
  std::size_t alone = 0;
  StagedRows staged = index.stage(ids_from(static_cast<VectorId>(first), static_cast<std::size_t>(n)), rows.middleRows(first, n),
                                  [&](const std::function<void()>& step) { ++alone, step(); });
  index.commit(staged, 0);
  while (staged.left() != 0) index.commit(staged, 50);
  return alone;
}

TEST(Ivf, StagesRowsBesideSearches) {
  const Matrix rows = random_matrix(4000, kD, 21);
  for (const char* factory : {"IVF16,Flat", "IVF16,SQ8"}) {
    VectorIndex index = make_index(make_spec(factory, Metric::kL2, kD), rows);
    for (Eigen::Index first = 0; first < 4000; first += 80) ASSERT_EQ(upsert_counted(index, rows, first, 80), 0U) << factory;
    EXPECT_EQ(upsert_counted(index, rows, 40, 80), 0U) << factory;  // overwrites
    EXPECT_EQ(upsert_counted(index, rows, 0, 4000), 0U) << factory;
    EXPECT_EQ(index.size(), 4000U);
    for (Eigen::Index i = 0; i < 4000; i += 37) {
      ASSERT_EQ(search(index, rows.row(i), 1, {.nprobe = 16}).rows[0][0].id, static_cast<VectorId>(i)) << factory;
    }
  }
}

TEST(Ivf, StagesAnewWhatItGaveUpInTheMiddle) {
  const Matrix rows = random_matrix(2000, kD, 23);
  for (const char* factory : {"IVF16,Flat", "IVF16,SQ8"}) {
    VectorIndex index = make_index(make_spec(factory, Metric::kL2, kD), rows);
    const auto at_once = [](const std::function<void()>& step) { step(); };
    StagedRows staged = index.stage(ids_from(0, 2000), rows, at_once);
    index.commit(staged, 700);
    index.abandon(staged);
    EXPECT_EQ(index.size(), 700U);
    staged = index.stage(ids_from(500, 1500), rows.bottomRows(1500), at_once);
    index.commit(staged, 1500);
    EXPECT_EQ(index.size(), 2000U);
    for (Eigen::Index i = 0; i < 2000; i += 13) {
      ASSERT_EQ(search(index, rows.row(i), 1, {.nprobe = 16}).rows[0][0].id, static_cast<VectorId>(i)) << factory;
    }
  }
}

class IvfCodesOf : public ::testing::TestWithParam<Kind> {};

std::vector<Kind> encoding_kinds() {
  std::vector<Kind> kinds = testing::every_kind();
  std::erase_if(kinds, [](const Kind& kind) { return kind.factory.substr(0, 3) != "IVF"; });
  return kinds;
}

INSTANTIATE_TEST_SUITE_P(Kinds, IvfCodesOf, ::testing::ValuesIn(encoding_kinds()), testing::kind_name);

TEST_P(IvfCodesOf, MoveToAnotherIndexOfTheCodecBitForBit) {
  const Matrix rows = random_matrix(600, kD, 11, GetParam().metric == Metric::kCosine);
  const IndexSpec spec = make_spec(GetParam().factory, GetParam().metric, kD);
  const VectorIndex source = filled_index(spec, rows);
  VectorIndex target(spec, Codec::from_bytes(source.codec()->to_bytes()));
  const std::size_t bytes = source.code_bytes();
  ASSERT_GT(bytes, 4U);
  ASSERT_EQ(target.code_bytes(), bytes);
  // In two lots, the second of which overwrites some of the first with what they were and names one twice.
  target.upsert(ids_from(1000, 50), rows.bottomRows(50));
  for (const auto& [first, count] : {std::pair<VectorId, std::size_t>{0, 400}, {300, 300}}) {
    std::vector<VectorId> ids;
    std::vector<std::uint8_t> codes((count + 1) * bytes);
    for (std::size_t i = 0; i <= count; ++i) {
      const VectorId id = first + (i == count ? 0 : i);
      ASSERT_TRUE(source.read_code(id, std::span(codes).subspan(i * bytes, bytes)));
      ids.push_back(1000 + id);
    }
    target.upsert_codes(ids, codes);
  }
  ASSERT_EQ(target.size(), 600U);
  std::vector<float> there(kD);
  std::vector<float> here(kD);
  for (VectorId id = 0; id < 600; ++id) {
    ASSERT_TRUE(source.reconstruct(id, here));
    ASSERT_TRUE(target.reconstruct(1000 + id, there));
    ASSERT_EQ(here, there);
  }
  const Matrix queries = random_matrix(20, kD, 12, GetParam().metric == Metric::kCosine);
  auto expected = search(source, queries, 10, {.nprobe = 4}).rows;
  for (auto& answer : expected) {
    for (Candidate& candidate : answer) candidate.id += 1000;
  }
  EXPECT_EQ(search(target, queries, 10, {.nprobe = 4}).rows, expected);
}

TEST(IvfCodes, AreRefusedIfNoIndexCouldHoldThem) {
  VectorIndex index = filled_index(make_spec("IVF8,Flat", Metric::kCosine, kD), random_matrix(200, kD, 13, true));
  std::vector<std::uint8_t> code(index.code_bytes());
  ASSERT_TRUE(index.read_code(7, code));
  EXPECT_FALSE(index.read_code(999, code));
  const std::vector<VectorId> ids = {500};
  expect_error(ErrorCode::kInvalidArgument, {"the span of codes", std::to_string(code.size() - 1)},
               [&] { index.upsert_codes(ids, std::span(code).first(code.size() - 1)); });
  expect_error(ErrorCode::kInvalidArgument, {"the code to write"}, [&] { index.read_code(7, std::span(code).first(3)); });
  std::vector<std::uint8_t> bad = code;
  bad[0] = 8;
  expect_error(ErrorCode::kInvalidArgument, {"code 0", "list 8", "8"}, [&] { index.upsert_codes(ids, bad); });
  bad = code;
  std::fill(bad.begin() + 4, bad.begin() + 8, std::uint8_t{255});
  expect_error(ErrorCode::kInvalidArgument, {"code 0", "NaN"}, [&] { index.upsert_codes(ids, bad); });
  bad = code;
  std::fill(bad.begin() + 4, bad.end(), std::uint8_t{0});
  expect_error(ErrorCode::kInvalidArgument, {"code 0", "zero vector"}, [&] { index.upsert_codes(ids, bad); });
  EXPECT_EQ(index.size(), 200U);
  index.upsert_codes(ids, code);
  EXPECT_TRUE(index.contains(500));
}

TEST(IvfCodes, AreOfListsAlone) {
  VectorIndex flat(make_spec("Flat", Metric::kL2, kD));
  EXPECT_EQ(flat.code_bytes(), 0U);
  expect_error(ErrorCode::kFailedPrecondition, {"Flat", "no codes"}, [&] { flat.upsert_codes({}, {}); });
  VectorIndex untrained(make_spec("IVF8,Flat", Metric::kL2, kD));
  EXPECT_EQ(untrained.code_bytes(), 0U);
  expect_error(ErrorCode::kFailedPrecondition, {"untrained"}, [&] { untrained.upsert_codes({}, {}); });
}

}  // namespace
}  // namespace annulus
