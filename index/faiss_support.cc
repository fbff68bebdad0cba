#include "index/faiss_support.h"

#include <dlfcn.h>
#include <faiss/Index.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <omp.h>

#include <algorithm>
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

class Reader final : public faiss::IOReader {
 public:
  Reader(std::string_view bytes, std::uint64_t largest_row) noexcept
      : bytes_(bytes), largest_(std::max<std::uint64_t>(bytes.size(), largest_row)) {}

  std::size_t operator()(void* data, std::size_t size, std::size_t count) override {
    if (size == 0 || count == 0) return count;
    if (count > bytes_.size() / size) return 0;
    const std::size_t length = size * count;
    if (size == sizeof(std::uint64_t)) check_counts(bytes_.substr(0, length));
    std::memcpy(data, bytes_.data(), length);
    bytes_.remove_prefix(length);
    return count;
  }

  bool at_end() const noexcept { return bytes_.empty(); }

 private:
  /// FAISS writes counts, sizes and row numbers as 8 bytes, and resizes its arrays before it reads their contents. None can
  /// honestly exceed `largest_`. Other 8-byte values are a constant 2^20 in each header, and probabilities: doubles in
  /// (0, 1], whose bits read as counts are beyond what a vector can be resized to.
  void check_counts(std::string_view values) const {
    constexpr std::uint64_t kHeaderConstant = std::uint64_t{1} << 20;
    constexpr std::uint64_t kBeyondAnyVector = std::uint64_t{1} << 60;
    for (std::size_t i = 0; i < values.size(); i += sizeof(std::uint64_t)) {
      std::uint64_t value;
      std::memcpy(&value, values.data() + i, sizeof value);
      if (value > largest_ && value != kHeaderConstant && value < kBeyondAnyVector) {
        throw Error(ErrorCode::kDataLoss, "its FAISS index speaks of " + std::to_string(value) + " elements, where there can be " +
                                              std::to_string(largest_));
      }
    }
  }

  std::string_view bytes_;
  std::uint64_t largest_;
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
