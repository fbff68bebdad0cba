// Graph search: FAISS's IndexHNSW holds and links the rows, our walk searches them.
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexScalarQuantizer.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "index/codec_impl.h"
#include "index/distance.h"
#include "index/faiss_factory.h"
#include "index/graph_walk.h"
#include "index/row_store.h"

namespace annulus {
namespace {

class LiveRows final : public RowNames {
 public:
  explicit LiveRows(const RowSearch& search) noexcept : search_(search) {}
  bool name(Row row, VectorId& id) const override {
    if (!search_.accepts(row)) return false;
    id = search_.rows.id(row);
    return true;
  }

 private:
  const RowSearch& search_;
};

class FloatDistances final : public RowDistances {
 public:
  FloatDistances(Metric metric, const float* query, const float* base, std::size_t d) noexcept
      : metric_(metric), query_(query), base_(base), d_(d) {}
  void operator()(std::span<const Row> rows, float* out) override {
    distances_gather(metric_, query_, base_, rows.data(), rows.size(), d_, out);
  }

 private:
  Metric metric_;
  const float* query_;
  const float* base_;
  std::size_t d_;
};

/// FAISS's distances to encoded rows, as ours: smaller is nearer, never NaN.
class CodeDistances final : public RowDistances {
 public:
  CodeDistances(Metric metric, const float* query, const faiss::Index& storage)
      : sign_(metric == Metric::kL2 ? 1.0F : -1.0F), computer_(storage.get_distance_computer()) {
    computer_->set_query(query);
  }
  void operator()(std::span<const Row> rows, float* out) override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const float value = sign_ * (*computer_)(rows[i]);
      out[i] = std::isnan(value) ? std::numeric_limits<float>::infinity() : value;
    }
  }

 private:
  float sign_;
  std::unique_ptr<faiss::DistanceComputer> computer_;
};

class HnswStore final : public RowStore {
 public:
  HnswStore(const IndexSpec& spec, const ParsedSpec& parsed, const Codec* codec)
      : spec_(spec), parsed_(parsed), index_(make_faiss_hnsw(spec, parsed)) {
    if (codec != nullptr) set_scales(codec->impl().hnsw_scales());
  }

  RowPolicy policy() const noexcept override { return RowPolicy::kAppend; }

  void stage(std::span<const Row> rows, const float* vectors, const WhileAlone& alone) override {
    // Levels follow from the seed and the row alone, so that a saved and loaded index grows on like the one that was saved.
    index_->hnsw.rng = faiss::RandomGenerator(faiss_seed(spec_.seed, count() + 1));
    alone([&] { with_faiss("adding to an HNSW", [&] { index_->add(static_cast<std::int64_t>(rows.size()), vectors); }); });
  }

  void commit(std::span<const Row>, const float*) override {}

  void abandon() noexcept override {}

  void remove(Row) override {}

  const float* vector(Row row, float* buffer) const override {
    if (parsed_.coding == Coding::kFloat) return floats() + std::size_t{row} * spec_.dimension;
    decoder_->decode_vector(scalar().codes.data() + std::size_t{row} * scalar().code_size, buffer);
    return buffer;
  }

  void search(const RowSearch& search, Candidate* out, std::size_t* counts) const override {
    for (std::size_t i = 0; i < search.batch.size(); ++i) counts[i] = search_one(search, search.batch.query(i), out + i * search.k);
  }

  std::unique_ptr<RowStore> compacted(std::span<const Row> rows) const override {
    auto copy = std::make_unique<HnswStore>(spec_, parsed_, nullptr);
    if (parsed_.coding != Coding::kFloat) copy->set_scales(scalar().sq);
    const std::size_t d = spec_.dimension;
    std::vector<float> vectors(rows.size() * d);
    std::vector<float> buffer(d);
    for (std::size_t i = 0; i < rows.size(); ++i) std::copy_n(vector(rows[i], buffer.data()), d, vectors.data() + i * d);
    std::vector<Row> dense(rows.size());
    std::iota(dense.begin(), dense.end(), Row{0});
    // int8 codes stay what they are: a code that came from a float decodes into its own interval of the scale.
    if (!dense.empty()) copy->stage(dense, vectors.data(), [](const std::function<void()>& step) { step(); });
    return copy;
  }

  const faiss::Index& container() const noexcept override { return *index_; }

  std::size_t memory_bytes() const noexcept override {
    const faiss::HNSW& graph = index_->hnsw;
    return count() * (codes().size() / std::max<std::size_t>(count(), 1)) + graph.neighbors.size() * sizeof(std::int32_t) +
           graph.offsets.size() * sizeof(std::size_t) + graph.levels.size() * sizeof(int);
  }

  void take(const RowTable& rows, faiss::Index& loaded) {
    auto* graph = dynamic_cast<faiss::IndexHNSW*>(&loaded);
    check_loaded(graph != nullptr && graph->d == index_->d && same_bytes(graph->metric_type, index_->metric_type),
                 "it holds another index than its spec says");
    const std::size_t n = rows.rows();
    check_loaded(static_cast<std::size_t>(graph->ntotal) == n && rows.live() + rows.dead() == n,
                 "its row map and its index differ in size");
    auto* from = dynamic_cast<faiss::IndexFlatCodes*>(graph->storage);
    const bool same_kind = parsed_.coding == Coding::kFloat ? dynamic_cast<faiss::IndexFlat*>(from) != nullptr
                                                            : dynamic_cast<faiss::IndexScalarQuantizer*>(from) != nullptr;
    check_loaded(same_kind && from->codes.size() == n * storage().code_size, "its vectors are of another kind or number");
    storage().codes = std::move(from->codes);
    storage().ntotal = static_cast<std::int64_t>(n);
    adopt_graph(std::move(graph->hnsw), parsed_.m, n, index_->hnsw);
    index_->ntotal = static_cast<std::int64_t>(n);
  }

 private:
  std::size_t count() const noexcept { return static_cast<std::size_t>(index_->ntotal); }
  faiss::IndexFlatCodes& storage() const noexcept { return static_cast<faiss::IndexFlatCodes&>(*index_->storage); }
  faiss::IndexScalarQuantizer& scalar() const noexcept { return static_cast<faiss::IndexScalarQuantizer&>(*index_->storage); }
  std::span<const std::uint8_t> codes() const noexcept { return {storage().codes.data(), storage().codes.size()}; }
  const float* floats() const noexcept { return static_cast<const faiss::IndexFlat&>(*index_->storage).get_xb(); }

  void set_scales(const faiss::ScalarQuantizer& trained) {
    scalar().sq = trained;
    scalar().is_trained = true;
    index_->is_trained = true;
    // ScalarQuantizer::decode opens an OpenMP region for each vector; its quantizer object does not.
    decoder_.reset(scalar().sq.select_quantizer());
  }

  std::size_t search_one(const RowSearch& search, const float* query, Candidate* out) const {
    if (search.rows.live() == 0) return 0;
    ScratchLease scratch;
    const auto ef = static_cast<std::size_t>(search.batch.params().ef.value_or(spec_.ef));
    scratch->pool.resize(std::min(std::max(ef, search.k), search.rows.live()));
    TopK pool(scratch->pool, search.order);
    if (parsed_.coding == Coding::kFloat) {
      FloatDistances to_query(spec_.metric, query, floats(), spec_.dimension);
      search.work.distances += walk_graph(index_->hnsw, count(), to_query, LiveRows(search), *scratch, pool);
    } else {
      CodeDistances to_query(spec_.metric, query, scalar());
      search.work.distances += walk_graph(index_->hnsw, count(), to_query, LiveRows(search), *scratch, pool);
    }
    const std::size_t found = pool.size();
    if (found < std::min(search.k, search.rows.live())) return scan(search, query, *scratch, out);
    const std::span<Candidate> near = pool.finish();
    if (parsed_.coding != Coding::kFloat) refine(search, query, *scratch, near);
    const std::size_t n = std::min(found, search.k);
    std::copy_n(near.begin(), n, out);
    return n;
  }

  float exact(const float* query, Row row, SearchScratch& scratch) const {
    scratch.decoded.resize(spec_.dimension);
    return distance(spec_.metric, query, vector(row, scratch.decoded.data()), spec_.dimension);
  }

  /// Replaces the walk's distances to codes by exact ones to what they decode to, and sorts again.
  void refine(const RowSearch& search, const float* query, SearchScratch& scratch, std::span<Candidate> near) const {
    for (Candidate& candidate : near) candidate.distance = exact(query, *search.rows.find(candidate.id), scratch);
    search.work.distances += near.size();
    std::sort(near.begin(), near.end(), NearerThan{search.order});
  }

  /// All live rows: for when the graph does not lead to enough of those that the filter accepts.
  std::size_t scan(const RowSearch& search, const float* query, SearchScratch& scratch, Candidate* out) const {
    ++search.work.exact_scans;
    TopK nearest({out, search.k}, search.order);
    for (std::size_t i = 0; i < count(); ++i) {
      const Row row = static_cast<Row>(i);
      if (!search.accepts(row)) continue;
      nearest.push({search.rows.id(row), exact(query, row, scratch)});
      ++search.work.distances;
    }
    return nearest.finish().size();
  }

  IndexSpec spec_;
  ParsedSpec parsed_;
  std::unique_ptr<faiss::IndexHNSW> index_;
  std::unique_ptr<faiss::ScalarQuantizer::SQuantizer> decoder_;  ///< of int8 rows; points into index_
};

}  // namespace

std::unique_ptr<RowStore> make_hnsw_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec* codec) {
  return std::make_unique<HnswStore>(spec, parsed, codec);
}

std::unique_ptr<RowStore> load_hnsw_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec* codec, const RowTable& rows,
                                          faiss::Index& loaded) {
  auto store = std::make_unique<HnswStore>(spec, parsed, codec);
  store->take(rows, loaded);
  return store;
}

}  // namespace annulus
