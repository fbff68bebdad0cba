#include "index/codec_impl.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexScalarQuantizer.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "index/distance.h"
#include "index/faiss_factory.h"
#include "index/graph_walk.h"
#include "index/row_store.h"
#include "index/top_k.h"

namespace annulus {
namespace {

/// The walk over a graph of centroids keeps this many at least.
constexpr std::size_t kMinQuantizerEf = 64;

class CentroidDistances final : public RowDistances {
 public:
  CentroidDistances(Metric metric, const float* query, const float* centroids, std::size_t d) noexcept
      : metric_(metric), query_(query), centroids_(centroids), d_(d) {}
  void operator()(std::span<const Row> rows, float* out) override {
    distances_gather(metric_, query_, centroids_, rows.data(), rows.size(), d_, out);
  }

 private:
  Metric metric_;
  const float* query_;
  const float* centroids_;
  std::size_t d_;
};

void check_floats(const float* data, std::size_t n, const char* problem) { check_loaded(all_finite(data, n), problem); }

/// Copies the vectors of a loaded IndexFlat into `to`, which is empty.
void copy_flat(const faiss::Index* from, std::size_t n, faiss::IndexFlat& to) {
  const auto* flat = dynamic_cast<const faiss::IndexFlat*>(from);
  check_loaded(flat != nullptr && flat->d == to.d && same_bytes(flat->metric_type, to.metric_type),
               "its centroids are of another kind");
  check_loaded(static_cast<std::size_t>(flat->ntotal) == n && flat->codes.size() == n * to.code_size,
               "it has another number of centroids than its spec");
  check_floats(flat->get_xb(), n * static_cast<std::size_t>(to.d), "a centroid is not finite");
  to.codes = flat->codes;
  to.ntotal = flat->ntotal;
}

void copy_scales(const faiss::ScalarQuantizer& from, faiss::ScalarQuantizer& to) {
  check_loaded(
      same_bytes(from.qtype, to.qtype) && from.d == to.d && from.code_size == to.code_size && from.trained.size() == 2 * to.d,
      "its int8 scales are of another shape than its spec");
  check_floats(from.trained.data(), from.trained.size(), "an int8 scale is not finite");
  to.trained = from.trained;
}

void copy_codebooks(const faiss::ProductQuantizer& from, faiss::ProductQuantizer& to) {
  check_loaded(from.d == to.d && from.M == to.M && from.nbits == to.nbits && from.centroids.size() == to.centroids.size(),
               "its codebooks are of another shape than its spec");
  check_floats(from.centroids.data(), from.centroids.size(), "a codebook entry is not finite");
  to.centroids = from.centroids;
}

Int8Scale read_scale(const IndexSpec& spec, const ParsedSpec& parsed, std::string_view bytes) {
  check_loaded(has_row_scale(spec, parsed) && bytes.size() == (spec.dimension + 1) * sizeof(float),
               "its int8 scale is of another shape than its spec");
  float scale;
  std::vector<float> centre(spec.dimension);
  std::memcpy(&scale, bytes.data(), sizeof scale);
  std::memcpy(centre.data(), bytes.data() + sizeof scale, bytes.size() - sizeof scale);
  try {
    return Int8Scale(spec.metric, std::move(centre), scale);
  } catch (const Error& e) {
    throw Error(ErrorCode::kDataLoss, e.what());
  }
}

void copy_quantizer(const ParsedSpec& parsed, const faiss::Index* from, faiss::Index& to) {
  if (parsed.quantizer_m == 0) return copy_flat(from, parsed.nlist, dynamic_cast<faiss::IndexFlat&>(to));
  const auto* graph = dynamic_cast<const faiss::IndexHNSW*>(from);
  auto& target = dynamic_cast<faiss::IndexHNSW&>(to);
  check_loaded(graph != nullptr && static_cast<std::size_t>(graph->ntotal) == parsed.nlist, "its centroids are in no graph");
  copy_flat(graph->storage, parsed.nlist, dynamic_cast<faiss::IndexFlat&>(*target.storage));
  adopt_graph(faiss::HNSW(graph->hnsw), parsed.quantizer_m, parsed.nlist, target.hnsw);
  target.ntotal = graph->ntotal;
}

}  // namespace

Codec::Impl::Impl() = default;
Codec::Impl::~Impl() = default;

bool has_row_scale(const IndexSpec& spec, const ParsedSpec& parsed) noexcept {
  return parsed.family == IndexFamily::kIvf && parsed.coding == Coding::kFloat && spec.dimension <= kMaxCodedDimension;
}

std::unique_ptr<const Codec::Impl> Codec::Impl::adopt(const IndexSpec& spec, const faiss::Index& trained, std::string_view scale) {
  auto impl = std::make_unique<Impl>();
  impl->spec = spec;
  impl->parsed = parse_spec(spec);
  impl->index = make_untrained(spec, impl->parsed);
  // What decides about encoding is copied, piece by piece and checked, into an index made by us: no other field of the file's
  // index is believed.
  if (impl->parsed.family == IndexFamily::kHnsw) {
    const auto* graph = dynamic_cast<const faiss::IndexHNSW*>(&trained);
    check_loaded(graph != nullptr, "it holds another index than its spec says");
    const auto* storage = dynamic_cast<const faiss::IndexScalarQuantizer*>(graph->storage);
    check_loaded(storage != nullptr, "it holds no int8 scales");
    auto& target = dynamic_cast<faiss::IndexHNSW&>(*impl->index);
    copy_scales(storage->sq, dynamic_cast<faiss::IndexScalarQuantizer&>(*target.storage).sq);
    target.storage->is_trained = true;
  } else {
    const auto* ivf = dynamic_cast<const faiss::IndexIVF*>(&trained);
    auto& target = dynamic_cast<faiss::IndexIVF&>(*impl->index);
    check_loaded(
        ivf != nullptr && ivf->d == target.d && same_bytes(ivf->metric_type, target.metric_type) && ivf->nlist == target.nlist,
        "it holds another index than its spec says");
    copy_quantizer(impl->parsed, ivf->quantizer, *target.quantizer);
    if (auto* sq = dynamic_cast<faiss::IndexIVFScalarQuantizer*>(&target)) {
      const auto* from = dynamic_cast<const faiss::IndexIVFScalarQuantizer*>(ivf);
      check_loaded(from != nullptr && same_bytes(from->by_residual, sq->by_residual), "it holds no int8 scales");
      copy_scales(from->sq, sq->sq);
    } else if (auto* pq = dynamic_cast<faiss::IndexIVFPQ*>(&target)) {
      const auto* from = dynamic_cast<const faiss::IndexIVFPQ*>(ivf);
      check_loaded(from != nullptr && same_bytes(from->by_residual, pq->by_residual), "it holds no codebooks");
      copy_codebooks(from->pq, pq->pq);
    }
  }
  impl->index->is_trained = true;
  if (!scale.empty()) impl->row_scale = read_scale(spec, impl->parsed, scale);
  impl->finish();
  return impl;
}

void Codec::Impl::finish() {
  if (parsed.family == IndexFamily::kIvf && parsed.quantizer_m == 0 && spec.dimension <= kMaxCodedDimension) {
    coarse.emplace(spec.metric, centroids(), spec.dimension);
  }
  fingerprint = codec_fingerprint(*this);
}

std::string Codec::Impl::scale_bytes() const {
  if (!row_scale) return {};
  std::vector<float> values = {row_scale->scale()};
  values.insert(values.end(), row_scale->centre().begin(), row_scale->centre().end());
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

const faiss::IndexIVF& Codec::Impl::ivf() const noexcept { return static_cast<const faiss::IndexIVF&>(*index); }

const faiss::ScalarQuantizer& Codec::Impl::hnsw_scales() const noexcept {
  const auto& graph = static_cast<const faiss::IndexHNSW&>(*index);
  return static_cast<const faiss::IndexScalarQuantizer&>(*graph.storage).sq;
}

std::span<const float> Codec::Impl::centroids() const noexcept {
  const faiss::Index* quantizer = ivf().quantizer;
  if (parsed.quantizer_m != 0) quantizer = static_cast<const faiss::IndexHNSW*>(quantizer)->storage;
  return {static_cast<const faiss::IndexFlat*>(quantizer)->get_xb(), parsed.nlist * spec.dimension};
}

void Codec::Impl::nearest_lists(const MatrixView& queries, std::size_t most, ListDistances precision, Candidate* out,
                                std::size_t* counts, SearchWork& work) const {
  const auto n = static_cast<std::size_t>(queries.rows());
  if (coarse) {
    work.distances += coarse->nearest(queries, most, precision, out);
    std::fill_n(counts, n, most);
    return;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const std::span<Candidate> lists(out + i * most, most);
    const float* query = row_data(queries, i);
    counts[i] = parsed.quantizer_m != 0 ? walk_to_lists(query, lists, work) : scan_for_lists(query, lists, work);
  }
}

std::size_t Codec::Impl::walk_to_lists(const float* query, std::span<Candidate> lists, SearchWork& work) const {
  const faiss::HNSW& graph = static_cast<const faiss::IndexHNSW*>(ivf().quantizer)->hnsw;
  ScratchLease scratch;
  CentroidDistances to_query(spec.metric, query, centroids().data(), spec.dimension);
  GraphWalk walk(graph, parsed.nlist, to_query, *scratch);
  const MetRow start = walk.descend(entry_of(graph), 0);
  const std::span<const MetRow> found = walk.around(start, 0, std::max(kMinQuantizerEf, 2 * lists.size()));
  work.distances += walk.distances();
  const std::size_t n = std::min(found.size(), lists.size());
  for (std::size_t i = 0; i < n; ++i) lists[i] = {found[i].row(), found[i].distance};
  return n;
}

std::size_t Codec::Impl::scan_for_lists(const float* query, std::span<Candidate> lists, SearchWork& work) const {
  const std::size_t d = spec.dimension;
  TopK nearest(lists, nullptr);
  std::array<float, 256> found;
  for (std::size_t begin = 0; begin < parsed.nlist; begin += found.size()) {
    const std::size_t n = std::min(found.size(), parsed.nlist - begin);
    distances(spec.metric, query, centroids().data() + begin * d, n, d, d, found.data());
    for (std::size_t i = 0; i < n; ++i) {
      if (nearest.admits(found[i])) nearest.push({begin + i, found[i]});
    }
  }
  work.distances += parsed.nlist;
  return nearest.finish().size();
}

}  // namespace annulus
