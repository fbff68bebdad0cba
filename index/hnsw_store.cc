// Graph search: FAISS's IndexHNSW holds the rows and their links, our builder links them, our walk searches them. Float rows have
// int8 codes beside them (unless the spec says no), by which both go; exact distances of the best decide.
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexScalarQuantizer.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "core/prefetch.h"
#include "index/codec_impl.h"
#include "index/distance.h"
#include "index/faiss_factory.h"
#include "index/graph_builder.h"
#include "index/graph_walk.h"
#include "index/growing.h"
#include "index/int8_rows.h"
#include "index/row_store.h"
#include "index/top_k.h"

namespace annulus {
namespace {

// While a search of a graph decides whether it has ef candidates, a dead row counts for this much of one: dead rows that are as
// near as live ones show that the walk has been where the answer is. Not so where most are dead: then too few live ones would be
// left.
constexpr float kDeadRowWeight = 0.4F;
constexpr double kMostDead = 0.4;
// The int8 scale is learnt anew when there are so many times the rows that it was learnt from, ...
constexpr std::size_t kRelearnGrowth = 4;
// ... or when since then so many components were cut that they are more than this share of all: then another scale would fit
// better.
constexpr double kRelearnCut = 0.003;

class AcceptedRows final : public RowChoice {
 public:
  explicit AcceptedRows(const RowSearch& search) noexcept : search_(search) {}
  bool accepts(Row row) const override {
    ++asked_;
    return search_.accepts(row);
  }
  std::size_t asked() const noexcept { return asked_; }

 private:
  const RowSearch& search_;
  mutable std::size_t asked_ = 0;
};

class FloatDistances final : public RowCursor {
 public:
  FloatDistances(Metric metric, const float* base, std::size_t d) noexcept : metric_(metric), base_(base), d_(d) {}
  void from(const float* query) noexcept { query_ = query; }
  void stand_on(Row row) override { query_ = base_ + std::size_t{row} * d_; }
  void operator()(std::span<const Row> rows, float* out) override {
    distances_gather(metric_, query_, base_, rows.data(), rows.size(), d_, out);
  }

 private:
  Metric metric_;
  const float* query_ = nullptr;
  const float* base_;
  std::size_t d_;
};

/// Distances to rows that FAISS has encoded, but for rounding.
class Sq8Distances final : public RowCursor {
 public:
  /// With `memory`, which it borrows, without an allocation, if that has been used so before.
  Sq8Distances(const Sq8Scale& scale, const faiss::IndexScalarQuantizer& storage, const faiss::ScalarQuantizer::SQuantizer& decoder,
               Sq8Query* memory = nullptr)
      : scale_(scale), storage_(storage), decoder_(decoder), query_(memory == nullptr ? own_ : *memory) {}

  void from(const float* query) { scale_.prepare(query, nullptr, query_); }
  void stand_on(Row row) override {
    decoded_.resize(storage_.sq.d);
    decoder_.decode_vector(code(row), decoded_.data());
    from(decoded_.data());
  }
  void operator()(std::span<const Row> rows, float* out) override {
    std::array<const std::uint8_t*, 64> codes;
    for (std::size_t begin = 0; begin < rows.size(); begin += codes.size()) {
      const std::size_t n = std::min(codes.size(), rows.size() - begin);
      for (std::size_t i = 0; i < n; ++i) {
        codes[i] = code(rows[begin + i]);
        for (std::size_t at = 0; at < storage_.code_size; at += 64) annulus::prefetch(codes[i] + at);
      }
      scale_.distances(query_, std::span(codes).first(n), out + begin);
    }
  }

 private:
  const std::uint8_t* code(Row row) const noexcept { return storage_.codes.data() + std::size_t{row} * storage_.code_size; }

  const Sq8Scale& scale_;
  const faiss::IndexScalarQuantizer& storage_;
  const faiss::ScalarQuantizer::SQuantizer& decoder_;
  Sq8Query own_;
  Sq8Query& query_;
  std::vector<float> decoded_;
};

class HnswStore final : public RowStore, private RowSpace {
 public:
  HnswStore(const IndexSpec& spec, const ParsedSpec& parsed, const Codec* codec)
      : spec_(spec),
        parsed_(parsed),
        coded_(parsed.coding == Coding::kFloat && spec.search_codes == SearchCodes::kInt8 && spec.dimension <= kMaxCodedDimension),
        index_(make_faiss_hnsw(spec, parsed)) {
    if (codec != nullptr) set_scales(codec->impl().hnsw_scales());
  }

  RowPolicy policy() const noexcept override { return RowPolicy::kAppend; }

  void stage(std::span<const Row> rows, const float* vectors, const WhileAlone& alone) override {
    const std::size_t before = count_;
    GraphEntry raised;
    try {
      add_rows(rows.size(), vectors, alone);
      raised = insert_rows(index_->hnsw, *this, static_cast<Row>(before), rows.size(),
                           static_cast<std::size_t>(spec_.ef_construction), entry());
    } catch (...) {
      alone([&] {
        forget_rows(index_->hnsw, before);
        truncate(before);
      });
      throw;
    }
    // in this order, and searches read them in the other: none begins at a row that it does not count
    count_.store(before + rows.size(), std::memory_order_release);
    set_entry(raised);
    index_->ntotal = static_cast<std::int64_t>(count_);
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
    for (std::size_t i = 0; i < search.batch.size(); ++i) {
      const WalkLimit limit = search.walks == nullptr ? WalkLimit{} : search.walks->limit(i);
      counts[i] = limit.patience == 0 ? 0 : search_one(search, i, limit, out + i * search.k);
    }
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

  void with_container(const std::function<void(const faiss::Index&)>& use) const override { use(*index_); }

  std::size_t memory_bytes() const noexcept override {
    const std::size_t coded = codes_ ? codes_->row_bytes() : 0;
    return count_ * (storage().code_size + coded + sizeof(std::size_t) + sizeof(int)) +
           links_.load(std::memory_order_relaxed) * sizeof(std::int32_t);
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
    count_ = n;
    set_entry(entry_of(index_->hnsw));
    links_ = index_->hnsw.neighbors.size();
    if (coded_ && n != 0) {
      check_loaded(all_finite(floats(), n * spec_.dimension), "a vector is not finite");
      codes_ = encoded(n, n);
    }
  }

 private:
  faiss::IndexFlatCodes& storage() const noexcept { return static_cast<faiss::IndexFlatCodes&>(*index_->storage); }
  faiss::IndexScalarQuantizer& scalar() const noexcept { return static_cast<faiss::IndexScalarQuantizer&>(*index_->storage); }
  const float* floats() const noexcept { return static_cast<const faiss::IndexFlat&>(*index_->storage).get_xb(); }

  void set_scales(const faiss::ScalarQuantizer& trained) {
    scalar().sq = trained;
    scalar().is_trained = true;
    index_->is_trained = true;
    // ScalarQuantizer::decode opens an OpenMP region for each vector; its quantizer object does not.
    decoder_.reset(scalar().sq.select_quantizer());
    scale_.emplace(spec_.metric, scalar().sq);
  }

  std::unique_ptr<RowCursor> cursor() const override {
    if (codes_) return std::make_unique<CodeDistances>(*codes_);
    if (parsed_.coding == Coding::kFloat) return std::make_unique<FloatDistances>(spec_.metric, floats(), spec_.dimension);
    return std::make_unique<Sq8Distances>(*scale_, scalar(), *decoder_);
  }

  /// Row and level of the entry, read and written as one.
  GraphEntry entry() const noexcept {
    const std::uint64_t packed = entry_.load(std::memory_order_acquire);
    return {static_cast<Row>(packed), static_cast<int>(packed >> 32) - 1};
  }
  void set_entry(const GraphEntry& entry) noexcept {
    index_->hnsw.entry_point = entry.level < 0 ? -1 : static_cast<int>(entry.row);
    index_->hnsw.max_level = entry.level;
    entry_.store(std::uint64_t{entry.row} | static_cast<std::uint64_t>(entry.level + 1) << 32, std::memory_order_release);
  }

  /// Appends vectors, codes, levels and empty links. Nothing leads to the new rows.
  void add_rows(std::size_t n, const float* vectors, const WhileAlone& alone) {
    faiss::HNSW& graph = index_->hnsw;
    const std::size_t before = count_;
    const std::size_t after = before + n;
    std::size_t links = graph.offsets[before];
    std::vector<int> levels(n);
    for (std::size_t i = 0; i < n; ++i) {
      // levels follow from the seed and the row alone: a saved and loaded index grows on like the one that was saved
      levels[i] = level_of_row(spec_.seed, static_cast<Row>(before + i), graph.assign_probas) + 1;
      links += static_cast<std::size_t>(graph.cum_nneighbor_per_level[static_cast<std::size_t>(levels[i])]);
    }
    grow_aside(storage().codes, after * storage().code_size, alone);
    grow_aside(graph.levels, after, alone);
    grow_aside(graph.offsets, after + 1, alone);
    grow_aside(graph.neighbors, links, alone);
    storage().codes.resize(after * storage().code_size);
    std::uint8_t* stored = storage().codes.data() + before * storage().code_size;
    if (parsed_.coding == Coding::kFloat) {
      std::copy_n(vectors, n * spec_.dimension, reinterpret_cast<float*>(stored));
    } else {
      for (std::size_t i = 0; i < n; ++i) {
        decoder_->encode_vector(vectors + i * spec_.dimension, stored + i * storage().code_size);
      }
    }
    storage().ntotal = static_cast<std::int64_t>(after);
    for (const int level : levels) {
      graph.levels.push_back(level);
      graph.offsets.push_back(graph.offsets.back() +
                              static_cast<std::size_t>(graph.cum_nneighbor_per_level[static_cast<std::size_t>(level)]));
    }
    const std::size_t links_before = graph.neighbors.size();
    graph.neighbors.resize(links, -1);
    links_ = links;
    advise_appended(storage().codes, before * storage().code_size);
    advise_appended(graph.levels, before);
    advise_appended(graph.offsets, before);
    advise_appended(graph.neighbors, links_before);
    if (coded_) add_codes(before, after, vectors, alone);
  }

  void add_codes(std::size_t before, std::size_t after, const float* vectors, const WhileAlone& alone) {
    const std::size_t n = after - before;
    const std::size_t d = spec_.dimension;
    const auto relearn = [&] {
      auto fresh = encoded(after, std::max(grown_capacity(after, 0), codes_ ? codes_->capacity() : 0));
      alone([&] { std::swap(codes_, fresh); });
    };
    if (!codes_ || after >= kRelearnGrowth * learnt_rows_) return relearn();
    if (after > codes_->capacity()) {
      std::optional<Int8Rows> grown = codes_->grown(before, grown_capacity(after, codes_->capacity()));
      alone([&] { std::swap(codes_, grown); });
    }
    for (std::size_t i = 0; i < n; ++i) cut_ += codes_->encode(static_cast<Row>(before + i), vectors + i * d);
    codes_->advise(before, after);
    if (static_cast<double>(cut_) > kRelearnCut * static_cast<double>(after * d)) relearn();
  }

  /// Codes of the first `rows` rows, on a scale learnt from them.
  std::optional<Int8Rows> encoded(std::size_t rows, std::size_t capacity) {
    const std::size_t d = spec_.dimension;
    std::optional<Int8Rows> fresh(std::in_place, Int8Scale::learn(spec_.metric, floats(), rows, d), capacity, rows);
    for (std::size_t row = 0; row < rows; ++row) fresh->encode(static_cast<Row>(row), floats() + row * d);
    learnt_rows_ = rows;
    cut_ = 0;
    return fresh;
  }

  /// Takes away the last rows, to which nothing leads.
  void truncate(std::size_t rows) noexcept {
    faiss::HNSW& graph = index_->hnsw;
    storage().codes.resize(rows * storage().code_size);
    storage().ntotal = static_cast<std::int64_t>(rows);
    graph.levels.resize(rows);
    graph.offsets.resize(rows + 1);
    graph.neighbors.resize(graph.offsets[rows]);
    links_ = graph.neighbors.size();
  }

  std::size_t search_one(const RowSearch& search, std::size_t number, const WalkLimit& limit, Candidate* out) const {
    const float* query = search.batch.query(number);
    const std::size_t live = search.rows.live();
    if (live == 0) return 0;
    const GraphEntry from = entry();
    const std::size_t rows = count_.load(std::memory_order_acquire);
    const std::size_t ef =
        std::min(std::max(static_cast<std::size_t>(search.batch.params().ef.value_or(spec_.ef)), search.k), live);
    ScratchLease scratch;
    scratch->pool.clear();
    const bool exact = walk(search, number, from, rows, ef, limit, *scratch);
    if (!exact) {
      for (Candidate& candidate : scratch->pool) candidate.distance = to_row(query, static_cast<Row>(candidate.id), *scratch);
      search.work.distances += scratch->pool.size();
    }
    for (Candidate& candidate : scratch->pool) candidate.id = search.rows.id(static_cast<Row>(candidate.id));
    const std::size_t n = std::min(scratch->pool.size(), search.k);
    std::partial_sort(scratch->pool.begin(), scratch->pool.begin() + static_cast<std::ptrdiff_t>(n), scratch->pool.end(),
                      NearerThan{search.order});
    std::copy_n(scratch->pool.begin(), n, out);
    return n;
  }

  /// Puts the nearest accepted rows into the scratch's pool, as (row, distance), as many as exact distances are to decide about;
  /// returns whether the distances are exact already.
  bool walk(const RowSearch& search, std::size_t number, const GraphEntry& from, std::size_t rows, std::size_t ef,
            const WalkLimit& limit, SearchScratch& scratch) const {
    const float* query = search.batch.query(number);
    const std::size_t most = codes_ || scale_ ? default_rerank(search.k) : ef;
    const auto go = [&](RowDistances& to_query) {
      GraphWalk graph(index_->hnsw, rows, to_query, scratch);
      const MetRow start = graph.descend(from, 0);
      const bool all = search.filter == nullptr && search.rows.dead() == 0 && search.rows.rows() == rows;
      const AcceptedRows accepted(search);
      const double dead = static_cast<double>(search.rows.dead()) / static_cast<double>(rows);
      const float weight = search.filter == nullptr && dead < kMostDead && search.rows.rows() == rows ? kDeadRowWeight : 0.0F;
      std::span<const MetRow> met = graph.around(start, 0, ef, all ? nullptr : &accepted, weight, limit);
      search.work.distances += graph.distances();
      if (search.walks != nullptr) {
        if (met.empty()) {
          search.walks->gave_up(number, graph.distances(), accepted.asked());
        } else {
          search.walks->learn(number, graph.distances(), accepted.asked());
        }
      }
      met = met.first(std::min(met.size(), most));
      for (const MetRow& row : met) scratch.pool.push_back({row.row(), row.distance});
      return std::span<Candidate>(scratch.pool);
    };
    if (codes_) {
      CodeDistances to_query(*codes_, scratch.query_codes);
      to_query.from(query);
      prefetch_floats(go(to_query));
      return false;
    }
    if (parsed_.coding == Coding::kFloat) {
      FloatDistances to_query(spec_.metric, floats(), spec_.dimension);
      to_query.from(query);
      go(to_query);
      return true;
    }
    Sq8Distances to_query(*scale_, scalar(), *decoder_, &scratch.sq8_query);
    to_query.from(query);
    go(to_query);
    return false;
  }

  void prefetch_floats(std::span<const Candidate> near) const noexcept {
    for (const Candidate& candidate : near) {
      const auto* bytes = reinterpret_cast<const char*>(floats() + candidate.id * spec_.dimension);
      for (std::size_t at = 0; at < spec_.dimension * sizeof(float) && at < 512; at += 64) annulus::prefetch(bytes + at);
    }
  }

  float to_row(const float* query, Row row, SearchScratch& scratch) const {
    scratch.decoded.resize(spec_.dimension);
    return distance(spec_.metric, query, vector(row, scratch.decoded.data()), spec_.dimension);
  }

  IndexSpec spec_;
  ParsedSpec parsed_;
  bool coded_;
  std::unique_ptr<faiss::IndexHNSW> index_;
  std::unique_ptr<faiss::ScalarQuantizer::SQuantizer> decoder_;  ///< of FAISS's 8-bit rows; points into index_
  std::optional<Sq8Scale> scale_;                                ///< of these
  std::atomic<std::size_t> count_{0};                            ///< rows that are linked
  std::atomic<std::uint64_t> entry_{0};
  std::atomic<std::size_t> links_{0};  ///< places for links, for whoever asks about memory beside a write
  std::optional<Int8Rows> codes_;  ///< of float rows
  std::size_t learnt_rows_ = 0;    ///< when the scale was learnt
  std::size_t cut_ = 0;            ///< components since then that it cut
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
