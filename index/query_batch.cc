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

// Lists that a query visits, on average, from which on its nearest is searched first.
constexpr std::size_t kManyLists = 8;

void check_param(const char* name, const std::optional<int>& value) {
  if (value && *value <= 0) {
    throw Error(ErrorCode::kInvalidArgument, std::string(name) + " is " + std::to_string(*value) + ", expected a number > 0");
  }
}

}  // namespace

struct QueryBatch::Parts {
  std::vector<Candidate> lists;
  std::vector<std::size_t> starts;
  std::vector<std::size_t> counts;
  std::vector<std::uint32_t> by_nearest;
  std::vector<std::uint32_t> visitors;
  std::vector<std::uint32_t> visitor_starts;
  EncodedQueries encoded;
};

QueryBatch::Memory::Memory() = default;
QueryBatch::Memory::~Memory() = default;
QueryBatch::Memory::Memory(Memory&&) noexcept = default;
QueryBatch::Memory& QueryBatch::Memory::operator=(Memory&&) noexcept = default;

QueryBatch::QueryBatch(const IndexSpec& spec, const MatrixView& queries, const SearchParams& params,
                       std::shared_ptr<const Codec> codec, Memory* memory)
    : queries_(queries), params_(params), codec_(std::move(codec)) {
  check_param("ef", params.ef);
  check_param("nprobe", params.nprobe);
  check_param("rerank", params.rerank);
  validate_vectors(queries_, spec.dimension, spec.metric, "the queries");
  if (codec_ == nullptr || codec_->impl().parsed.family != IndexFamily::kIvf) return;
  Parts& parts = parts_in(memory);
  const Codec::Impl& coarse = codec_->impl();
  const std::size_t nprobe = std::min(static_cast<std::size_t>(params.nprobe.value_or(spec.nprobe)), coarse.parsed.nlist);
  parts.lists.resize(size() * nprobe);
  parts.counts.resize(size());
  parts.starts.assign(size() + 1, 0);
  SearchWork work;
  coarse.nearest_lists(queries_, nprobe, coarse.precision(), parts.lists.data(), parts.counts.data(), work);
  distances_ = work.distances;
  for (std::size_t i = 0; i < size(); ++i) {
    parts.starts[i + 1] = parts.starts[i] + parts.counts[i];
    if (parts.starts[i] == i * nprobe) continue;
    std::copy_n(parts.lists.begin() + static_cast<std::ptrdiff_t>(i * nprobe), parts.counts[i],
                parts.lists.begin() + static_cast<std::ptrdiff_t>(parts.starts[i]));
  }
  lists_ = parts.lists;
  starts_ = parts.starts;
  sort_by_list(coarse.parsed.nlist, parts);
  if (!coarse.row_scale || spec.search_codes != SearchCodes::kInt8) return;
  parts.encoded.encode(*coarse.row_scale, queries_);
  encoded_ = &parts.encoded;
}

QueryBatch::QueryBatch(const QueryBatch& batch, std::span<const std::span<const Candidate>> lists, Memory* memory)
    : queries_(batch.queries_), params_(batch.params_), codec_(batch.codec_), encoded_(batch.encoded_) {
  Parts& parts = parts_in(memory);
  parts.lists.clear();
  parts.starts.assign(1, 0);
  for (const std::span<const Candidate> of_one : lists) {
    parts.lists.insert(parts.lists.end(), of_one.begin(), of_one.end());
    parts.starts.push_back(parts.lists.size());
  }
  lists_ = parts.lists;
  starts_ = parts.starts;
  sort_by_list(codec_->impl().parsed.nlist, parts);
}

QueryBatch::Parts& QueryBatch::parts_in(Memory* memory) {
  std::unique_ptr<Parts>& made = (memory == nullptr ? own_ : *memory).parts_;
  if (made == nullptr) made = std::make_unique<Parts>();
  return *made;
}

void QueryBatch::sort_by_list(std::size_t nlist, Parts& parts) {
  std::vector<std::uint32_t>& nearest = parts.by_nearest;
  nearest.clear();
  if (lists_.size() >= kManyLists * size()) {
    for (std::size_t i = 0; i < size(); ++i) {
      if (!lists(i).empty()) nearest.push_back(static_cast<std::uint32_t>(i));
    }
    std::sort(nearest.begin(), nearest.end(), [this](std::uint32_t a, std::uint32_t b) {
      return std::pair(lists(a)[0].id, a) < std::pair(lists(b)[0].id, b);
    });
  }
  const std::size_t first = nearest.empty() ? 0 : 1;
  std::vector<std::uint32_t>& starts = parts.visitor_starts;
  starts.assign(nlist + 2, 0);
  for (std::size_t i = 0; i < size(); ++i) {
    for (std::size_t j = first; j < lists(i).size(); ++j) ++starts[lists(i)[j].id + 2];
  }
  for (std::size_t list = 2; list < starts.size(); ++list) starts[list] += starts[list - 1];
  parts.visitors.resize(starts.back());
  for (std::size_t i = 0; i < size(); ++i) {
    for (std::size_t j = first; j < lists(i).size(); ++j) {
      parts.visitors[starts[lists(i)[j].id + 1]++] = static_cast<std::uint32_t>(i);
    }
  }
  by_nearest_ = nearest;
  visitors_ = parts.visitors;
  visitor_starts_ = starts;
}

}  // namespace annulus
