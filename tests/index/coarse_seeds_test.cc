#include "index/coarse_seeds.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexIVF.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <span>
#include <vector>

#include "index/codec.h"
#include "index/codec_impl.h"
#include "index/distance.h"
#include "index/faiss_factory.h"
#include "tests/index/support.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kDimension = 16;
constexpr std::size_t kClusters = 64;

Matrix centres() { return 10 * random_matrix(kClusters, kDimension, 99); }

/// Row i is of cluster i % kClusters.
Matrix clustered(std::size_t n, std::uint64_t seed) {
  const Matrix middles = centres();
  Matrix rows = 0.5F * random_matrix(n, kDimension, seed);
  for (Eigen::Index i = 0; i < rows.rows(); ++i) rows.row(i) += middles.row(i % static_cast<Eigen::Index>(kClusters));
  return rows;
}

std::size_t cluster_of(const float* row) {
  const Matrix middles = centres();
  std::vector<float> found(kClusters);
  distances(Metric::kL2, row, middles.data(), kClusters, kDimension, kDimension, found.data());
  return static_cast<std::size_t>(std::min_element(found.begin(), found.end()) - found.begin());
}

TEST(CoarseSeeds, AreRowsAndFindEveryCluster) {
  const Matrix rows = clustered(6400, 1);
  const std::vector<float> seeds = coarse_seeds(rows.data(), 6400, kDimension, kClusters, 7);
  ASSERT_EQ(seeds.size(), kClusters * kDimension);
  std::set<std::size_t> met;
  for (std::size_t i = 0; i < kClusters; ++i) {
    const float* seed = seeds.data() + i * kDimension;
    met.insert(cluster_of(seed));
    bool is_row = false;
    for (Eigen::Index row = 0; row < rows.rows() && !is_row; ++row) {
      is_row = std::equal(seed, seed + kDimension, rows.row(row).data());
    }
    EXPECT_TRUE(is_row) << i;
  }
  EXPECT_GE(met.size(), kClusters - 1);  // rows drawn evenly meet two thirds
}

TEST(CoarseSeeds, DependOnTheSeedAlone) {
  const Matrix rows = clustered(2000, 2);
  const std::vector<float> first = coarse_seeds(rows.data(), 2000, kDimension, 40, 7);
  EXPECT_EQ(first, coarse_seeds(rows.data(), 2000, kDimension, 40, 7));
  EXPECT_NE(first, coarse_seeds(rows.data(), 2000, kDimension, 40, 8));
}

TEST(CoarseSeeds, TakeWhatThereIs) {
  const Matrix rows = clustered(8, 3);
  std::vector<float> seeds = coarse_seeds(rows.data(), 8, kDimension, 8, 7);  // as many as rows: each of them once
  std::set<std::vector<float>> distinct;
  for (std::size_t i = 0; i < 8; ++i) {
    distinct.emplace(seeds.begin() + static_cast<std::ptrdiff_t>(i * kDimension),
                     seeds.begin() + static_cast<std::ptrdiff_t>((i + 1) * kDimension));
  }
  EXPECT_EQ(distinct.size(), 8U);

  const Matrix same = Matrix::Constant(100, kDimension, 3);
  seeds = coarse_seeds(same.data(), 100, kDimension, 10, 7);
  EXPECT_EQ(seeds, std::vector<float>(10 * kDimension, 3));

  Matrix huge = random_matrix(100, kDimension, 4);
  for (Eigen::Index i = 0; i < huge.size(); ++i) huge.data()[i] = huge.data()[i] > 0 ? 3e38F : -3e38F;
  ASSERT_TRUE(all_finite(huge.data(), 100 * kDimension));
  EXPECT_EQ(coarse_seeds(huge.data(), 100, kDimension, 10, 7).size(), 10 * kDimension);  // their distances are infinite
}

/// What FAISS learns by itself.
std::vector<float> centroids_of_faiss(const IndexSpec& spec, const Matrix& rows) {
  const auto index = make_untrained(spec, parse_spec(spec));
  index->train(rows.rows(), rows.data());
  const auto& quantizer = dynamic_cast<const faiss::IndexFlat&>(*dynamic_cast<const faiss::IndexIVF&>(*index).quantizer);
  return {quantizer.get_xb(), quantizer.get_xb() + quantizer.ntotal * quantizer.d};
}

TEST(CoarseSeeds, AreTakenWhereRowsLieInClustersAndNowhereElse) {
  for (const Metric metric : {Metric::kL2, Metric::kCosine}) {
    const IndexSpec spec = make_spec("IVF64,Flat", metric, kDimension);
    const auto learnt = [&](const Matrix& rows) {
      const auto codec = Codec::train(spec, rows);
      const std::span<const float> centroids = codec->impl().centroids();
      return std::vector<float>(centroids.begin(), centroids.end());
    };
    Matrix in_clusters = clustered(6400, 5);
    for (Eigen::Index i = 0; metric == Metric::kCosine && i < in_clusters.rows(); ++i) {
      normalise(in_clusters.row(i).data(), kDimension);
    }
    const Matrix anywhere = random_matrix(6400, kDimension, 5, metric == Metric::kCosine);
    EXPECT_NE(learnt(in_clusters), centroids_of_faiss(spec, in_clusters));
    EXPECT_EQ(learnt(anywhere), centroids_of_faiss(spec, anywhere));
  }
}

TEST(CoarseSeeds, GiveEachClusterAListOfItsOwn) {
  const Matrix rows = clustered(6400, 5);
  const Matrix queries = clustered(640, 6);
  const IndexSpec spec = make_spec("IVF64,Flat", Metric::kL2, kDimension);
  VectorIndex index(spec, Codec::train(spec, rows));
  index.upsert(ids_from(0, 6400), rows);
  const Answer found = search(index, queries, 10, {.nprobe = 1});
  std::size_t of_cluster = 0, full = 0;
  for (std::size_t i = 0; i < found.rows.size(); ++i) {
    full += found.rows[i].size() == 10 ? 1 : 0;
    for (const Candidate& candidate : found.rows[i]) of_cluster += candidate.id % kClusters == i % kClusters ? 1 : 0;
  }
  EXPECT_EQ(full, 640U);
  EXPECT_EQ(of_cluster, 6400U);
  // 64 centroids, the 100 rows of the cluster, and 40 candidates; lists that share clusters have several hundred rows
  EXPECT_LE(found.work.distances, 640U * 230);
}

}  // namespace
}  // namespace annulus::testing
