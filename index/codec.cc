#include "index/codec.h"

#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexScalarQuantizer.h>
#include <xxhash.h>

#include <utility>

#include "core/durable_file.h"
#include "index/coarse_seeds.h"
#include "index/codec_impl.h"
#include "index/distance.h"
#include "index/faiss_factory.h"
#include "index/index_io.h"

namespace annulus {
namespace {

void put_floats(ByteWriter& writer, std::span<const float> values) {
  writer.put_string({reinterpret_cast<const char*>(values.data()), values.size_bytes()});
}

/// A few iterations on a few rows a list show whether a start is worth it: it leaves this part of the distances at most.
constexpr int kTrialIterations = 3;
constexpr int kTrialRows = 32;
constexpr double kWorthSeeds = 0.9;

/// k-means from seeds; from rows drawn evenly if there are none.
faiss::Clustering cluster(const faiss::IndexIVF& ivf, const faiss::ClusteringParameters& parameters, const float* data,
                          std::size_t n, std::vector<float> seeds) {
  faiss::Clustering clustering(ivf.d, static_cast<int>(ivf.nlist), parameters);
  clustering.centroids = std::move(seeds);
  faiss::IndexFlatL2 assigner(ivf.d);  // to centroids of one length, where directions count
  clustering.train(static_cast<std::int64_t>(n), data, assigner);
  return clustering;
}

/// Leaves the quantizer to FAISS, whose k-means begins with rows drawn evenly, unless seeds that are far apart are much better:
/// rows lie in clusters then, a third of which have none of the rows drawn and would share lists with others for good.
void train_coarse(faiss::IndexIVF& ivf, const float* data, std::size_t n) {
  if (n == ivf.nlist) return;  // each row is a centroid
  faiss::ClusteringParameters few = ivf.cp;
  few.niter = kTrialIterations;
  few.max_points_per_centroid = kTrialRows;
  const auto seed = static_cast<std::uint64_t>(ivf.cp.seed);
  const faiss::Clustering even = cluster(ivf, few, data, n, {});
  const faiss::Clustering apart =
      cluster(ivf, few, data, n, coarse_seeds(data, n, static_cast<std::size_t>(ivf.d), ivf.nlist, seed));
  if (!(apart.iteration_stats.back().obj < kWorthSeeds * even.iteration_stats.back().obj)) return;  // nor if they are infinite
  const faiss::Clustering clustering = cluster(ivf, ivf.cp, data, n, apart.centroids);
  // a quantizer that has its centroids is a trained one to FAISS
  ivf.quantizer->reset();
  ivf.quantizer->add(static_cast<std::int64_t>(ivf.nlist), clustering.centroids.data());
  ivf.quantizer->is_trained = true;
}

}  // namespace

std::uint64_t codec_fingerprint(const Codec::Impl& impl) {
  ByteWriter writer;
  writer.put(impl.version());
  writer.put(std::uint64_t{impl.spec.dimension});
  writer.put(static_cast<std::uint8_t>(impl.spec.metric));
  writer.put_string(impl.spec.factory);
  if (impl.parsed.family == IndexFamily::kHnsw) {
    put_floats(writer, impl.hnsw_scales().trained);
  } else {
    put_floats(writer, impl.centroids());
    if (impl.row_scale) writer.put_string(impl.scale_bytes());
    if (const auto* sq = dynamic_cast<const faiss::IndexIVFScalarQuantizer*>(impl.index.get())) put_floats(writer, sq->sq.trained);
    if (const auto* pq = dynamic_cast<const faiss::IndexIVFPQ*>(impl.index.get())) put_floats(writer, pq->pq.centroids);
  }
  const std::string bytes = writer.take();
  return XXH3_64bits(bytes.data(), bytes.size());
}

Codec::Codec(std::unique_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
Codec::~Codec() = default;

std::shared_ptr<const Codec> Codec::from_impl(std::unique_ptr<const Impl> impl) {
  return std::shared_ptr<const Codec>(new Codec(std::move(impl)));
}

std::shared_ptr<const Codec> Codec::train(const IndexSpec& spec, const MatrixView& samples) {
  if (!needs_training(spec)) {
    throw Error(ErrorCode::kFailedPrecondition, "index \"" + spec.factory + "\" needs no training; use it without a codec");
  }
  validate_vectors(samples, spec.dimension, spec.metric, "the training samples");
  const auto n = static_cast<std::size_t>(samples.rows());
  const std::size_t least = min_training_samples(spec);
  if (n < least) {
    throw Error(ErrorCode::kInvalidArgument, std::to_string(n) + " training samples for index \"" + spec.factory +
                                                 "\", which needs at least " + std::to_string(least) + " (40 a list are good)");
  }
  auto impl = std::make_unique<Impl>();
  impl->spec = spec;
  impl->parsed = parse_spec(spec);
  impl->index = make_untrained(spec, impl->parsed);
  const Matrix contiguous = samples.outerStride() == samples.cols() ? Matrix() : Matrix(samples);
  const float* data = contiguous.size() == 0 ? samples.data() : contiguous.data();
  with_faiss("training", [&] {
    // a graph of centroids wants neighbours that lead from one to the other, not one centroid a cluster
    const bool flat = impl->parsed.family == IndexFamily::kIvf && impl->parsed.quantizer_m == 0;
    if (flat) train_coarse(dynamic_cast<faiss::IndexIVF&>(*impl->index), data, n);
    impl->index->train(static_cast<std::int64_t>(n), data);
  });
  if (has_row_scale(spec, impl->parsed)) impl->row_scale = Int8Scale::learn(spec.metric, data, n, spec.dimension);
  impl->finish();
  return from_impl(std::move(impl));
}

std::shared_ptr<const Codec> Codec::from_bytes(std::string_view bytes, std::string_view name) {
  std::uint32_t version = 0;
  const std::string_view payload = open_envelope(EnvelopeKind::kCodec, kSpecVersion, bytes, name, &version);
  return reading(name, [&] {
    ByteReader reader(payload);
    const IndexSpec spec = get_spec(reader, version);
    const auto fingerprint = reader.get<std::uint64_t>();
    const std::string_view scale = version >= 2 ? reader.get_string() : std::string_view();
    const std::string_view trained = reader.get_string();
    if (reader.left() != 0) throw Error(ErrorCode::kDataLoss, "there are bytes to spare");
    if (!needs_training(spec)) throw Error(ErrorCode::kDataLoss, "a codec for index \"" + spec.factory + "\", which has none");
    auto impl = Impl::adopt(spec, *read_faiss_index(trained), scale);
    if (impl->fingerprint != fingerprint) throw Error(ErrorCode::kDataLoss, "its fingerprint is not that of its contents");
    return from_impl(std::move(impl));
  });
}

const IndexSpec& Codec::spec() const noexcept { return impl_->spec; }

std::uint64_t Codec::fingerprint() const noexcept { return impl_->fingerprint; }

std::uint32_t Codec::version() const noexcept { return impl_->version(); }

bool Codec::matches(const IndexSpec& other) const noexcept {
  return other.dimension == spec().dimension && other.metric == spec().metric && other.factory == spec().factory;
}

std::string Codec::to_bytes() const {
  ByteWriter writer;
  put_spec(writer, spec());
  writer.put(fingerprint());
  writer.put_string(impl_->scale_bytes());
  writer.put_string(write_faiss_index(*impl_->index));
  return seal_envelope(EnvelopeKind::kCodec, kSpecVersion, writer.take());
}

std::size_t Codec::memory_bytes() const noexcept {
  const std::size_t d = spec().dimension;
  std::size_t floats = impl_->parsed.coding == Coding::kSq8 ? 2 * d : impl_->parsed.coding == Coding::kPq ? 256 * d : 0;
  std::size_t links = 0;
  if (impl_->parsed.family == IndexFamily::kIvf) {
    floats += impl_->parsed.nlist * d;
    if (impl_->parsed.quantizer_m != 0) links = static_cast<const faiss::IndexHNSW*>(impl_->ivf().quantizer)->hnsw.neighbors.size();
  }
  if (impl_->row_scale) floats += d;
  return sizeof(Impl) + (impl_->coarse ? impl_->coarse->memory_bytes() : 0) + floats * sizeof(float) + links * sizeof(std::int32_t);
}

}  // namespace annulus
