// Internal: FAISS indexes made from our specs. Not FAISS's index_factory, which parses more than we support.
#pragma once

#include <cstdint>
#include <memory>

#include "index/faiss_support.h"
#include "index/index_spec.h"

namespace faiss {
struct IndexHNSW;
struct IndexIVF;
}  // namespace faiss

namespace annulus {

/// An empty HNSW with float or int8 storage; the latter is untrained.
std::unique_ptr<faiss::IndexHNSW> make_faiss_hnsw(const IndexSpec& spec, const ParsedSpec& parsed);

/// An empty IVF over `quantizer`, which it does not own; codings are untrained.
std::unique_ptr<faiss::IndexIVF> make_faiss_ivf(const IndexSpec& spec, const ParsedSpec& parsed, faiss::Index* quantizer);

/// Gives `to`, of the same spec, the trained scales or codebooks of `from`.
void copy_coding(const faiss::IndexIVF& from, faiss::IndexIVF& to);

/// What Codec::train starts from: the index of the spec, owning its coarse quantizer, with the seeds set.
std::unique_ptr<faiss::Index> make_untrained(const IndexSpec& spec, const ParsedSpec& parsed);

/// A well mixed non-negative seed for FAISS's generators, `salt` telling uses of one seed apart.
int faiss_seed(std::uint64_t seed, std::uint64_t salt) noexcept;

}  // namespace annulus
