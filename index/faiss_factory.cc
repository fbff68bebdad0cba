#include "index/faiss_factory.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexScalarQuantizer.h>

#include <algorithm>

namespace annulus {
namespace {

constexpr int kQuantizerEfConstruction = 200;
constexpr auto kSq8 = faiss::ScalarQuantizer::QT_8bit;

int dimension(const IndexSpec& spec) noexcept { return static_cast<int>(spec.dimension); }

faiss::MetricType metric(const IndexSpec& spec) noexcept { return static_cast<faiss::MetricType>(faiss_metric(spec.metric)); }

}  // namespace

std::unique_ptr<faiss::IndexHNSW> make_faiss_hnsw(const IndexSpec& spec, const ParsedSpec& parsed) {
  std::unique_ptr<faiss::IndexHNSW> index;
  if (parsed.coding == Coding::kSq8) {
    index = std::make_unique<faiss::IndexHNSWSQ>(dimension(spec), kSq8, parsed.m, metric(spec));
  } else {
    index = std::make_unique<faiss::IndexHNSWFlat>(dimension(spec), parsed.m, metric(spec));
  }
  index->hnsw.efConstruction = spec.ef_construction;
  index->hnsw.efSearch = spec.ef;
  return index;
}

std::unique_ptr<faiss::IndexIVF> make_faiss_ivf(const IndexSpec& spec, const ParsedSpec& parsed, faiss::Index* quantizer) {
  const std::size_t d = spec.dimension;
  std::unique_ptr<faiss::IndexIVF> index;
  switch (parsed.coding) {
    case Coding::kFloat: index = std::make_unique<faiss::IndexIVFFlat>(quantizer, d, parsed.nlist, metric(spec)); break;
    case Coding::kSq8:
      index = std::make_unique<faiss::IndexIVFScalarQuantizer>(quantizer, d, parsed.nlist, kSq8, metric(spec), true);
      break;
    case Coding::kPq: {
      auto pq =
          std::make_unique<faiss::IndexIVFPQ>(quantizer, d, parsed.nlist, static_cast<std::size_t>(parsed.pq_m), 8, metric(spec));
      // Never: the tables cost nlist x M x 1 KiB for each index, so once for each shard.
      pq->use_precomputed_table = -1;
      index = std::move(pq);
      break;
    }
  }
  index->own_fields = false;
  index->nprobe = std::min(static_cast<std::size_t>(spec.nprobe), parsed.nlist);
  return index;
}

void copy_coding(const faiss::IndexIVF& from, faiss::IndexIVF& to) {
  if (auto* sq = dynamic_cast<faiss::IndexIVFScalarQuantizer*>(&to)) {
    sq->sq.trained = dynamic_cast<const faiss::IndexIVFScalarQuantizer&>(from).sq.trained;
  } else if (auto* pq = dynamic_cast<faiss::IndexIVFPQ*>(&to)) {
    pq->pq.centroids = dynamic_cast<const faiss::IndexIVFPQ&>(from).pq.centroids;
  }
  to.is_trained = true;
}

std::unique_ptr<faiss::Index> make_untrained(const IndexSpec& spec, const ParsedSpec& parsed) {
  if (parsed.family == IndexFamily::kHnsw) return make_faiss_hnsw(spec, parsed);
  std::unique_ptr<faiss::Index> quantizer;
  if (parsed.quantizer_m == 0) {
    quantizer = std::make_unique<faiss::IndexFlat>(dimension(spec), metric(spec));
  } else {
    auto graph = std::make_unique<faiss::IndexHNSWFlat>(dimension(spec), parsed.quantizer_m, metric(spec));
    graph->hnsw.efConstruction = kQuantizerEfConstruction;
    graph->hnsw.rng = faiss::RandomGenerator(faiss_seed(spec.seed, 1));
    quantizer = std::move(graph);
  }
  std::unique_ptr<faiss::IndexIVF> index = make_faiss_ivf(spec, parsed, quantizer.get());
  index->quantizer = quantizer.release();
  index->own_fields = true;
  // k-means on a flat index, then the centroids go into the graph, as FAISS's own factory has it.
  index->quantizer_trains_alone = parsed.quantizer_m == 0 ? 0 : 2;
  // As FAISS's factory: centroids of inner-product indexes are directions.
  index->cp.spherical = spec.metric != Metric::kL2;
  index->cp.seed = faiss_seed(spec.seed, 2);
  index->cp.min_points_per_centroid = 1;  // below it FAISS prints a warning; the least is min_training_samples's to say
  if (auto* pq = dynamic_cast<faiss::IndexIVFPQ*>(index.get())) {
    pq->pq.cp.seed = faiss_seed(spec.seed, 3);
    pq->pq.cp.min_points_per_centroid = 1;
  }
  return index;
}

int faiss_seed(std::uint64_t seed, std::uint64_t salt) noexcept {
  std::uint64_t z = seed + salt * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return static_cast<int>((z ^ (z >> 31)) & 0x7fffffff);
}

}  // namespace annulus
