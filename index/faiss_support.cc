#include "index/faiss_support.h"

#include <dlfcn.h>
#include <faiss/Index.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace annulus {
namespace {

void quieten_openblas() noexcept {
  static const bool done = [] {
    // Which BLAS is behind libblas.so is the administrator's choice; only OpenBLAS has threads of its own.
    if (void* symbol = ::dlsym(RTLD_DEFAULT, "openblas_set_num_threads")) reinterpret_cast<void (*)(int)>(symbol)(1);
    return true;
  }();
  static_cast<void>(done);
}

class Writer final : public faiss::IOWriter {
 public:
  std::size_t operator()(const void* data, std::size_t size, std::size_t count) override {
    if (size * count != 0) bytes.append(static_cast<const char*>(data), size * count);
    return count;
  }
  std::string bytes;
};

constexpr std::uint32_t fourcc(const char (&name)[5]) noexcept {
  std::uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(name[i]);
  return value;
}

/// Hands out bytes, and refuses what would make FAISS allocate more than the bytes that are left could fill: it resizes its arrays
/// before it reads their contents. What a number means follows from the marks of four letters before it.
class Reader final : public faiss::IOReader {
 public:
  Reader(std::string_view bytes, std::uint64_t largest_row) noexcept
      : bytes_(bytes), largest_(std::max<std::uint64_t>(bytes.size(), largest_row)) {}

  std::size_t operator()(void* data, std::size_t size, std::size_t count) override {
    if (size == 0 || count == 0) return count;
    if (count > bytes_.size() / size) return 0;
    const std::size_t length = size * count;
    const std::string_view given = bytes_.substr(0, length);
    bytes_.remove_prefix(length);
    if (size == sizeof(std::uint64_t)) {
      check_counts(given);
      check_list_sizes(given);
      check_quantizer(given);
    } else {
      scalars_ = {};
      if (length == sizeof(std::uint32_t)) look_at_mark(given);
    }
    std::memcpy(data, given.data(), length);
    return count;
  }

  bool at_end() const noexcept { return bytes_.empty(); }

 private:
  __extension__ using Wide = unsigned __int128;
  enum class ListSizes : std::uint8_t { kNone, kLengthNext, kSizesNext };

  static std::uint64_t number(std::string_view values, std::size_t i) noexcept {
    std::uint64_t value;
    std::memcpy(&value, values.data() + i * sizeof value, sizeof value);
    return value;
  }

  [[noreturn]] void refuse(std::uint64_t value) const {
    throw Error(ErrorCode::kDataLoss, "its FAISS index speaks of " + std::to_string(value) + " elements, where there can be " +
                                          std::to_string(largest_));
  }

  void look_at_mark(std::string_view given) noexcept {
    std::uint32_t mark;
    std::memcpy(&mark, given.data(), sizeof mark);
    sparse_ = mark == fourcc("sprs");
    if (sparse_ || mark == fourcc("full")) {
      code_bytes_ = last_scalar_;
      list_sizes_ = ListSizes::kLengthNext;
    }
    product_quantizer_ |= mark == fourcc("IwPQ") || mark == fourcc("IwQR") || mark == fourcc("IxPq");
  }

  /// Behind the mark of inverted lists: how many numbers, then how many entries each list has, or pairs of a list and its entries.
  void check_list_sizes(std::string_view given) {
    if (list_sizes_ == ListSizes::kNone) return;
    if (list_sizes_ == ListSizes::kLengthNext) {
      list_sizes_ = ListSizes::kSizesNext;
      return;
    }
    list_sizes_ = ListSizes::kNone;
    const std::size_t step = sparse_ ? 2 : 1;
    Wide entries = 0;
    for (std::size_t i = step - 1; i < given.size() / sizeof(std::uint64_t); i += step) entries += number(given, i);
    if (entries * (Wide{code_bytes_} + sizeof(std::int64_t)) > bytes_.size()) refuse(static_cast<std::uint64_t>(entries));
  }

  /// A product quantizer has a dimension, a number of parts, by which FAISS divides, and bits a part: 2^bits centroids follow.
  void check_quantizer(std::string_view given) {
    if (given.size() != sizeof(std::uint64_t)) {
      scalars_ = {};
      return;
    }
    last_scalar_ = number(given, 0);
    scalars_ = {scalars_[1], scalars_[2], last_scalar_};
    if (!product_quantizer_ || scalars_[0] == 0) return;
    if (scalars_[1] == 0) throw Error(ErrorCode::kDataLoss, "its product quantizer has no parts");
    if (last_scalar_ >= 64) return;
    const Wide floats = Wide{scalars_[0]} << last_scalar_;
    if (floats * sizeof(float) > bytes_.size()) refuse(last_scalar_);
  }

  /// FAISS writes counts, sizes and row numbers as 8 bytes. None can honestly exceed `largest_`. Other 8-byte values are a constant 2^20 in each header, and arrays of probabilities.
  void check_counts(std::string_view values) const {
    constexpr std::uint64_t kHeaderConstant = std::uint64_t{1} << 20;
    if (are_probabilities(values)) return;
    for (std::size_t i = 0; i < values.size() / sizeof(std::uint64_t); ++i) {
      const std::uint64_t value = number(values, i);
      if (value > largest_ && value != kHeaderConstant) refuse(value);
    }
  }

  /// Several doubles from 1e-12 to 1: those of a graph's levels.
  static bool are_probabilities(std::string_view values) noexcept {
    if (values.size() < 2 * sizeof(double)) return false;
    for (std::size_t i = 0; i < values.size(); i += sizeof(double)) {
      double value;
      std::memcpy(&value, values.data() + i, sizeof value);
      if (!(value >= 1e-12 && value <= 1)) return false;
    }
    return true;
  }

  std::string_view bytes_;
  std::uint64_t largest_;
  std::array<std::uint64_t, 3> scalars_{};  // numbers of 8 bytes that were read one after the other, with nothing in between
  std::uint64_t last_scalar_ = 0;
  std::uint64_t code_bytes_ = 0;
  ListSizes list_sizes_ = ListSizes::kNone;
  bool sparse_ = false;
  bool product_quantizer_ = false;
};

}  // namespace

SingleThreaded::SingleThreaded() noexcept : threads_(omp_get_max_threads()) {
  quieten_openblas();
  if (threads_ != 1) omp_set_num_threads(1);
}

SingleThreaded::~SingleThreaded() {
  if (threads_ != 1) omp_set_num_threads(threads_);
}

std::string write_faiss_index(const faiss::Index& index) {
  return with_faiss("writing an index", [&] {
    Writer writer;
    faiss::write_index(&index, &writer);
    return std::move(writer.bytes);
  });
}

std::unique_ptr<faiss::Index> read_faiss_index(std::string_view bytes, std::uint64_t largest_row) {
  const SingleThreaded single;
  try {
    Reader reader(bytes, largest_row);
    std::unique_ptr<faiss::Index> index(faiss::read_index(&reader, faiss::IO_FLAG_SKIP_PRECOMPUTE_TABLE));
    if (!reader.at_end()) throw Error(ErrorCode::kDataLoss, "a FAISS index is followed by bytes that are none of its");
    return index;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(ErrorCode::kDataLoss, std::string("FAISS cannot read its index: ") + e.what());
  }
}

int faiss_metric(Metric metric) noexcept { return metric == Metric::kL2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT; }

}  // namespace annulus
