#include "bench/index_data.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/thread_budget.h"
#include "index/distance.h"
#include "index/vector_index.h"
#include "io/fvecs.h"
#include "shard/fan_out.h"

namespace annulus::bench {
namespace {

constexpr std::size_t kK = 10;

void finish(IndexData& data) {
  if (data.metric == Metric::kCosine) {
    for (Matrix* matrix : {&data.base, &data.queries}) {
      for (Eigen::Index i = 0; i < matrix->rows(); ++i) normalise(matrix->row(i).data(), data.dimension());
    }
  }
  const auto hash = [](const Matrix& m, std::uint64_t seed) {
    return XXH3_64bits_withSeed(m.data(), static_cast<std::size_t>(m.size()) * sizeof(float), seed);
  };
  data.fingerprint = hash(data.queries, hash(data.base, static_cast<std::uint64_t>(data.metric)));
}

void shorten(Matrix& matrix, std::size_t most) {
  if (most != 0 && static_cast<std::size_t>(matrix.rows()) > most)
    matrix.conservativeResize(static_cast<Eigen::Index>(most), matrix.cols());
}

}  // namespace

IndexData load_index_data(const std::filesystem::path& base, const std::filesystem::path& queries, Metric metric,
                          std::size_t most_rows, std::size_t most_queries) {
  IndexData data{.name = base.filename().string(), .metric = metric, .base = read_fvecs(base), .queries = read_fvecs(queries)};
  if (data.base.cols() != data.queries.cols()) {
    throw Error(ErrorCode::kInvalidArgument, queries.string() + " has vectors of dimension " + std::to_string(data.queries.cols()) +
                                                 ", " + base.string() + " of " + std::to_string(data.base.cols()));
  }
  shorten(data.base, most_rows);
  shorten(data.queries, most_queries);
  finish(data);
  return data;
}

IndexData make_clustered_data(std::size_t n, std::size_t d, std::size_t q, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  const auto fill = [&](Matrix& matrix) {
    for (Eigen::Index i = 0; i < matrix.size(); ++i) matrix.data()[i] = normal(random);
  };
  Matrix centres(static_cast<Eigen::Index>(std::sqrt(static_cast<double>(n))) + 1, static_cast<Eigen::Index>(d));
  fill(centres);
  const auto draw = [&](std::size_t count) {
    Matrix rows(static_cast<Eigen::Index>(count), static_cast<Eigen::Index>(d));
    fill(rows);
    std::uniform_int_distribution<Eigen::Index> any(0, centres.rows() - 1);
    for (Eigen::Index i = 0; i < rows.rows(); ++i) rows.row(i) = 0.6F * rows.row(i) + centres.row(any(random));
    return rows;
  };
  IndexData data;
  data.name = "clustered " + std::to_string(n) + "x" + std::to_string(d) + " seed " + std::to_string(seed);
  data.base = draw(n);
  data.queries = draw(q);
  finish(data);
  return data;
}

std::vector<std::uint32_t> exact_answers(const IndexData& data, std::span<const char> kept) {
  const auto queries = static_cast<std::size_t>(data.queries.rows());
  VectorIndex flat({.dimension = data.dimension(), .metric = data.metric});
  std::vector<VectorId> ids;
  for (std::size_t i = 0; i < data.rows(); ++i) {
    if (kept.empty() || kept[i] != 0) ids.push_back(i);
  }
  constexpr std::size_t kBlock = 65536;
  for (std::size_t begin = 0; begin < ids.size(); begin += kBlock) {
    const std::size_t count = std::min(kBlock, ids.size() - begin);
    Matrix rows(static_cast<Eigen::Index>(count), data.base.cols());
    for (std::size_t i = 0; i < count; ++i)
      rows.row(static_cast<Eigen::Index>(i)) = data.base.row(static_cast<Eigen::Index>(ids[begin + i]));
    flat.upsert(std::span(ids).subspan(begin, count), rows);
  }
  std::vector<std::uint32_t> answers(queries * kK, UINT32_MAX);
  constexpr std::size_t kQueries = 16;
  const auto failures = fan_out((queries + kQueries - 1) / kQueries, thread_budget(), [&](std::size_t task) {
    const std::size_t begin = task * kQueries;
    const std::size_t count = std::min(kQueries, queries - begin);
    std::vector<Candidate> found(count * kK);
    std::vector<std::size_t> counts(count);
    flat.search(data.queries.middleRows(static_cast<Eigen::Index>(begin), static_cast<Eigen::Index>(count)), kK, {}, nullptr,
                nullptr, found, counts);
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < counts[i]; ++j) answers[(begin + i) * kK + j] = static_cast<std::uint32_t>(found[i * kK + j].id);
    }
  });
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return answers;
}

std::vector<std::uint32_t> cached_answers(const IndexData& data, const std::filesystem::path& cache) {
  const auto queries = static_cast<std::size_t>(data.queries.rows());
  const std::filesystem::path file = cache / ("answers-" + std::to_string(data.fingerprint) + ".u32");
  if (!cache.empty() && std::filesystem::exists(file)) {
    const std::string bytes = read_file(file);
    std::vector<std::uint32_t> answers(queries * kK);
    if (bytes.size() == answers.size() * sizeof(std::uint32_t)) {
      std::memcpy(answers.data(), bytes.data(), bytes.size());
      return answers;
    }
  }
  std::vector<std::uint32_t> answers = exact_answers(data, {});
  if (!cache.empty()) {
    std::filesystem::create_directories(cache);
    write_file_atomically(file, {reinterpret_cast<const char*>(answers.data()), answers.size() * sizeof(std::uint32_t)});
  }
  return answers;
}

}  // namespace annulus::bench
