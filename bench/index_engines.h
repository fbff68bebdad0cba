// What the index benchmarks compare: a cluster of ours behind its router, and the linked FAISS's HNSW, whole and sharded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/context.h"
#include "bench/index_data.h"
#include "shard/vector_router.h"

namespace faiss {
struct Index;
}  // namespace faiss

namespace annulus::bench {

/// How well an engine searches: its ef or nprobe, and how many candidates an IVF of ours ranks exactly (0: as many as it will).
struct Setting {
  int value = 0;
  int rerank = 0;
};

/// Something that answers queries, one setting deciding how well. Answers are row numbers, UINT32_MAX for none.
class SearchEngine {
 public:
  virtual ~SearchEngine() = default;

  virtual std::string name() const = 0;

  /// "ef" or "nprobe".
  virtual std::string setting_name() const = 0;
  virtual void set(Setting setting) = 0;

  /// The 10 nearest of queries [begin, begin + count); count x 10 row numbers into `rows`, if it is not null.
  virtual void search(const Matrix& queries, std::size_t begin, std::size_t count, std::uint32_t* rows) = 0;

  /// Distances computed by the last search, if it tells.
  virtual std::uint64_t distances() const { return 0; }
};

/// As `params` of a row.
Json params_of(const SearchEngine& engine, Setting setting);

/// A cluster of shards of ours.
class Cluster final : public SearchEngine {
 public:
  /// Trained on the data, if the index needs it, and empty.
  Cluster(const IndexData& data, std::string factory, std::size_t shards, std::size_t replicas);

  /// Upserts rows [begin, end) in batches; returns the seconds that took.
  double load(std::size_t begin, std::size_t end);

  VectorRouter& router() noexcept { return *router_; }
  std::string name() const override;
  std::string setting_name() const override { return factory_.starts_with("HNSW") ? "ef" : "nprobe"; }
  void set(Setting setting) override;

  /// Searches return only keys that `filter` accepts and `allow` has, from now on, and find them by `method`; null: all. Both must
  /// outlive them.
  void restrict_to(const KeyFilter* filter, const KeySet* allow, FilterMethod method) noexcept {
    options_.filter = filter;
    options_.allow = allow;
    method_ = method;
  }

  void search(const Matrix& queries, std::size_t begin, std::size_t count, std::uint32_t* rows) override;
  std::uint64_t distances() const override { return result_.distances; }

 private:
  const IndexData& data_;
  std::string factory_;
  std::size_t shards_;
  std::size_t replicas_;
  std::unique_ptr<VectorRouter> router_;
  SearchOptions options_;
  FilterMethod method_ = FilterMethod::kByCost;
  SearchResult result_;
};

/// faiss::IndexHNSWFlat with 16 links and efConstruction 200, or faiss::IndexShards of several, each in one thread.
class FaissHnsw final : public SearchEngine {
 public:
  /// Built from the data on `threads` threads, or read from `cache` (empty: none) where an earlier run left it.
  FaissHnsw(const IndexData& data, std::size_t shards, std::size_t threads, const std::filesystem::path& cache);
  ~FaissHnsw() override;

  std::string name() const override;
  std::string setting_name() const override { return "ef"; }
  void set(Setting setting) override;
  void search(const Matrix& queries, std::size_t begin, std::size_t count, std::uint32_t* rows) override;

 private:
  std::vector<std::unique_ptr<faiss::Index>> parts_;  // IndexHNSWFlat
  std::unique_ptr<faiss::Index> sharded_;             // IndexShards of them; null if there is one
  std::vector<std::int64_t> found_;
  std::vector<float> distances_;
};

/// The seconds that FAISS's add of rows [0, n) to an IndexHNSWFlat takes on `threads` threads.
double faiss_build_seconds(const IndexData& data, std::size_t n, std::size_t threads);

}  // namespace annulus::bench
