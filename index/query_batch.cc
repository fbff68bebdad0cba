#include "index/query_batch.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "index/codec_impl.h"
#include "index/distance.h"
#include "index/encoded_queries.h"

namespace annulus {
namespace {

void check_param(const char* name, const std::optional<int>& value) {
  if (value && *value <= 0) {
    throw Error(ErrorCode::kInvalidArgument, std::string(name) + " is " + std::to_string(*value) + ", expected a number > 0");
  }
}

}  // namespace

QueryBatch::QueryBatch(const IndexSpec& spec, const MatrixView& queries, const SearchParams& params,
                       std::shared_ptr<const Codec> codec)
    : queries_(queries), params_(params), codec_(std::move(codec)), starts_(size() + 1, 0) {
  check_param("ef", params.ef);
  check_param("nprobe", params.nprobe);
  check_param("rerank", params.rerank);
  validate_vectors(queries_, spec.dimension, spec.metric, "the queries");
  if (codec_ == nullptr || codec_->impl().parsed.family != IndexFamily::kIvf) return;
  const Codec::Impl& coarse = codec_->impl();
  const std::size_t nprobe = std::min(static_cast<std::size_t>(params.nprobe.value_or(spec.nprobe)), coarse.parsed.nlist);
  lists_.resize(size() * nprobe);
  // What codes of residuals are worth depends on the exact distance of their centroid.
  const auto precision = coarse.parsed.coding == Coding::kFloat ? ListDistances::kByCodes : ListDistances::kExact;
  std::vector<std::size_t> counts(size());
  SearchWork work;
  coarse.nearest_lists(queries_, nprobe, precision, lists_.data(), counts.data(), work);
  distances_ = work.distances;
  for (std::size_t i = 0; i < size(); ++i) {
    starts_[i + 1] = starts_[i] + counts[i];
    if (starts_[i] != i * nprobe)
      std::copy_n(lists_.begin() + static_cast<std::ptrdiff_t>(i * nprobe), counts[i],
                  lists_.begin() + static_cast<std::ptrdiff_t>(starts_[i]));
  }
  sort_by_list(coarse.parsed.nlist);
  if (coarse.row_scale && spec.search_codes == SearchCodes::kInt8)
    encoded_ = std::make_shared<EncodedQueries>(*coarse.row_scale, queries_);
}

void QueryBatch::sort_by_list(std::size_t nlist) {
  visitor_starts_.assign(nlist + 2, 0);
  for (std::size_t i = 0; i < size(); ++i) {
    for (std::size_t j = 1; j < lists(i).size(); ++j) ++visitor_starts_[lists(i)[j].id + 2];
  }
  for (std::size_t list = 2; list < visitor_starts_.size(); ++list) visitor_starts_[list] += visitor_starts_[list - 1];
  visitors_.resize(visitor_starts_.back());
  for (std::size_t i = 0; i < size(); ++i) {
    for (std::size_t j = 1; j < lists(i).size(); ++j)
      visitors_[visitor_starts_[lists(i)[j].id + 1]++] = static_cast<std::uint32_t>(i);
  }
}

}  // namespace annulus
