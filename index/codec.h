// What training makes and encoding needs: coarse centroids, int8 scales, PQ codebooks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/matrix.h"
#include "index/index_spec.h"

namespace annulus {

/// A trained codec. Immutable, shared by all indexes of a cluster: shards whose codecs have one fingerprint hold
/// interchangeable codes. Thread safety: everything is const.
class Codec {
 public:
  /// Trains on `samples` (n x d floats, row-major). Deterministic: the same spec, samples and seed give the same
  /// fingerprint on one instruction set. One thread; O(n nlist d) for IVF.
  /// Throws Error(kFailedPrecondition) if the spec needs no training, Error(kInvalidArgument) for too few samples
  /// (min_training_samples), another dimension, NaN or infinity, and zero vectors under kCosine; also as parse_spec.
  static std::shared_ptr<const Codec> train(const IndexSpec& spec, const MatrixView& samples);

  /// The inverse of to_bytes. `name` names the source in messages. Throws as core/durable_file.h's open_envelope, and
  /// Error(kDataLoss) for contents that contradict themselves.
  static std::shared_ptr<const Codec> from_bytes(std::string_view bytes, std::string_view name = "codec");

  ~Codec();
  Codec(const Codec&) = delete;
  Codec& operator=(const Codec&) = delete;

  /// The spec it was trained for.
  const IndexSpec& spec() const noexcept;

  /// Hash of what encoding depends on: equal fingerprints, equal codes.
  std::uint64_t fingerprint() const noexcept;

  /// Version of the codec's format and rules; part of the fingerprint.
  std::uint32_t version() const noexcept;

  /// Whether an index of `spec` can use it: same dimension, metric and factory string.
  bool matches(const IndexSpec& spec) const noexcept;

  /// In an envelope of kind kCodec; docs/formats/index.md.
  std::string to_bytes() const;

  /// Memory held, about.
  std::size_t memory_bytes() const noexcept;

  /// Internal: what the index families take out of it.
  struct Impl;
  const Impl& impl() const noexcept { return *impl_; }
  static std::shared_ptr<const Codec> from_impl(std::unique_ptr<const Impl> impl);

 private:
  explicit Codec(std::unique_ptr<const Impl> impl) noexcept;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace annulus
