#include "index/codec.h"

#include <limits>

#include "tests/index/support.h"

namespace annulus {
namespace {

using testing::expect_error;
using testing::make_spec;
using testing::random_matrix;

const std::vector<std::string> kTrained = {"HNSW8,SQ8", "IVF8,Flat", "IVF8,SQ8", "IVF8,PQ4", "IVF32_HNSW4,Flat", "IVF8_HNSW4,PQ4"};

TEST(Codec, OfTheSameSamplesAndSeedHasTheSameFingerprint) {
  const Matrix samples = random_matrix(600, 16, 1);
  for (const std::string& factory : kTrained) {
    SCOPED_TRACE(factory);
    IndexSpec spec = make_spec(factory, Metric::kL2, 16);
    const auto codec = Codec::train(spec, samples);
    EXPECT_EQ(codec->fingerprint(), Codec::train(spec, samples)->fingerprint());
    EXPECT_NE(codec->fingerprint(), Codec::train(spec, random_matrix(600, 16, 2))->fingerprint());
    spec.metric = Metric::kInnerProduct;
    EXPECT_NE(codec->fingerprint(), Codec::train(spec, samples)->fingerprint());
    EXPECT_GT(codec->memory_bytes(), 0U);
    EXPECT_EQ(codec->version(), factory.find("Flat") != std::string::npos ? 2U : 1U);  // with a scale for int8 codes, or not
  }
}

TEST(Codec, DependsOnTheSeedWhereTrainingDoes) {
  const Matrix samples = random_matrix(600, 16, 1);
  IndexSpec spec = make_spec("IVF8,Flat", Metric::kL2, 16);
  const std::uint64_t first = Codec::train(spec, samples)->fingerprint();
  spec.seed = 99;
  EXPECT_NE(Codec::train(spec, samples)->fingerprint(), first);
}

TEST(Codec, TrainsOnRowsWithAStride) {
  const Matrix wide = random_matrix(300, 32, 3);
  const Matrix samples = wide.leftCols(16);
  const IndexSpec spec = make_spec("IVF8,SQ8", Metric::kL2, 16);
  EXPECT_EQ(Codec::train(spec, wide.leftCols(16))->fingerprint(), Codec::train(spec, samples)->fingerprint());
}

TEST(Codec, IsTheSameAfterBytesThereAndBack) {
  const Matrix samples = random_matrix(600, 16, 1);
  for (const std::string& factory : kTrained) {
    SCOPED_TRACE(factory);
    const IndexSpec spec = make_spec(factory, Metric::kCosine, 16);
    const auto codec = Codec::train(spec, samples);
    const std::string bytes = codec->to_bytes();
    const auto back = Codec::from_bytes(bytes);
    EXPECT_EQ(back->fingerprint(), codec->fingerprint());
    EXPECT_EQ(back->spec(), spec);
    EXPECT_EQ(back->to_bytes(), bytes);
  }
}

TEST(Codec, WithAnInt8ScaleHasItInItsFingerprint) {
  // Twice the spread around the same mean leaves k-means of one list where it is.
  const IndexSpec spec = make_spec("IVF1,Flat", Metric::kL2, 2);
  Matrix narrow(4, 2);
  narrow << -1, -1, -1, 1, 1, -1, 1, 1;
  const auto codec = Codec::train(spec, narrow);
  const auto wider = Codec::train(spec, narrow * 2);
  EXPECT_NE(codec->fingerprint(), wider->fingerprint());
  EXPECT_EQ(Codec::from_bytes(wider->to_bytes())->fingerprint(), wider->fingerprint());
}

TEST(Codec, MatchesSpecsThatDifferInSearchDefaultsOnly) {
  IndexSpec spec = make_spec("IVF8,Flat", Metric::kL2, 16);
  const auto codec = Codec::train(spec, random_matrix(100, 16, 1));
  spec.nprobe = 3;
  spec.ef = 9;
  spec.seed = 5;
  EXPECT_TRUE(codec->matches(spec));
  EXPECT_FALSE(codec->matches(make_spec("IVF9,Flat", Metric::kL2, 16)));
  EXPECT_FALSE(codec->matches(make_spec("IVF8,Flat", Metric::kInnerProduct, 16)));
  EXPECT_FALSE(codec->matches(make_spec("IVF8,Flat", Metric::kL2, 17)));
}

TEST(Codec, TrainsOnExactlyTheFewestSamplesAndPrintsNothing) {
  for (const std::string& factory : kTrained) {
    SCOPED_TRACE(factory);
    const IndexSpec spec = make_spec(factory, Metric::kL2, 16);
    const std::size_t least = min_training_samples(spec);
    ::testing::internal::CaptureStderr();
    ::testing::internal::CaptureStdout();
    EXPECT_NO_THROW(Codec::train(spec, random_matrix(least, 16, 4)));
    EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
    EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
    expect_error(ErrorCode::kInvalidArgument, {std::to_string(least - 1) + " training samples", std::to_string(least)},
                 [&] { Codec::train(spec, random_matrix(least - 1, 16, 4)); });
  }
}

TEST(Codec, RefusesSamplesThatAreNotVectorsOfTheSpec) {
  Matrix samples = random_matrix(300, 16, 1);
  const IndexSpec spec = make_spec("IVF8,Flat", Metric::kCosine, 16);
  expect_error(ErrorCode::kInvalidArgument, {"dimension 15", "16"}, [&] { Codec::train(spec, random_matrix(300, 15, 1)); });
  samples(7, 3) = std::numeric_limits<float>::infinity();
  expect_error(ErrorCode::kInvalidArgument, {"row 7", "training samples"}, [&] { Codec::train(spec, samples); });
  samples.row(7).setZero();
  expect_error(ErrorCode::kInvalidArgument, {"row 7", "zero"}, [&] { Codec::train(spec, samples); });
}

TEST(Codec, IsNotForIndexesThatNeedNoTraining) {
  for (const char* factory : {"Flat", "HNSW8"}) {
    expect_error(ErrorCode::kFailedPrecondition, {factory, "no training"},
                 [&] { Codec::train(make_spec(factory, Metric::kL2, 16), random_matrix(10, 16, 1)); });
  }
}

}  // namespace
}  // namespace annulus
