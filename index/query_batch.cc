#include "index/query_batch.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"
#include "index/codec_impl.h"
#include "index/distance.h"

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
  SearchWork work;
  for (std::size_t i = 0; i < size(); ++i) {
    starts_[i + 1] = starts_[i] + coarse.nearest_lists(query(i), std::span(lists_).subspan(starts_[i], nprobe), work);
  }
  distances_ = work.distances;
}

}  // namespace annulus
