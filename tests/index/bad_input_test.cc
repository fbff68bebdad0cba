// Every public call refuses what can never be right, and the index still works afterwards.
#include <limits>

#include "tests/index/support.h"

namespace annulus {
namespace {

using testing::expect_error;
using testing::filled_index;
using testing::ids_from;
using testing::Kind;
using testing::kind_name;
using testing::make_spec;
using testing::random_matrix;
using testing::search;

constexpr std::size_t kD = 16;

class BadInput : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override { before_ = index_.to_bytes(); }
  void TearDown() override {
    EXPECT_EQ(index_.to_bytes(), before_) << "a refused call changed the index";
    EXPECT_EQ(search(index_, data_.topRows(1), 1).rows[0].size(), 1U);
    index_.upsert(std::vector<VectorId>{1000}, data_.topRows(1));
    EXPECT_TRUE(index_.contains(1000));
  }

  Matrix data_ = random_matrix(300, kD, 1, GetParam().metric == Metric::kCosine);
  VectorIndex index_ = filled_index(make_spec(GetParam().factory, GetParam().metric, kD), data_);
  std::string before_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, BadInput,
                         ::testing::Values(Kind{"Flat", Metric::kCosine}, Kind{"HNSW8", Metric::kL2},
                                           Kind{"HNSW8,SQ8", Metric::kCosine}, Kind{"IVF8,Flat", Metric::kInnerProduct},
                                           Kind{"IVF8,PQ4", Metric::kCosine}),
                         kind_name);

TEST_P(BadInput, UpsertRefusesVectorsOfAnotherDimension) {
  expect_error(ErrorCode::kInvalidArgument, {"dimension 15", "expected 16"},
               [&] { index_.upsert(ids_from(0, 2), random_matrix(2, 15, 2)); });
}

TEST_P(BadInput, UpsertRefusesAnotherNumberOfIds) {
  expect_error(ErrorCode::kInvalidArgument, {"size 3", "expected 2"}, [&] { index_.upsert(ids_from(0, 3), data_.topRows(2)); });
}

TEST_P(BadInput, UpsertRefusesTheWholeBatchForOneBadComponent) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    Matrix vectors = data_.topRows(20);
    vectors(19, kD - 1) = bad;
    expect_error(ErrorCode::kInvalidArgument, {"row 19"}, [&] { index_.upsert(ids_from(290, 20), vectors); });
    EXPECT_FALSE(index_.contains(300));
  }
}

TEST_P(BadInput, AZeroVectorIsRefusedByCosineAlone) {
  const Matrix zero = Matrix::Zero(1, kD);
  if (GetParam().metric != Metric::kCosine) {
    EXPECT_EQ(search(index_, zero, 3).rows[0].size(), 3U);
    return;
  }
  expect_error(ErrorCode::kInvalidArgument, {"row 0", "zero"}, [&] { index_.upsert(ids_from(0, 1), zero); });
  expect_error(ErrorCode::kInvalidArgument, {"row 0", "zero"}, [&] { search(index_, zero, 3); });
  std::vector<float> out(1);
  expect_error(ErrorCode::kInvalidArgument, {"zero"}, [&] { index_.distances(zero.row(0), ids_from(0, 1), out); });
}

TEST_P(BadInput, SearchRefusesKOfZeroAndParametersThatAreNotPositive) {
  const Matrix query = data_.topRows(1);
  expect_error(ErrorCode::kInvalidArgument, {"k is 0"}, [&] { search(index_, query, 0); });
  expect_error(ErrorCode::kInvalidArgument, {"ef is 0"}, [&] { search(index_, query, 1, {.ef = 0, .nprobe = {}}); });
  expect_error(ErrorCode::kInvalidArgument, {"nprobe is -1"}, [&] { search(index_, query, 1, {.ef = {}, .nprobe = -1}); });
}

TEST_P(BadInput, SearchRefusesQueriesThatAreNotVectors) {
  Matrix query = data_.topRows(2);
  expect_error(ErrorCode::kInvalidArgument, {"queries", "17"}, [&] { search(index_, random_matrix(1, 17, 1), 1); });
  query(1, 0) = std::numeric_limits<float>::quiet_NaN();
  expect_error(ErrorCode::kInvalidArgument, {"row 1 of the queries"}, [&] { search(index_, query, 1); });
}

TEST_P(BadInput, SearchRefusesAnswersThatDoNotFit) {
  const Matrix queries = data_.topRows(2);
  std::vector<Candidate> out(9);
  std::vector<std::size_t> counts(2);
  expect_error(ErrorCode::kInvalidArgument, {"size 9", "expected 10"},
               [&] { index_.search(queries, 5, {}, nullptr, nullptr, out, counts); });
  out.resize(10);
  counts.resize(1);
  expect_error(ErrorCode::kInvalidArgument, {"size 1", "expected 2"},
               [&] { index_.search(queries, 5, {}, nullptr, nullptr, out, counts); });
  counts.resize(2);
  const std::size_t absurd = std::numeric_limits<std::size_t>::max() / 2 + 1;
  expect_error(ErrorCode::kInvalidArgument, {std::to_string(absurd)},
               [&] { index_.search(queries, absurd, {}, nullptr, nullptr, out, counts); });
}

TEST_P(BadInput, ReadersRefuseRoomOfAnotherSize) {
  std::vector<float> short_vector(kD - 1);
  expect_error(ErrorCode::kInvalidArgument, {"size 15", "expected 16"}, [&] { index_.reconstruct(0, short_vector); });
  std::vector<VectorId> ids(299);
  expect_error(ErrorCode::kInvalidArgument, {"size 299", "expected 300"}, [&] { index_.ids(ids); });
  std::vector<float> distances(2);
  expect_error(ErrorCode::kInvalidArgument, {"size 2", "expected 3"},
               [&] { index_.distances(data_.row(0), ids_from(0, 3), distances); });
  expect_error(ErrorCode::kInvalidArgument, {"dimension 4", "expected 16"},
               [&] { index_.distances(Vector::Ones(4), ids_from(0, 2), distances); });
  const Matrix queries = data_.topRows(2);
  expect_error(ErrorCode::kInvalidArgument, {"size 2", "expected 1"},
               [&] { index_.distances(queries, std::vector<Pair>{{0, 1}}, distances); });
  expect_error(ErrorCode::kInvalidArgument, {"query 2", "2 queries"},
               [&] { index_.distances(queries, std::vector<Pair>{{0, 1}, {2, 1}}, distances); });
}

TEST_P(BadInput, AbsentIdsAreInfinitelyFarAndEraseToNothing) {
  std::vector<float> found(2);
  index_.distances(data_.row(3), std::vector<VectorId>{3, 555}, found);
  EXPECT_TRUE(std::isfinite(found[0]));
  EXPECT_EQ(found[1], std::numeric_limits<float>::infinity());
  EXPECT_EQ(index_.erase(std::vector<VectorId>{555}), 0U);
  EXPECT_EQ(index_.erase({}), 0U);
  index_.upsert({}, Matrix(0, kD));
}

TEST_P(BadInput, AttachCodecRefusesAnIndexThatNeedsNoneOrIsNotEmpty) {
  const auto codec = Codec::train(make_spec("IVF8,Flat", Metric::kInnerProduct, kD), data_);
  if (index_.codec() == nullptr) {
    expect_error(ErrorCode::kFailedPrecondition, {"needs no codec"}, [&] { index_.attach_codec(codec); });
  } else {
    expect_error(ErrorCode::kFailedPrecondition, {"holds 300 vectors"}, [&] { index_.attach_codec(index_.codec()); });
    expect_error(ErrorCode::kInvalidArgument, {"null codec"}, [&] { index_.attach_codec(nullptr); });
  }
}

TEST(Untrained, IndexSaysWhatToDoUntilItHasItsCodec) {
  const Matrix data = random_matrix(300, kD, 1);
  for (const char* factory : {"HNSW8,SQ8", "IVF8,Flat", "IVF8_HNSW4,PQ4"}) {
    SCOPED_TRACE(factory);
    const IndexSpec spec = make_spec(factory, Metric::kL2, kD);
    VectorIndex index(spec);
    EXPECT_FALSE(index.ready());
    EXPECT_EQ(index.codec(), nullptr);
    EXPECT_EQ(index.size(), 0U);
    EXPECT_GT(index.memory_bytes(), 0U);
    EXPECT_EQ(index.erase(ids_from(0, 3)), 0U);
    EXPECT_FALSE(index.compacted().ready());
    std::vector<float> out(1);
    const std::vector<std::string> advice = {factory, "untrained", "train a Codec"};
    expect_error(ErrorCode::kFailedPrecondition, advice, [&] { index.upsert(ids_from(0, 300), data); });
    expect_error(ErrorCode::kFailedPrecondition, advice, [&] { search(index, data.topRows(1), 1); });
    expect_error(ErrorCode::kFailedPrecondition, advice, [&] { index.distances(data.row(0), ids_from(0, 1), out); });

    const VectorIndex loaded = VectorIndex::from_bytes(index.to_bytes());
    EXPECT_FALSE(loaded.ready());

    const auto codec = Codec::train(spec, data);
    EXPECT_TRUE(VectorIndex::from_bytes(index.to_bytes(), codec).ready());
    index.attach_codec(codec);
    index.attach_codec(codec);
    EXPECT_TRUE(index.ready());
    index.upsert(ids_from(0, 300), data);
    EXPECT_EQ(search(index, data.topRows(1), 1).rows[0].size(), 1U);
  }
}

TEST(Untrained, IndexRefusesACodecOfAnotherSpec) {
  const Matrix data = random_matrix(300, kD, 1);
  const auto codec = Codec::train(make_spec("IVF8,Flat", Metric::kL2, kD), data);
  expect_error(ErrorCode::kInvalidArgument, {"\"IVF8,Flat\"", "\"IVF9,Flat\""},
               [&] { VectorIndex(make_spec("IVF9,Flat", Metric::kL2, kD), codec); });
  expect_error(ErrorCode::kInvalidArgument, {"metric l2", "metric cosine"},
               [&] { VectorIndex(make_spec("IVF8,Flat", Metric::kCosine, kD), codec); });
  expect_error(ErrorCode::kFailedPrecondition, {"needs no codec"}, [&] { VectorIndex(make_spec("Flat", Metric::kL2, kD), codec); });
}

}  // namespace
}  // namespace annulus
