// IVF as a row store: rows lie in the lists of their nearest coarse centroid. Lists are chosen by the codec and scanned here, not
// by FAISS's search: so a query's answer does not depend on its batch, ties are ours to order, and lists chosen once serve many
// shards. Erase and overwrite are O(1): FAISS's own remove_ids is O(ntotal).
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/invlists/InvertedLists.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/prefetch.h"
#include "index/codec_impl.h"
#include "index/distance.h"
#include "index/exact_rank.h"
#include "index/ivf_lists.h"
#include "index/ivf_scan.h"
#include "index/row_store.h"
#include "index/search_scratch.h"
#include "index/sq8_scale.h"
#include "index/top_k.h"

namespace annulus {
namespace {

/// FAISS's scanners of one index's codes, made once and lent to one search at a time.
class ScannerPool {
 public:
  class Lease {
   public:
    Lease(ScannerPool& pool, const faiss::IndexIVF& index) : pool_(pool), mine_(pool.take(index)) {}
    ~Lease() { pool_.give_back(std::move(mine_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    faiss::InvertedListScanner* operator->() const noexcept { return mine_.get(); }

   private:
    ScannerPool& pool_;
    std::unique_ptr<faiss::InvertedListScanner> mine_;
  };

 private:
  std::unique_ptr<faiss::InvertedListScanner> take(const faiss::IndexIVF& index) {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<faiss::InvertedListScanner> scanner = std::move(idle_.back());
      idle_.pop_back();
      return scanner;
    }
    idle_.reserve(++made_);  // so that giving it back cannot throw
    return std::unique_ptr<faiss::InvertedListScanner>(index.get_InvertedListScanner());
  }
  void give_back(std::unique_ptr<faiss::InvertedListScanner> scanner) noexcept {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(scanner));
  }

  std::mutex mutex_;
  std::size_t made_ = 0;
  std::vector<std::unique_ptr<faiss::InvertedListScanner>> idle_;
};

class IvfStore final : public RowStore {
 public:
  IvfStore(const IndexSpec& spec, const ParsedSpec& parsed, const Codec::Impl& codec, std::shared_ptr<RowHomes> homes,
           std::size_t number)
      : spec_(spec), parsed_(parsed), codec_(codec), lists_(spec, parsed, codec, std::move(homes), number) {
    // ScalarQuantizer::decode opens an OpenMP region for each vector; its quantizer object does not.
    if (const auto* sq = dynamic_cast<const faiss::IndexIVFScalarQuantizer*>(&lists_.index())) {
      decoder_.reset(sq->sq.select_quantizer());
      scale_.emplace(spec.metric, sq->sq);
    }
  }

  RowPolicy policy() const noexcept override { return RowPolicy::kReuse; }

  void stage(std::span<const Row> rows, const float* vectors, const WhileAlone& alone) override {
    abandon();
    if (rows.empty()) return;
    const std::size_t n = rows.size();
    const auto all = map_rows(vectors, n, spec_.dimension);
    std::vector<Candidate> nearest(n);
    std::vector<std::size_t> counts(n);
    SearchWork work;
    codec_.nearest_lists(all, 1, ListDistances::kExact, nearest.data(), counts.data(), work);
    staged_.lists.resize(n);
    for (std::size_t i = 0; i < n; ++i) staged_.lists[i] = static_cast<std::uint32_t>(nearest[i].id);
    staged_.codes.resize(n * lists_.code_bytes());
    const std::vector<std::int64_t> numbers(staged_.lists.begin(), staged_.lists.end());
    with_faiss("encoding vectors",
               [&] { lists_.index().encode_vectors(static_cast<std::int64_t>(n), vectors, numbers.data(), staged_.codes.data()); });
    finish_staging(rows, alone);
  }

  std::size_t code_bytes() const noexcept override { return sizeof(std::uint32_t) + lists_.code_bytes(); }

  void read_code(Row row, std::uint8_t* code) const override {
    const auto list = static_cast<std::uint32_t>(lists_.list_of(row));
    std::memcpy(code, &list, sizeof list);
    std::copy_n(lists_.code_of(row), lists_.code_bytes(), code + sizeof list);
  }

  void check_code(std::size_t number, const std::uint8_t* code) const override {
    std::uint32_t list;
    std::memcpy(&list, code, sizeof list);
    if (list >= parsed_.nlist) {
      throw Error(ErrorCode::kInvalidArgument, "code " + std::to_string(number) + " is of list " + std::to_string(list) +
                                                   ", expected one of " + std::to_string(parsed_.nlist));
    }
    if (parsed_.coding != Coding::kFloat) return;
    thread_local std::vector<float> vector;
    vector.resize(spec_.dimension);
    std::memcpy(vector.data(), code + sizeof list, lists_.code_bytes());
    validate_vectors(map_rows(vector.data(), 1, spec_.dimension), spec_.dimension, spec_.metric,
                     ("code " + std::to_string(number)).c_str());
  }

  void stage_codes(std::span<const Row> rows, const std::uint8_t* codes, const WhileAlone& alone) override {
    abandon();
    staged_.lists.resize(rows.size());
    staged_.codes.resize(rows.size() * lists_.code_bytes());
    for (std::size_t i = 0; i < rows.size(); ++i, codes += code_bytes()) {
      std::memcpy(&staged_.lists[i], codes, sizeof(std::uint32_t));
      std::copy_n(codes + sizeof(std::uint32_t), lists_.code_bytes(), staged_.codes.data() + i * lists_.code_bytes());
    }
    finish_staging(rows, alone);
  }

  void commit(std::span<const Row> rows, const float*) override {
    if (rows.empty()) return;
    if (staged_.next == 0) lists_.take_room(staged_.room);
    for (const Row row : rows) {
      const std::size_t i = staged_.next++;
      lists_.put(row, staged_.lists[i], staged_.codes.data() + i * lists_.code_bytes(),
                 staged_.int8_codes.data() + (lists_.blocks() != nullptr ? i * spec_.dimension : 0),
                 lists_.blocks() != nullptr ? staged_.norms[i] : 0);
    }
    if (staged_.next == staged_.lists.size()) abandon();  // nothing is left of it
  }

  /// The memory stays for the next write, unless it is much.
  void abandon() noexcept override {
    constexpr std::size_t kKept = std::size_t{64} << 10;
    lists_.leave_room();
    staged_.lists.clear();
    staged_.room = {};
    staged_.next = 0;
    if (staged_bytes_ <= kKept) return;
    staged_ = {};
    staged_bytes_ = 0;
  }

  /// One that was put into the other index of its homes is not here.
  void remove(Row row) override {
    if (lists_.holds(row)) lists_.take_out(row);
  }

  void prefetch(Row row) const noexcept override { lists_.prefetch_code(row); }

  void prefetch_place(Row row) const noexcept override { lists_.prefetch_place(row); }

  const float* vector(Row row, float* buffer) const override {
    const std::uint8_t* code = lists_.code_of(row);
    if (parsed_.coding == Coding::kFloat) return reinterpret_cast<const float*>(code);
    if (parsed_.coding == Coding::kSq8) {
      decoder_->decode_vector(code, buffer);
    } else {
      static_cast<const faiss::IndexIVFPQ&>(lists_.index()).pq.decode(code, buffer);
    }
    const float* centroid = codec_.centroids().data() + lists_.list_of(row) * spec_.dimension;
    for (std::size_t i = 0; i < spec_.dimension; ++i) buffer[i] += centroid[i];
    return buffer;
  }

  void search(const RowSearch& search, Candidate* out, std::size_t* counts) const override {
    if (lists_.blocks() == nullptr || search.batch.encoded() == nullptr) {
      for (std::size_t i = 0; i < search.batch.size(); ++i) {
        if (search.continues && search.batch.lists(i).empty()) continue;
        counts[i] = search_one(search, i, out + i * search.k, search.continues ? counts[i] : 0);
      }
    } else if (search.phase == SearchPhase::kCandidates) {
      scan_lists(search, lists_, out, counts);
    } else {
      search_and_rank(search, out, counts);
    }
  }

  bool candidates_are_exact() const noexcept override { return lists_.blocks() == nullptr; }

  std::unique_ptr<RowStore> compacted(std::span<const Row> rows) const override {
    auto copy = std::make_unique<IvfStore>(spec_, parsed_, codec_, std::make_shared<RowHomes>(1, rows.size()), 0);
    std::vector<std::uint32_t> where(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) where[i] = static_cast<std::uint32_t>(lists_.list_of(rows[i]));
    if (rows.empty()) return copy;
    IvfLists::Room room = copy->lists_.make_room(static_cast<Row>(rows.size() - 1), where, [](const auto& step) { step(); });
    copy->lists_.take_room(room);
    for (std::size_t i = 0; i < rows.size(); ++i) copy->lists_.put_from(lists_, rows[i], static_cast<Row>(i));
    copy->lists_.expect_no_more();
    return copy;
  }

  void with_container(const std::function<void(const faiss::Index&)>& use) const override { use(lists_.index()); }

  std::size_t memory_bytes() const noexcept override {
    return lists_.memory_bytes() + staged_bytes_.load(std::memory_order_relaxed);
  }

  void take(const RowTable& rows, faiss::Index& loaded) { lists_.take(rows, loaded); }

 private:
  /// Rows that are staged, in their order.
  struct Staged {
    std::vector<std::uint32_t> lists;
    std::vector<std::uint8_t> codes;
    std::vector<std::uint8_t> int8_codes;
    std::vector<std::int32_t> norms;
    IvfLists::Room room;
    std::size_t next = 0;  ///< the row that is committed next
  };

  /// From lists and codes: int8 codes, and room.
  void finish_staging(std::span<const Row> rows, const WhileAlone& alone) {
    if (lists_.blocks() != nullptr) {
      const auto* vectors = reinterpret_cast<const float*>(staged_.codes.data());
      staged_.int8_codes.resize(rows.size() * spec_.dimension);
      staged_.norms.resize(rows.size());
      for (std::size_t i = 0; i < rows.size(); ++i) {
        staged_.norms[i] =
            codec_.row_scale->encode_row(vectors + i * spec_.dimension, staged_.int8_codes.data() + i * spec_.dimension);
      }
    }
    staged_bytes_ = staged_.codes.capacity() + staged_.int8_codes.capacity() +
                    (staged_.lists.capacity() + staged_.norms.capacity()) * sizeof(std::uint32_t);
    staged_.room = lists_.make_room(*std::max_element(rows.begin(), rows.end()), staged_.lists, alone);
  }

  void search_and_rank(const RowSearch& search, Candidate* out, std::size_t* counts) const {
    assert(!search.continues);
    const std::size_t n = search.batch.size();
    const int asked = search.batch.params().rerank.value_or(0);
    const std::size_t kept = std::max(search.k, asked > 0 ? static_cast<std::size_t>(asked) : default_rerank(search.k));
    ScratchLease scratch;
    scratch->pool.resize(n * kept);
    const RowSearch wider{.batch = search.batch,
                          .k = kept,
                          .phase = SearchPhase::kCandidates,
                          .filter = search.filter,
                          .order = search.order,
                          .bounds = search.bounds,
                          .rows = search.rows,
                          .work = search.work,
                          .tallies = search.tallies};
    scan_lists(wider, lists_, scratch->pool.data(), counts);
    for (std::size_t i = 0; i < n; ++i) {
      const std::span<Candidate> pool(scratch->pool.data() + i * kept, counts[i]);
      rank_exactly(*this, spec_, search, i, pool);
      counts[i] = std::min(pool.size(), search.k);
      std::copy_n(pool.begin(), counts[i], out + i * search.k);
    }
  }

  /// `out` begins with those that earlier lists gave.
  std::size_t search_one(const RowSearch& search, std::size_t number, Candidate* out, std::size_t given) const {
    const std::span<const Candidate> lists = search.batch.lists(number);
    TopK nearest({out, search.k}, search.order);
    for (std::size_t i = 0; i < given; ++i) nearest.push(Candidate(out[i]));
    const bool coded = parsed_.coding != Coding::kFloat;
    if (scale_) {
      for (const Candidate& list : lists) scan_sq8(search, number, static_cast<std::size_t>(list.id), nearest);
    } else if (coded) {
      with_faiss("scanning lists", [&] { scan_codes(search, number, lists, nearest); });
    } else {
      for (const Candidate& list : lists) scan_floats(search, number, static_cast<std::size_t>(list.id), nearest);
    }
    const std::span<Candidate> near = nearest.finish();
    if (coded) rank_exactly(*this, spec_, search, number, near);
    return near.size();
  }

  /// Offers the entries of a list, some at a time: `measure(begin, n, out)` writes their distances.
  template <class Measure>
  void scan(const RowSearch& search, std::size_t number, std::size_t list, TopK& nearest, const Measure& measure) const {
    const std::size_t size = lists_.size(list);
    std::array<float, kScanned> found;
    for (std::size_t begin = 0, n = 0; begin < size; begin += n) {
      n = std::min({found.size(), size - begin, lists_.run(begin)});
      measure(begin, n, found.data());
      for (std::size_t i = 0; i < n; ++i) {
        if (!nearest.admits(found[i])) continue;
        const Row row = lists_.row(list, begin + i);
        if (search.accepts(row, number)) nearest.push({search.rows.id(row), found[i]});
      }
    }
    search.work.distances += size;
  }

  void scan_floats(const RowSearch& search, std::size_t number, std::size_t list, TopK& nearest) const {
    const float* query = search.batch.query(number);
    const std::size_t d = spec_.dimension;
    scan(search, number, list, nearest, [&](std::size_t begin, std::size_t n, float* out) {
      distances(spec_.metric, query, reinterpret_cast<const float*>(lists_.code(list, begin)), n, d, d, out);
    });
  }

  void scan_sq8(const RowSearch& search, std::size_t number, std::size_t list, TopK& nearest) const {
    if (lists_.size(list) == 0) return;
    ScratchLease scratch;
    Sq8Query& query = scratch->sq8_query;
    scale_->prepare(search.batch.query(number), codec_.centroids().data() + list * spec_.dimension, query);
    std::array<const std::uint8_t*, kScanned> codes;
    scan(search, number, list, nearest, [&](std::size_t begin, std::size_t n, float* out) {
      for (std::size_t i = 0; i < n; ++i) codes[i] = lists_.code(list, begin) + i * lists_.code_bytes();
      scale_->distances(query, std::span(codes).first(n), out);
    });
  }

  void scan_codes(const RowSearch& search, std::size_t number, std::span<const Candidate> chosen, TopK& nearest) const {
    // FAISS's scanner speaks its metric: larger is nearer for inner products.
    const float sign = spec_.metric == Metric::kL2 ? 1.0F : -1.0F;
    const ScannerPool::Lease scanner(scanners_, lists_.index());
    scanner->set_query(search.batch.query(number));
    for (const Candidate& choice : chosen) {
      const auto list = static_cast<std::size_t>(choice.id);
      const std::size_t size = lists_.size(list);
      if (size == 0) continue;
      scanner->set_list(static_cast<std::int64_t>(list), sign * choice.distance);
      for (std::size_t begin = 0, n = 0; begin < size; begin += n) {
        n = std::min(size - begin, lists_.run(begin));
        const std::uint8_t* codes = lists_.code(list, begin);
        for (std::size_t i = 0; i < n; ++i) {
          const float value = sign * scanner->distance_to_code(codes + i * lists_.code_bytes());
          const float at = std::isnan(value) ? std::numeric_limits<float>::infinity() : value;
          if (!nearest.admits(at)) continue;
          const Row row = lists_.row(list, begin + i);
          if (search.accepts(row, number)) nearest.push({search.rows.id(row), at});
        }
      }
      search.work.distances += size;
    }
  }

  static constexpr std::size_t kScanned = 64;  // entries at a time

  IndexSpec spec_;
  ParsedSpec parsed_;
  const Codec::Impl& codec_;  ///< VectorIndex holds the codec
  IvfLists lists_;
  std::unique_ptr<faiss::ScalarQuantizer::SQuantizer> decoder_;  ///< of int8 residuals; points into lists_
  std::optional<Sq8Scale> scale_;                                ///< of these
  mutable ScannerPool scanners_;                                  ///< of codes; they refer to lists_
  Staged staged_;
  std::atomic<std::size_t> staged_bytes_{0};  ///< which is asked for beside a write
};

}  // namespace

std::shared_ptr<RowHomes> homes_for_two(std::size_t rows) { return std::make_shared<RowHomes>(2, rows); }

void expect_no_more(RowHomes& homes) noexcept { homes.expect_no_more(); }

std::unique_ptr<RowStore> make_ivf_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec& codec,
                                         std::shared_ptr<RowHomes> homes, std::size_t number) {
  if (homes == nullptr) homes = std::make_shared<RowHomes>(1, 0);
  return std::make_unique<IvfStore>(spec, parsed, codec.impl(), std::move(homes), number);
}

std::unique_ptr<RowStore> load_ivf_store(const IndexSpec& spec, const ParsedSpec& parsed, const Codec& codec, const RowTable& rows,
                                         faiss::Index& loaded) {
  auto store = std::make_unique<IvfStore>(spec, parsed, codec.impl(), std::make_shared<RowHomes>(1, rows.live()), 0);
  store->take(rows, loaded);
  return store;
}

}  // namespace annulus
