#include "index/vector_index.h"

#include <faiss/Index.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "core/durable_file.h"
#include "core/reused.h"
#include "index/codec_impl.h"
#include "index/distance.h"
#include "index/filtered_search.h"
#include "index/index_io.h"
#include "index/row_store.h"
#include "index/search_scratch.h"

namespace annulus {
namespace {

constexpr std::uint32_t kIndexVersion = kSpecVersion;

[[noreturn]] void throw_size(const char* what, std::size_t given, std::size_t expected) {
  throw Error(ErrorCode::kInvalidArgument,
              std::string(what) + " has size " + std::to_string(given) + ", expected " + std::to_string(expected));
}

std::unique_ptr<RowStore> make_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec* codec,
                                     std::shared_ptr<RowHomes> homes = nullptr, std::size_t number = 0) {
  switch (parsed.family) {
    case IndexFamily::kHnsw: return make_hnsw_store(spec, parsed, codec);
    case IndexFamily::kIvf: return make_ivf_store(spec, parsed, *codec, std::move(homes), number);
    case IndexFamily::kFlat: break;
  }
  return make_flat_store(spec);
}

std::unique_ptr<RowStore> load_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec* codec, const RowTable& rows,
                                     faiss::Index& loaded) {
  switch (parsed.family) {
    case IndexFamily::kHnsw: return load_hnsw_store(spec, parsed, codec, rows, loaded);
    case IndexFamily::kIvf: return load_ivf_store(spec, parsed, *codec, rows, loaded);
    case IndexFamily::kFlat: break;
  }
  return load_flat_store(spec, rows, loaded);
}

/// Which of `ids` an upsert writes: the last of equal ones, in order.
std::vector<std::size_t> last_of_each(std::span<const VectorId> ids) {
  std::vector<std::size_t> kept(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) kept[i] = i;
  std::sort(kept.begin(), kept.end(), [&](std::size_t a, std::size_t b) { return ids[a] != ids[b] ? ids[a] < ids[b] : a > b; });
  kept.erase(std::unique(kept.begin(), kept.end(), [&](std::size_t a, std::size_t b) { return ids[a] == ids[b]; }), kept.end());
  std::sort(kept.begin(), kept.end());
  return kept;
}

std::vector<VectorId> chosen(std::span<const VectorId> ids, std::span<const std::size_t> kept) {
  std::vector<VectorId> of(kept.size());
  for (std::size_t i = 0; i < kept.size(); ++i) of[i] = ids[kept[i]];
  return of;
}

}  // namespace

struct VectorIndex::Impl {
  IndexSpec spec;
  ParsedSpec parsed;
  bool trained_kind = false;  ///< whether it needs a codec
  std::shared_ptr<const Codec> codec;
  RowTable rows;
  std::unique_ptr<RowStore> store;  ///< null while the codec is missing
  mutable FilterCosts filter_costs;

  explicit Impl(IndexSpec given) : spec(std::move(given)), parsed(parse_spec(spec)), trained_kind(needs_training(spec)) {}

  template <typename QueryOf, typename IdOf>
  void distances(const QueryOf& query_of, const IdOf& id_of, std::span<float> out) const;

  void require_store() const {
    if (store == nullptr) {
      throw Error(ErrorCode::kFailedPrecondition,
                  "index \"" + spec.factory + "\" is untrained; train a Codec and attach it before adding or searching");
    }
  }

  void check_codec(const std::shared_ptr<const Codec>& given) const {
    if (given == nullptr) throw Error(ErrorCode::kInvalidArgument, "a null codec; pass one from Codec::train");
    if (!given->matches(spec)) {
      const auto describe = [](const IndexSpec& s) {
        return "\"" + s.factory + "\" of dimension " + std::to_string(s.dimension) + " and metric " +
               std::string(to_string(s.metric));
      };
      throw Error(ErrorCode::kInvalidArgument, "a codec for " + describe(given->spec()) + ", expected one for " + describe(spec));
    }
  }

  void require_codes() const {
    require_store();
    if (store->code_bytes() == 0) {
      throw Error(ErrorCode::kFailedPrecondition,
                  "index \"" + spec.factory + "\" has no codes that could be moved; move the vectors themselves");
    }
  }

  void search(const QueryBatch& batch, std::size_t k, SearchPhase phase, const Filter* filter, const TieOrder* order,
              std::span<SharedBound> bounds, std::span<Candidate> out, std::span<std::size_t> counts, SearchWork* work) const {
    require_store();
    const std::size_t n = batch.size();
    if (k == 0) throw Error(ErrorCode::kInvalidArgument, "k is 0, expected at least 1");
    if (n != 0 && k > std::numeric_limits<std::size_t>::max() / n) {
      throw Error(ErrorCode::kInvalidArgument, "k is " + std::to_string(k) + ": no memory has room for that many answers");
    }
    if (out.size() != n * k) throw_size("the span of candidates", out.size(), n * k);
    if (counts.size() != n) throw_size("the span of counts", counts.size(), n);
    if (!bounds.empty() && bounds.size() != n) throw_size("the span of bounds", bounds.size(), n);
    if (n == 0) return;
    if (static_cast<std::size_t>(batch.queries().cols()) != spec.dimension) {
      throw_size("a query of the batch", static_cast<std::size_t>(batch.queries().cols()), spec.dimension);
    }
    SearchWork done;
    search_rows({spec, parsed, codec, rows, *store, filter_costs}, {batch, k, phase, filter, order, bounds, rows, done}, out.data(),
                counts.data());
    if (work != nullptr) {
      work->distances += done.distances;
      work->exact_scans += done.exact_scans;
    }
  }

  /// What the store's RowPolicy allows: lists hold any rows, and need to be told where they are anyhow.
  RowNumbers numbers() const noexcept {
    return parsed.family == IndexFamily::kIvf ? RowNumbers::kIds : RowNumbers::kInOrder;
  }

  /// Rows for the kept ids, for which there is room, as RowTable::assign will take them.
  std::vector<Row> choose_rows(std::span<const VectorId> ids, std::span<const std::size_t> kept) const {
    std::vector<Row> chosen(kept.size());
    if (rows.by_id()) {
      for (std::size_t i = 0; i < kept.size(); ++i) chosen[i] = static_cast<Row>(ids[kept[i]]);
      return chosen;
    }
    std::optional<Row> free = rows.first_free();
    std::size_t next = rows.rows();
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const std::optional<Row> own = store->policy() == RowPolicy::kAppend ? std::nullopt : rows.find(ids[kept[i]]);
      if (own) {
        chosen[i] = *own;
      } else if (free) {
        chosen[i] = *free;
        free = rows.free_after(*free);
      } else {
        chosen[i] = static_cast<Row>(next++);
      }
    }
    if (next > kMaxRows) {
      throw Error(ErrorCode::kResourceExhausted, "an index of " + std::to_string(next) + " rows, of which it can hold " +
                                                     std::to_string(kMaxRows) + "; compact it, or use more shards");
    }
    return chosen;
  }
};

VectorIndex::VectorIndex(IndexSpec spec, std::shared_ptr<const Codec> codec) : impl_(std::make_unique<Impl>(std::move(spec))) {
  if (codec != nullptr) {
    attach_codec(std::move(codec));
  } else if (!impl_->trained_kind) {
    impl_->store = make_store(impl_->spec, impl_->parsed, nullptr);
  }
}

VectorIndex::VectorIndex(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
VectorIndex::~VectorIndex() = default;
VectorIndex::VectorIndex(VectorIndex&&) noexcept = default;
VectorIndex& VectorIndex::operator=(VectorIndex&&) noexcept = default;

void VectorIndex::attach_codec(std::shared_ptr<const Codec> codec) { attach_codec(std::move(codec), nullptr, 0); }

void VectorIndex::attach_codec(std::shared_ptr<const Codec> codec, std::shared_ptr<RowHomes> homes, std::size_t number) {
  if (!impl_->trained_kind) {
    throw Error(ErrorCode::kFailedPrecondition, "index \"" + spec().factory + "\" needs no codec; use it as it is");
  }
  impl_->check_codec(codec);
  if (size() != 0) {
    throw Error(ErrorCode::kFailedPrecondition,
                "the index holds " + std::to_string(size()) + " vectors in codes of its codec; attach another to an empty index");
  }
  const RowNumbers numbers = homes != nullptr && impl_->numbers() == RowNumbers::kIds ? RowNumbers::kIdsAlways : impl_->numbers();
  std::unique_ptr<RowStore> store = make_store(spec(), impl_->parsed, codec.get(), std::move(homes), number);
  impl_->rows = RowTable(numbers);
  impl_->store = std::move(store);
  impl_->codec = std::move(codec);
}

const IndexSpec& VectorIndex::spec() const noexcept { return impl_->spec; }
const std::shared_ptr<const Codec>& VectorIndex::codec() const noexcept { return impl_->codec; }
bool VectorIndex::ready() const noexcept { return impl_->store != nullptr; }
bool VectorIndex::lossless() const noexcept { return impl_->parsed.coding == Coding::kFloat; }
bool VectorIndex::distances_are_exact() const noexcept { return true; }

void VectorIndex::upsert(std::span<const VectorId> ids, const MatrixView& vectors) {
  StagedRows staged = stage(ids, vectors, [](const std::function<void()>& step) { step(); });
  commit(staged, staged.left());
}

StagedRows VectorIndex::stage(std::span<const VectorId> ids, const MatrixView& vectors, const WhileAlone& alone) {
  impl_->require_store();
  StagedRows staged;
  const auto n = static_cast<std::size_t>(vectors.rows());
  if (ids.size() != n) throw_size("the span of ids", ids.size(), n);
  if (n == 0) return staged;
  const std::size_t d = spec().dimension;
  validate_vectors(vectors, d, spec().metric, "the vectors");
  const std::vector<std::size_t> kept = last_of_each(ids);
  staged.ids_ = chosen(ids, kept);
  staged.vectors_ = vectors.data();
  if (kept.size() != n || static_cast<std::size_t>(vectors.outerStride()) != d) {
    staged.gathered_.resize(kept.size() * d);
    for (std::size_t i = 0; i < kept.size(); ++i) std::copy_n(row_data(vectors, kept[i]), d, staged.gathered_.data() + i * d);
    staged.vectors_ = staged.gathered_.data();
  }
  const VectorId greatest = *std::max_element(staged.ids_.begin(), staged.ids_.end());
  impl_->rows.reserve(kept.size(), greatest, alone);
  staged.rows_ = impl_->choose_rows(ids, kept);
  impl_->store->stage(staged.rows_, staged.vectors_, alone);
  return staged;
}

std::size_t VectorIndex::code_bytes() const noexcept { return ready() ? impl_->store->code_bytes() : 0; }

bool VectorIndex::read_code(VectorId id, std::span<std::uint8_t> out) const {
  impl_->require_codes();
  if (out.size() != code_bytes()) throw_size("the code to write", out.size(), code_bytes());
  const std::optional<Row> row = impl_->rows.find(id);
  if (row) impl_->store->read_code(*row, out.data());
  return row.has_value();
}

void VectorIndex::check_codes(std::span<const std::uint8_t> codes) const {
  impl_->require_codes();
  const std::size_t bytes = code_bytes();
  if (codes.size() % bytes != 0) throw_size("the last code", codes.size() % bytes, bytes);
  for (std::size_t i = 0; i < codes.size() / bytes; ++i) impl_->store->check_code(i, codes.data() + i * bytes);
}

StagedRows VectorIndex::stage_codes(std::span<const VectorId> ids, std::span<const std::uint8_t> codes, const WhileAlone& alone) {
  impl_->require_codes();
  const std::size_t bytes = code_bytes();
  if (codes.size() != ids.size() * bytes) throw_size("the span of codes", codes.size(), ids.size() * bytes);
  check_codes(codes);
  StagedRows staged;
  if (ids.empty()) return staged;
  const std::vector<std::size_t> kept = last_of_each(ids);
  staged.ids_ = chosen(ids, kept);
  std::vector<std::uint8_t> gathered(kept.size() == ids.size() ? 0 : kept.size() * bytes);
  if (!gathered.empty()) {
    for (std::size_t i = 0; i < kept.size(); ++i) std::copy_n(codes.data() + kept[i] * bytes, bytes, gathered.data() + i * bytes);
    codes = gathered;
  }
  const VectorId greatest = *std::max_element(staged.ids_.begin(), staged.ids_.end());
  impl_->rows.reserve(kept.size(), greatest, alone);
  staged.rows_ = impl_->choose_rows(ids, kept);
  impl_->store->stage_codes(staged.rows_, codes.data(), alone);
  return staged;
}

void VectorIndex::upsert_codes(std::span<const VectorId> ids, std::span<const std::uint8_t> codes) {
  StagedRows staged = stage_codes(ids, codes, [](const std::function<void()>& step) { step(); });
  commit(staged, staged.left());
}

void VectorIndex::commit(StagedRows& staged, std::size_t count) {
  count = std::min(count, staged.left());
  const auto rows = std::span<const Row>(staged.rows_).subspan(staged.next_, count);
  const float* vectors = staged.vectors_ == nullptr ? nullptr : staged.vectors_ + staged.next_ * spec().dimension;
  impl_->store->commit(rows, vectors);
  for (const Row row : rows) impl_->rows.assign(staged.ids_[staged.next_++], row);
}

void VectorIndex::abandon(StagedRows& staged) noexcept {
  if (staged.left() == 0) return;
  impl_->store->abandon();
  if (impl_->store->policy() == RowPolicy::kAppend) {
    for (std::size_t i = 0; i < staged.left(); ++i) impl_->rows.append_dead();
  }
  staged.next_ = staged.ids_.size();
}

std::size_t VectorIndex::erase(std::span<const VectorId> ids) {
  constexpr std::size_t kPlacesAhead = 16;
  constexpr std::size_t kRowsAhead = 6;
  const auto later = [&](std::size_t at) { return at < ids.size() ? impl_->rows.find(ids[at]) : std::nullopt; };
  std::size_t erased = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (const std::optional<Row> row = later(i + kPlacesAhead)) impl_->store->prefetch_place(*row);
    if (const std::optional<Row> row = later(i + kRowsAhead)) impl_->store->prefetch(*row);
    const VectorId id = ids[i];
    const std::optional<Row> row = impl_->rows.find(id);
    if (!row) continue;
    ++erased;
    impl_->store->remove(*row);
    switch (impl_->store->policy()) {
      case RowPolicy::kDense: impl_->rows.release_swapping_last(id); break;
      case RowPolicy::kAppend: impl_->rows.release(id, RowState::kDead); break;
      case RowPolicy::kReuse: impl_->rows.release(id, RowState::kFree); break;
    }
  }
  return erased;
}

bool VectorIndex::contains(VectorId id) const noexcept { return impl_->rows.find(id).has_value(); }
std::size_t VectorIndex::size() const noexcept { return impl_->rows.live(); }
std::size_t VectorIndex::dead_rows() const noexcept { return impl_->rows.dead(); }

double VectorIndex::dead_fraction() const noexcept {
  const std::size_t all = size() + dead_rows();
  return all == 0 ? 0 : static_cast<double>(dead_rows()) / static_cast<double>(all);
}

std::size_t VectorIndex::memory_bytes() const noexcept {
  return sizeof(Impl) + impl_->rows.memory_bytes() + (ready() ? impl_->store->memory_bytes() : 0);
}

void VectorIndex::ids(std::span<VectorId> out) const {
  if (out.size() != size()) throw_size("the span of ids", out.size(), size());
  std::size_t written = 0;
  for (std::size_t row = 0; row < impl_->rows.rows(); ++row) {
    if (impl_->rows.is_live(static_cast<Row>(row))) out[written++] = impl_->rows.id(static_cast<Row>(row));
  }
}

VectorId VectorIndex::ids_end() const noexcept { return impl_->rows.ids_end(); }

bool VectorIndex::reconstruct(VectorId id, std::span<float> out) const {
  if (out.size() != spec().dimension) throw_size("the vector to write", out.size(), spec().dimension);
  const std::optional<Row> row = impl_->rows.find(id);
  if (!row) return false;
  const float* stored = impl_->store->vector(*row, out.data());
  if (stored != out.data()) std::copy_n(stored, out.size(), out.data());
  return true;
}

void VectorIndex::search(const MatrixView& queries, std::size_t k, const SearchParams& params, const Filter* filter,
                         const TieOrder* order, std::span<Candidate> out, std::span<std::size_t> counts, SearchWork* work) const {
  impl_->require_store();
  const Reused<QueryBatch::Memory> memory;
  const QueryBatch batch(spec(), queries, params, impl_->codec, &*memory);
  search(batch, k, filter, order, out, counts, work);
  if (work != nullptr) work->distances += batch.distances();
}

void VectorIndex::search(const QueryBatch& batch, std::size_t k, const Filter* filter, const TieOrder* order,
                         std::span<Candidate> out, std::span<std::size_t> counts, SearchWork* work) const {
  impl_->search(batch, k, SearchPhase::kAnswers, filter, order, {}, out, counts, work);
}

void VectorIndex::candidates(const QueryBatch& batch, std::size_t k, const Filter* filter, const TieOrder* order,
                             std::span<SharedBound> bounds, std::span<Candidate> out, std::span<std::size_t> counts,
                             SearchWork* work) const {
  impl_->search(batch, k, SearchPhase::kCandidates, filter, order, bounds, out, counts, work);
}

bool VectorIndex::candidates_are_exact() const noexcept { return !ready() || impl_->store->candidates_are_exact(); }

// `query_of` and `id_of` say what is the i-th pair, of which there are as many as `out` has room for.
template <typename QueryOf, typename IdOf>
void VectorIndex::Impl::distances(const QueryOf& query_of, const IdOf& id_of, std::span<float> out) const {
  // A row's place is on its way for so many pairs, then the row for so many.
  constexpr std::size_t kPlacesAhead = 32;
  constexpr std::size_t kRowsAhead = 8;
  ScratchLease scratch;
  scratch->decoded.resize(spec.dimension);
  const auto at = [&](std::size_t i, const auto& use) {
    if (i >= out.size()) return;
    if (const std::optional<Row> row = rows.find(id_of(i))) use(*row);
  };
  const auto ask_place = [&](Row row) { store->prefetch_place(row); };
  const auto ask_row = [&](Row row) { store->prefetch(row); };
  for (std::size_t i = 0; i < kPlacesAhead; ++i) at(i, ask_place);
  for (std::size_t i = 0; i < kRowsAhead; ++i) at(i, ask_row);
  for (std::size_t i = 0; i < out.size(); ++i) {
    at(i + kPlacesAhead, ask_place);
    at(i + kRowsAhead, ask_row);
    const std::optional<Row> row = rows.find(id_of(i));
    out[i] = row ? distance(spec.metric, query_of(i), store->vector(*row, scratch->decoded.data()), spec.dimension)
                 : std::numeric_limits<float>::infinity();
  }
}

void VectorIndex::distances(const VectorView& query, std::span<const VectorId> ids, std::span<float> out) const {
  impl_->require_store();
  if (out.size() != ids.size()) throw_size("the span of distances", out.size(), ids.size());
  validate_vectors(map_rows(query.data(), 1, static_cast<std::size_t>(query.cols())), spec().dimension, spec().metric,
                   "the query's components");
  impl_->distances([&](std::size_t) { return query.data(); }, [&](std::size_t i) { return ids[i]; }, out);
}

void VectorIndex::distances(const MatrixView& queries, std::span<const Pair> pairs, std::span<float> out) const {
  impl_->require_store();
  if (out.size() != pairs.size()) throw_size("the span of distances", out.size(), pairs.size());
  validate_vectors(queries, spec().dimension, spec().metric, "the queries");
  const auto n = static_cast<std::size_t>(queries.rows());
  for (const Pair& pair : pairs) {
    if (pair.query >= n) {
      throw Error(ErrorCode::kInvalidArgument,
                  "a pair of query " + std::to_string(pair.query) + ", there are " + std::to_string(n) + " queries");
    }
  }
  impl_->distances([&](std::size_t i) { return row_data(queries, pairs[i].query); }, [&](std::size_t i) { return pairs[i].id; },
                   out);
}

VectorIndex VectorIndex::compacted() const {
  auto copy = std::make_unique<Impl>(spec());
  copy->codec = impl_->codec;
  if (!ready()) return VectorIndex(std::move(copy));
  std::vector<Row> live;
  live.reserve(size());
  VectorId greatest = 0;
  for (std::size_t i = 0; i < impl_->rows.rows(); ++i) {
    if (impl_->rows.is_live(static_cast<Row>(i))) greatest = std::max(greatest, impl_->rows.id(static_cast<Row>(i)));
  }
  copy->rows.reserve(size(), greatest);
  for (std::size_t i = 0; i < impl_->rows.rows(); ++i) {
    const Row row = static_cast<Row>(i);
    if (!impl_->rows.is_live(row)) continue;
    copy->rows.assign(impl_->rows.id(row), static_cast<Row>(live.size()));
    live.push_back(row);
  }
  copy->store = impl_->store->compacted(live);
  return VectorIndex(std::move(copy));
}

std::string VectorIndex::to_bytes() const {
  ByteWriter writer;
  put_spec(writer, spec());
  writer.put(static_cast<std::uint8_t>(impl_->codec != nullptr));
  writer.put(impl_->codec == nullptr ? std::uint64_t{0} : impl_->codec->fingerprint());
  writer.put(std::uint64_t{impl_->rows.rows()});
  const auto rows = static_cast<Row>(impl_->rows.rows());
  for (Row row = 0; row < rows; ++row) writer.put(impl_->rows.state(row) == RowState::kFree ? VectorId{0} : impl_->rows.id(row));
  for (Row row = 0; row < rows; ++row) writer.put(static_cast<std::uint8_t>(impl_->rows.state(row)));
  if (impl_->codec != nullptr) writer.put_string(impl_->codec->impl().scale_bytes());
  std::string container;
  if (ready()) impl_->store->with_container([&](const faiss::Index& index) { container = write_faiss_index(index); });
  writer.put_string(container);
  return seal_envelope(EnvelopeKind::kIndex, kIndexVersion, writer.take());
}

VectorIndex VectorIndex::from_bytes(std::string_view bytes, std::shared_ptr<const Codec> codec, std::string_view name) {
  std::uint32_t version = 0;
  const std::string_view payload = open_envelope(EnvelopeKind::kIndex, kIndexVersion, bytes, name, &version);
  return reading(name, [&] {
    ByteReader reader(payload);
    auto impl = std::make_unique<Impl>(get_spec(reader, version));
    const auto has_codec = reader.get<std::uint8_t>();
    const auto fingerprint = reader.get<std::uint64_t>();
    const auto count = reader.get<std::uint64_t>();
    check_loaded(has_codec <= (impl->trained_kind ? 1 : 0), "it has a codec that its spec has no use for");
    check_loaded(count <= reader.left() / (sizeof(VectorId) + 1) && count <= kMaxRows, "it has more rows than bytes");
    std::vector<VectorId> ids(count);
    for (VectorId& id : ids) id = reader.get<std::uint64_t>();
    std::vector<RowState> states(count);
    for (RowState& state : states) state = static_cast<RowState>(reader.get<std::uint8_t>());
    std::optional<RowTable> rows = RowTable::restore(std::move(ids), std::move(states), impl->numbers());
    check_loaded(rows.has_value(), "an id is in two rows, or a row in no state that is known");
    impl->rows = std::move(*rows);
    const std::string_view scale = has_codec != 0 && version >= 2 ? reader.get_string() : std::string_view();
    const std::string_view blob = reader.get_string();
    check_loaded(reader.left() == 0, "there are bytes to spare");
    if (codec != nullptr) {
      impl->check_codec(codec);
      if (has_codec != 0 && codec->fingerprint() != fingerprint) {
        throw Error(ErrorCode::kInvalidArgument, std::string(name) + " was written with the codec of fingerprint " +
                                                     std::to_string(fingerprint) + ", not with the one given, " +
                                                     std::to_string(codec->fingerprint()));
      }
    }
    if (impl->trained_kind && has_codec == 0) {
      check_loaded(blob.empty() && count == 0, "it has rows and no codec");
      return codec == nullptr ? VectorIndex(std::move(impl)) : VectorIndex(impl->spec, std::move(codec));
    }
    const std::unique_ptr<faiss::Index> loaded = read_faiss_index(blob);
    if (has_codec != 0 && codec == nullptr) {
      codec = Codec::from_impl(Codec::Impl::adopt(impl->spec, *loaded, scale));
      check_loaded(codec->fingerprint() == fingerprint, "the fingerprint of its codec is not that of its contents");
    }
    impl->codec = std::move(codec);
    impl->store = load_store(impl->spec, impl->parsed, impl->codec.get(), impl->rows, *loaded);
    return VectorIndex(std::move(impl));
  });
}

void VectorIndex::save(const std::filesystem::path& path) const { write_file_atomically(path, to_bytes()); }

VectorIndex VectorIndex::load(const std::filesystem::path& path, std::shared_ptr<const Codec> codec) {
  return from_bytes(read_file(path), std::move(codec), path.string());
}

}  // namespace annulus
