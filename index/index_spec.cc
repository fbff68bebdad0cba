#include "index/index_spec.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/error.h"

namespace annulus {
namespace {

constexpr int kMinLinks = 2;
constexpr int kMaxLinks = 256;
constexpr std::uint64_t kMaxLists = std::uint64_t{1} << 20;
constexpr std::size_t kPqCentroids = 256;
constexpr std::string_view kSupported =
    "supported are Flat, HNSW<M>, HNSW<M>,SQ8, IVF<n>,Flat, IVF<n>,SQ8, IVF<n>,PQ<m>, and IVF<n>_HNSW<M> with the same codings";

[[noreturn]] void refuse(const std::string& factory) {
  throw Error(ErrorCode::kUnimplemented, "index \"" + factory + "\" is not supported; " + std::string(kSupported));
}

/// Takes `prefix` and the decimal number behind it off the front of `text`.
std::optional<std::uint64_t> take_number(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return std::nullopt;
  const std::string_view rest = text.substr(prefix.size());
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error == std::errc::invalid_argument) return std::nullopt;
  if (error != std::errc{}) value = UINT64_MAX;
  text = rest.substr(static_cast<std::size_t>(end - rest.data()));
  return value;
}

std::uint64_t check_range(const std::string& what, std::uint64_t value, std::uint64_t low, std::uint64_t high) {
  if (value < low || value > high) {
    throw Error(ErrorCode::kInvalidArgument,
                what + " is " + std::to_string(value) + ", expected " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

void check_positive(const char* what, int value) {
  if (value <= 0) {
    throw Error(ErrorCode::kInvalidArgument, std::string(what) + " is " + std::to_string(value) + ", expected a number > 0");
  }
}

int links(const IndexSpec& spec, std::uint64_t m) {
  return static_cast<int>(check_range("M of index \"" + spec.factory + "\"", m, kMinLinks, kMaxLinks));
}

ParsedSpec parse_hnsw(const IndexSpec& spec, std::uint64_t m, std::string_view rest) {
  if (!rest.empty() && rest != ",SQ8") refuse(spec.factory);
  ParsedSpec parsed;
  parsed.family = IndexFamily::kHnsw;
  parsed.coding = rest.empty() ? Coding::kFloat : Coding::kSq8;
  parsed.m = links(spec, m);
  return parsed;
}

ParsedSpec parse_ivf(const IndexSpec& spec, std::uint64_t nlist, std::string_view rest) {
  ParsedSpec parsed;
  parsed.family = IndexFamily::kIvf;
  const std::optional<std::uint64_t> quantizer_m = take_number(rest, "_HNSW");
  const std::optional<std::uint64_t> pq_m = take_number(rest, ",PQ");
  if (pq_m ? !rest.empty() : rest != ",Flat" && rest != ",SQ8") refuse(spec.factory);
  parsed.coding = pq_m ? Coding::kPq : rest == ",SQ8" ? Coding::kSq8 : Coding::kFloat;
  parsed.nlist = check_range("the number of lists of index \"" + spec.factory + "\"", nlist, 1, kMaxLists);
  if (quantizer_m) parsed.quantizer_m = links(spec, *quantizer_m);
  if (pq_m) {
    check_range("the number of subvectors of index \"" + spec.factory + "\"", *pq_m, 1, spec.dimension);
    if (spec.dimension % *pq_m != 0) {
      throw Error(ErrorCode::kInvalidArgument, "PQ" + std::to_string(*pq_m) + " of index \"" + spec.factory +
                                                   "\" does not divide the dimension " + std::to_string(spec.dimension) +
                                                   "; choose a divisor of it");
    }
    parsed.pq_m = static_cast<int>(*pq_m);
  }
  return parsed;
}

}  // namespace

std::string_view to_string(Metric metric) noexcept {
  switch (metric) {
    case Metric::kL2: return "l2";
    case Metric::kInnerProduct: return "ip";
    case Metric::kCosine: return "cosine";
  }
  return "unknown";
}

Metric parse_metric(std::string_view name) {
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine}) {
    if (name == to_string(metric)) return metric;
  }
  throw Error(ErrorCode::kInvalidArgument, "metric \"" + std::string(name) + "\" is unknown; expected l2, ip or cosine");
}

ParsedSpec parse_spec(const IndexSpec& spec) {
  check_range("the dimension", spec.dimension, 1, kMaxDimension);
  check_range("the metric's number", static_cast<std::uint64_t>(spec.metric), 0, 2);
  check_positive("ef_construction", spec.ef_construction);
  check_positive("ef", spec.ef);
  check_positive("nprobe", spec.nprobe);
  if (spec.factory == "Flat") return {};
  std::string_view rest = spec.factory;
  if (const auto m = take_number(rest, "HNSW")) return parse_hnsw(spec, *m, rest);
  if (const auto nlist = take_number(rest, "IVF")) return parse_ivf(spec, *nlist, rest);
  refuse(spec.factory);
}

bool needs_training(const IndexSpec& spec) {
  const ParsedSpec parsed = parse_spec(spec);
  return parsed.family == IndexFamily::kIvf || parsed.coding != Coding::kFloat;
}

std::size_t min_training_samples(const IndexSpec& spec) {
  const ParsedSpec parsed = parse_spec(spec);
  if (parsed.coding == Coding::kPq) return std::max(parsed.nlist, kPqCentroids);
  if (parsed.family == IndexFamily::kIvf) return parsed.nlist;
  return parsed.coding == Coding::kSq8 ? 1 : 0;
}

}  // namespace annulus
