#include "bench/index_engines.h"

#include <faiss/IndexHNSW.h>
#include <faiss/IndexShards.h>
#include <faiss/index_io.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

#include "core/error.h"
#include "shard/vector_shard.h"

namespace annulus::bench {
namespace {

constexpr std::size_t kK = 10;
constexpr int kLinks = 16;
constexpr int kEfConstruction = 200;
constexpr std::size_t kLoadBatch = 65536;
constexpr std::size_t kTrainingRows = 100'000;

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// FAISS's loops on so many threads, for as long as it lives.
class FaissThreads {
 public:
  explicit FaissThreads(std::size_t threads) : before_(omp_get_max_threads()) { omp_set_num_threads(static_cast<int>(threads)); }
  ~FaissThreads() { omp_set_num_threads(before_); }
  FaissThreads(const FaissThreads&) = delete;
  FaissThreads& operator=(const FaissThreads&) = delete;

 private:
  int before_;
};

std::unique_ptr<faiss::IndexHNSWFlat> new_hnsw(const IndexData& data) {
  auto index = std::make_unique<faiss::IndexHNSWFlat>(static_cast<int>(data.dimension()), kLinks,
                                                      data.metric == Metric::kL2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT);
  index->hnsw.efConstruction = kEfConstruction;
  return index;
}

}  // namespace

Json params_of(const SearchEngine& engine, Setting setting) {
  Json params{{engine.setting_name(), setting.value}};
  if (setting.rerank != 0) params["rerank"] = setting.rerank;
  return params;
}

Cluster::Cluster(const IndexData& data, std::string factory, std::size_t shards, std::size_t replicas)
    : data_(data), factory_(std::move(factory)), shards_(shards), replicas_(replicas) {
  RouterOptions options;
  options.index.dimension = data.dimension();
  options.index.metric = data.metric;
  options.index.factory = factory_;
  options.key_kind = KeyKind::kId;
  options.replicas = replicas;
  options.train_at = 0;
  router_ = std::make_unique<VectorRouter>(options);
  for (std::size_t i = 0; i < shards; ++i) {
    router_->attach_node(std::make_shared<VectorShard>("shard-" + std::to_string(i), options.index, options.key_kind));
  }
  if (needs_training(options.index)) {
    const std::size_t step = std::max<std::size_t>(1, data.rows() / kTrainingRows);
    Matrix samples(static_cast<Eigen::Index>((data.rows() - 1) / step + 1), data.base.cols());
    for (Eigen::Index i = 0; i < samples.rows(); ++i) samples.row(i) = data.base.row(i * static_cast<Eigen::Index>(step));
    router_->train(samples);
  }
}

double Cluster::load(std::size_t begin, std::size_t end) {
  double seconds = 0;
  for (; begin < end; begin += kLoadBatch) {
    const std::size_t count = std::min(kLoadBatch, end - begin);
    std::vector<IdKey> ids;
    for (std::size_t i = 0; i < count; ++i) ids.emplace_back(begin + i);
    const std::vector<KeyView> keys(ids.begin(), ids.end());
    const auto rows = data_.base.middleRows(static_cast<Eigen::Index>(begin), static_cast<Eigen::Index>(count));
    seconds += seconds_of([&] {
      if (!router_->upsert(keys, rows).ok()) throw Error(ErrorCode::kInternal, "a shard refused rows of the benchmark");
    });
  }
  return seconds;
}

std::string Cluster::name() const {
  return "annulus " + factory_ + " S=" + std::to_string(shards_) + (replicas_ == 1 ? "" : " R=" + std::to_string(replicas_));
}

void Cluster::set(Setting setting) {
  options_.params = {};
  (setting_name() == "ef" ? options_.params.ef : options_.params.nprobe) = setting.value;
  if (setting.rerank != 0) options_.params.rerank = setting.rerank;
}

void Cluster::search(const Matrix& queries, std::size_t begin, std::size_t count, std::uint32_t* rows) {
  options_.params.filter_method = method_;
  router_->search(queries.middleRows(static_cast<Eigen::Index>(begin), static_cast<Eigen::Index>(count)), kK, options_, result_);
  if (rows == nullptr) return;
  std::fill_n(rows, count * kK, UINT32_MAX);
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t j = 0;
    for (const Neighbor& neighbor : result_[i]) rows[i * kK + j++] = static_cast<std::uint32_t>(id_of_key(neighbor.key));
  }
}

FaissHnsw::FaissHnsw(const IndexData& data, std::size_t shards, std::size_t threads, const std::filesystem::path& cache) {
  const FaissThreads on(threads);
  std::vector<std::vector<std::int64_t>> ids(shards);
  for (std::size_t i = 0; i < data.rows(); ++i) ids[i % shards].push_back(static_cast<std::int64_t>(i));
  for (std::size_t shard = 0; shard < shards; ++shard) {
    const std::filesystem::path file = cache / ("hnsw16-" + std::to_string(data.fingerprint) + "-" + std::to_string(shard) + "of" +
                                                std::to_string(shards) + ".faiss");
    if (!cache.empty() && std::filesystem::exists(file)) {
      std::unique_ptr<faiss::Index> read(faiss::read_index(file.c_str()));
      auto* hnsw = dynamic_cast<faiss::IndexHNSWFlat*>(read.get());
      if (hnsw != nullptr && hnsw->ntotal == static_cast<std::int64_t>(ids[shard].size())) {
        static_cast<void>(read.release());
        parts_.emplace_back(hnsw);
        continue;
      }
    }
    Matrix rows(static_cast<Eigen::Index>(ids[shard].size()), data.base.cols());
    for (std::size_t i = 0; i < ids[shard].size(); ++i) rows.row(static_cast<Eigen::Index>(i)) = data.base.row(ids[shard][i]);
    parts_.push_back(new_hnsw(data));
    parts_.back()->add(rows.rows(), rows.data());
    if (!cache.empty()) {
      std::filesystem::create_directories(cache);
      const std::filesystem::path unfinished = file.string() + ".part";
      faiss::write_index(parts_.back().get(), unfinished.c_str());
      std::filesystem::rename(unfinished, file);
    }
  }
  if (shards == 1) return;
  // Not threaded: it would start a thread for each shard and search, here all are measured in one. Ids: part by part.
  auto sharded = std::make_unique<faiss::IndexShards>(static_cast<std::int64_t>(data.dimension()), false, true);
  for (const auto& part : parts_) sharded->add_shard(part.get());
  sharded_ = std::move(sharded);
}

FaissHnsw::~FaissHnsw() = default;

std::string FaissHnsw::name() const {
  return sharded_ == nullptr ? "faiss::IndexHNSWFlat 16" : "faiss::IndexShards of " + std::to_string(parts_.size()) + " HNSW16";
}

void FaissHnsw::set(Setting setting) {
  for (const auto& part : parts_) dynamic_cast<faiss::IndexHNSWFlat&>(*part).hnsw.efSearch = setting.value;
}

void FaissHnsw::search(const Matrix& queries, std::size_t begin, std::size_t count, std::uint32_t* rows) {
  const FaissThreads one(1);
  found_.resize(count * kK);
  distances_.resize(count * kK);
  const faiss::Index& index = sharded_ == nullptr ? *parts_[0] : *sharded_;
  index.search(static_cast<std::int64_t>(count), queries.data() + begin * static_cast<std::size_t>(queries.cols()), kK,
               distances_.data(), found_.data());
  if (rows == nullptr) return;
  std::vector<std::int64_t> starts;  // of each part's ids; a row is numbered part by part, and was dealt out in turn
  std::int64_t start = 0;
  for (const auto& part : parts_) {
    starts.push_back(start);
    start += part->ntotal;
  }
  for (std::size_t i = 0; i < count * kK; ++i) {
    if (found_[i] < 0) {
      rows[i] = UINT32_MAX;
      continue;
    }
    const auto part = static_cast<std::size_t>(std::upper_bound(starts.begin(), starts.end(), found_[i]) - starts.begin() - 1);
    rows[i] = static_cast<std::uint32_t>(static_cast<std::size_t>(found_[i] - starts[part]) * parts_.size() + part);
  }
}

double faiss_build_seconds(const IndexData& data, std::size_t n, std::size_t threads) {
  const FaissThreads on(threads);
  const auto index = new_hnsw(data);
  return seconds_of([&] { index->add(static_cast<std::int64_t>(n), data.base.data()); });
}

}  // namespace annulus::bench
