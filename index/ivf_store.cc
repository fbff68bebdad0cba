// Inverted lists: FAISS's IndexIVF encodes and holds the rows in the lists of their nearest coarse centroid. Lists are chosen
// by the codec and scanned here, not by FAISS's search: so a query's answer does not depend on its batch, ties are ours to
// order, and lists chosen once can serve many shards. Erase and overwrite are O(1): FAISS's own remove_ids is O(ntotal).
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/invlists/InvertedLists.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "index/codec_impl.h"
#include "index/distance.h"
#include "index/faiss_factory.h"
#include "index/row_store.h"
#include "index/search_scratch.h"
#include "index/top_k.h"

namespace annulus {
namespace {

class IvfStore final : public RowStore {
 public:
  IvfStore(const IndexSpec& spec, const ParsedSpec& parsed, const Codec::Impl& codec)
      : spec_(spec), parsed_(parsed), codec_(codec), index_(make_faiss_ivf(spec, parsed, codec.ivf().quantizer)) {
    copy_coding(codec.ivf(), *index_);
    // ScalarQuantizer::decode opens an OpenMP region for each vector; its quantizer object does not.
    if (const auto* sq = dynamic_cast<const faiss::IndexIVFScalarQuantizer*>(index_.get()))
      decoder_.reset(sq->sq.select_quantizer());
  }

  RowPolicy policy() const noexcept override { return RowPolicy::kReuse; }

  void stage(std::span<const Row> rows, const float* vectors, const WhileAlone& alone) override {
    const auto n = static_cast<std::int64_t>(rows.size());
    abandon();
    staged_lists_.resize(rows.size());
    SearchWork work;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      Candidate nearest;
      codec_.nearest_lists(vectors + i * spec_.dimension, {&nearest, 1}, work);
      staged_lists_[i] = static_cast<std::int64_t>(nearest.id);
    }
    staged_codes_.resize(rows.size() * index_->code_size);
    with_faiss("encoding vectors", [&] { index_->encode_vectors(n, vectors, staged_lists_.data(), staged_codes_.data()); });
    if (!rows.empty()) {
      const std::size_t end = std::max<std::size_t>(places_.size(), *std::max_element(rows.begin(), rows.end()) + 1);
      alone([&] { places_.resize(end); });
    }
  }

  void commit(std::span<const Row> rows, const float*) override {
    for (const Row row : rows) {
      if (places_[row].list != kNowhere) take_out(row);
      append(row, static_cast<std::size_t>(staged_lists_[next_]), staged_codes_.data() + next_ * index_->code_size);
      ++next_;
    }
  }

  void abandon() noexcept override {
    staged_lists_.clear();
    staged_codes_.clear();
    next_ = 0;
  }

  void remove(Row row) override { take_out(row); }

  const float* vector(Row row, float* buffer) const override {
    const Place place = places_[row];
    if (parsed_.coding == Coding::kFloat) return floats(place.list) + std::size_t{place.offset} * spec_.dimension;
    const std::uint8_t* code = lists().get_codes(place.list) + std::size_t{place.offset} * index_->code_size;
    if (parsed_.coding == Coding::kSq8) {
      decoder_->decode_vector(code, buffer);
    } else {
      static_cast<const faiss::IndexIVFPQ&>(*index_).pq.decode(code, buffer);
    }
    const float* centroid = codec_.centroids().data() + place.list * spec_.dimension;
    for (std::size_t i = 0; i < spec_.dimension; ++i) buffer[i] += centroid[i];
    return buffer;
  }

  void search(const RowSearch& search, Candidate* out, std::size_t* counts) const override {
    for (std::size_t i = 0; i < search.batch.size(); ++i) counts[i] = search_one(search, i, out + i * search.k);
  }

  std::unique_ptr<RowStore> compacted(std::span<const Row> rows) const override {
    auto copy = std::make_unique<IvfStore>(spec_, parsed_, codec_);
    copy->places_.resize(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Place place = places_[rows[i]];
      copy->append(static_cast<Row>(i), place.list, lists().get_codes(place.list) + std::size_t{place.offset} * index_->code_size);
    }
    return copy;
  }

  const faiss::Index& container() const noexcept override { return *index_; }

  std::size_t memory_bytes() const noexcept override {
    return static_cast<std::size_t>(index_->ntotal) * (index_->code_size + sizeof(std::int64_t)) +
           places_.capacity() * sizeof(Place) + parsed_.nlist * 2 * sizeof(std::vector<std::uint8_t>);
  }

  void take(const RowTable& rows, faiss::Index& loaded) {
    auto* from = dynamic_cast<faiss::IndexIVF*>(&loaded);
    check_loaded(from != nullptr && from->d == index_->d && same_bytes(from->metric_type, index_->metric_type) &&
                     from->nlist == parsed_.nlist && from->code_size == index_->code_size,
                 "it holds another index than its spec says");
    const auto* saved = dynamic_cast<const faiss::ArrayInvertedLists*>(from->invlists);
    check_loaded(saved != nullptr && saved->nlist == parsed_.nlist && saved->code_size == index_->code_size &&
                     saved->codes.size() == parsed_.nlist && saved->ids.size() == parsed_.nlist,
                 "its lists are of another kind or number");
    check_loaded(static_cast<std::size_t>(from->ntotal) == rows.live() && rows.dead() == 0,
                 "its row map and its index differ in size");
    places_.resize(rows.rows());
    for (std::size_t list = 0; list < parsed_.nlist; ++list) {
      const std::size_t size = saved->ids[list].size();
      check_loaded(saved->codes[list].size() == size * index_->code_size, "a list has more or fewer codes than rows");
      for (std::size_t i = 0; i < size; ++i) {
        const std::int64_t row = saved->ids[list][i];
        check_loaded(row >= 0 && static_cast<std::size_t>(row) < rows.rows() && rows.is_live(static_cast<Row>(row)) &&
                         places_[static_cast<std::size_t>(row)].list == kNowhere,
                     "a list holds a row that is not live, or is in another list too");
        places_[static_cast<std::size_t>(row)] = {static_cast<std::uint32_t>(list), static_cast<std::uint32_t>(i)};
      }
      if (size != 0) lists().add_entries(list, size, saved->ids[list].data(), saved->codes[list].data());
    }
    std::size_t placed = 0;
    for (const Place& place : places_) placed += place.list != kNowhere;
    check_loaded(placed == rows.live(), "a live row is in no list");
    index_->ntotal = from->ntotal;
  }

 private:
  static constexpr std::uint32_t kNowhere = UINT32_MAX;

  struct Place {
    std::uint32_t list = kNowhere;
    std::uint32_t offset = 0;
  };

  faiss::InvertedLists& lists() const noexcept { return *index_->invlists; }

  const float* floats(std::size_t list) const { return reinterpret_cast<const float*>(lists().get_codes(list)); }

  void append(Row row, std::size_t list, const std::uint8_t* code) {
    const std::size_t offset = lists().add_entry(list, row, code);
    places_[row] = {static_cast<std::uint32_t>(list), static_cast<std::uint32_t>(offset)};
    ++index_->ntotal;
  }

  /// Moves the last entry of the row's list into its place.
  void take_out(Row row) {
    const Place hole = places_[row];
    const std::size_t last = lists().list_size(hole.list) - 1;
    if (hole.offset != last) {
      const std::int64_t moved = lists().get_single_id(hole.list, last);
      lists().update_entry(hole.list, hole.offset, moved, lists().get_codes(hole.list) + last * index_->code_size);
      places_[static_cast<std::size_t>(moved)] = hole;
    }
    lists().resize(hole.list, last);
    places_[row] = Place{};
    --index_->ntotal;
  }

  std::size_t search_one(const RowSearch& search, std::size_t number, Candidate* out) const {
    const float* query = search.batch.query(number);
    const std::span<const Candidate> lists = search.batch.lists(number);
    TopK nearest({out, search.k}, search.order);
    if (parsed_.coding == Coding::kFloat) {
      for (const Candidate& list : lists) scan_floats(search, query, static_cast<std::size_t>(list.id), nearest);
      return nearest.finish().size();
    }
    with_faiss("scanning lists", [&] { scan_codes(search, query, lists, nearest); });
    const std::span<Candidate> near = nearest.finish();
    ScratchLease scratch;
    scratch->decoded.resize(spec_.dimension);
    for (Candidate& candidate : near) {
      const float* stored = vector(*search.rows.find(candidate.id), scratch->decoded.data());
      candidate.distance = distance(spec_.metric, query, stored, spec_.dimension);
    }
    search.work.distances += near.size();
    std::sort(near.begin(), near.end(), NearerThan{search.order});
    return near.size();
  }

  void scan_floats(const RowSearch& search, const float* query, std::size_t list, TopK& nearest) const {
    const std::size_t size = lists().list_size(list);
    const std::size_t d = spec_.dimension;
    const std::int64_t* rows = lists().get_ids(list);
    std::array<float, 256> found;
    for (std::size_t begin = 0; begin < size; begin += found.size()) {
      const std::size_t n = std::min(found.size(), size - begin);
      distances(spec_.metric, query, floats(list) + begin * d, n, d, d, found.data());
      for (std::size_t i = 0; i < n; ++i) {
        const Row row = static_cast<Row>(rows[begin + i]);
        if (nearest.admits(found[i]) && search.accepts(row)) nearest.push({search.rows.id(row), found[i]});
      }
    }
    search.work.distances += size;
  }

  void scan_codes(const RowSearch& search, const float* query, std::span<const Candidate> chosen, TopK& nearest) const {
    // FAISS's scanner speaks its metric: larger is nearer for inner products.
    const float sign = spec_.metric == Metric::kL2 ? 1.0F : -1.0F;
    const std::unique_ptr<faiss::InvertedListScanner> scanner(
        static_cast<const faiss::IndexIVF&>(*index_).get_InvertedListScanner());
    scanner->set_query(query);
    for (const Candidate& choice : chosen) {
      const auto list = static_cast<std::size_t>(choice.id);
      const std::size_t size = lists().list_size(list);
      if (size == 0) continue;
      scanner->set_list(static_cast<std::int64_t>(list), sign * choice.distance);
      const std::uint8_t* codes = lists().get_codes(list);
      const std::int64_t* rows = lists().get_ids(list);
      for (std::size_t i = 0; i < size; ++i) {
        const float value = sign * scanner->distance_to_code(codes + i * index_->code_size);
        const float at = std::isnan(value) ? std::numeric_limits<float>::infinity() : value;
        const Row row = static_cast<Row>(rows[i]);
        if (nearest.admits(at) && search.accepts(row)) nearest.push({search.rows.id(row), at});
      }
      search.work.distances += size;
    }
  }

  IndexSpec spec_;
  ParsedSpec parsed_;
  const Codec::Impl& codec_;  ///< VectorIndex holds the codec
  std::unique_ptr<faiss::IndexIVF> index_;
  std::unique_ptr<faiss::ScalarQuantizer::SQuantizer> decoder_;  ///< of int8 residuals; points into index_
  std::vector<Place> places_;                                    ///< by row
  std::vector<std::int64_t> staged_lists_;                       ///< of the rows that are staged, in their order
  std::vector<std::uint8_t> staged_codes_;
  std::size_t next_ = 0;  ///< the staged row that is committed next
};

}  // namespace

std::unique_ptr<RowStore> make_ivf_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec& codec) {
  return std::make_unique<IvfStore>(spec, parsed, codec.impl());
}

std::unique_ptr<RowStore> load_ivf_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec& codec, const RowTable& rows,
                                         faiss::Index& loaded) {
  auto store = std::make_unique<IvfStore>(spec, parsed, codec.impl());
  store->take(rows, loaded);
  return store;
}

}  // namespace annulus
