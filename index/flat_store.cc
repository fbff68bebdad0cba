// Exact search: FAISS's IndexFlat holds the rows, our kernel scans them.
#include <faiss/IndexFlat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "core/pages.h"
#include "index/distance.h"
#include "index/row_store.h"
#include "index/top_k.h"

namespace annulus {
namespace {

class FlatStore final : public RowStore {
 public:
  explicit FlatStore(const IndexSpec& spec)
      : metric_(spec.metric),
        d_(spec.dimension),
        index_(static_cast<std::int64_t>(spec.dimension), static_cast<faiss::MetricType>(faiss_metric(spec.metric))) {}

  RowPolicy policy() const noexcept override { return RowPolicy::kDense; }

  void stage(std::span<const Row> rows, const float* vectors, const WhileAlone& alone) override {
    const std::size_t end = rows.empty() ? 0 : std::max<std::size_t>(count(), *std::max_element(rows.begin(), rows.end()) + 1);
    if (end * d_ * sizeof(float) > index_.codes.capacity()) {
      std::vector<std::uint8_t> grown;
      grown.reserve(std::max(end * d_ * sizeof(float), index_.codes.capacity() + index_.codes.capacity() / 2));
      give_back_pages(grown.data(), grown.capacity());
      grown = index_.codes;
      alone([&] {
        index_.codes.swap(grown);
        written_ = index_.codes.size();
      });
    }
    static_cast<void>(vectors);
  }

  void commit(std::span<const Row> rows, const float* vectors) override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i] >= count()) resize(std::size_t{rows[i]} + 1);
      std::copy_n(vectors + i * d_, d_, row_at(rows[i]));
    }
  }

  void abandon() noexcept override {}

  void remove(Row row) override {
    const Row last = static_cast<Row>(count() - 1);
    if (row != last) std::copy_n(row_at(last), d_, row_at(row));
    resize(last);
  }

  const float* vector(Row row, float*) const override { return index_.get_xb() + std::size_t{row} * d_; }

  void search(const RowSearch& search, Candidate* out, std::size_t* counts) const override {
    for (std::size_t i = 0; i < search.batch.size(); ++i) {
      TopK nearest({out + i * search.k, search.k}, search.order);
      scan(search, search.batch.query(i), search.bounds.empty() ? nullptr : &search.bounds[i], nearest);
      counts[i] = nearest.finish().size();
    }
  }

  std::unique_ptr<RowStore> compacted(std::span<const Row> rows) const override {
    auto copy = std::make_unique<FlatStore>(*this);
    copy->resize(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) std::copy_n(vector(rows[i], nullptr), d_, copy->row_at(static_cast<Row>(i)));
    return copy;
  }

  void with_container(const std::function<void(const faiss::Index&)>& use) const override { use(index_); }

  std::size_t memory_bytes() const noexcept override { return written_; }

  void take(const RowTable& rows, const faiss::Index& loaded) {
    const auto* flat = dynamic_cast<const faiss::IndexFlat*>(&loaded);
    check_loaded(flat != nullptr && flat->d == index_.d && same_bytes(flat->metric_type, index_.metric_type),
                 "it holds another index than its spec says");
    check_loaded(static_cast<std::size_t>(flat->ntotal) == rows.rows() && rows.live() == rows.rows() &&
                     flat->codes.size() == rows.rows() * d_ * sizeof(float),
                 "its row map and its index differ in size");
    resize(rows.rows());
    if (rows.rows() != 0) std::memcpy(row_at(0), flat->codes.data(), flat->codes.size());
  }

 private:
  void scan(const RowSearch& search, const float* query, SharedBound* bound, TopK& nearest) const {
    std::array<float, 256> found;
    for (std::size_t begin = 0; begin < count(); begin += found.size()) {
      const std::size_t n = std::min(found.size(), count() - begin);
      distances(metric_, query, index_.get_xb() + begin * d_, n, d_, d_, found.data());
      const float farthest = bound == nullptr ? std::numeric_limits<float>::infinity() : bound->get();
      for (std::size_t i = 0; i < n; ++i) {
        const Row row = static_cast<Row>(begin + i);
        if (found[i] <= farthest && nearest.admits(found[i]) && search.accepts(row)) nearest.push({search.rows.id(row), found[i]});
      }
      if (bound != nullptr && nearest.full()) bound->lower(nearest.farthest(), nearest.size());
    }
    search.work.distances += count();
  }

  std::size_t count() const noexcept { return static_cast<std::size_t>(index_.ntotal); }
  float* row_at(Row row) noexcept { return index_.get_xb() + std::size_t{row} * d_; }

  void resize(std::size_t n) {
    index_.codes.resize(n * d_ * sizeof(float));
    written_ = std::max(written_, index_.codes.size());
    index_.ntotal = static_cast<std::int64_t>(n);
  }

  Metric metric_;
  std::size_t d_;
  faiss::IndexFlat index_;
  std::size_t written_ = 0;  ///< the most bytes that were ever in use of its array
};

}  // namespace

std::unique_ptr<RowStore> make_flat_store(const IndexSpec& spec) { return std::make_unique<FlatStore>(spec); }

std::unique_ptr<RowStore> load_flat_store(const IndexSpec& spec, const RowTable& rows, faiss::Index& loaded) {
  auto store = std::make_unique<FlatStore>(spec);
  store->take(rows, loaded);
  return store;
}

}  // namespace annulus
