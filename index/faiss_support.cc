#include "index/faiss_support.h"

#include <dlfcn.h>
#include <faiss/Index.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <omp.h>

#include <cstring>

#include "index/faiss_bytes.h"

namespace annulus {
namespace {

// Which BLAS is behind libblas.so is the administrator's choice; only OpenBLAS has threads of its own. Their number is the process's,
// and the program that we are linked into may set it at any time.
void quieten_openblas() noexcept {
  static const auto get = reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "openblas_get_num_threads"));
  static const auto set = reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  if (get != nullptr && set != nullptr && get() != 1) set(1);
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
  explicit Reader(std::string_view bytes) noexcept : bytes_(bytes) {}

  std::size_t operator()(void* data, std::size_t size, std::size_t count) override {
    if (size == 0 || count == 0) return count;
    if (count > bytes_.size() / size) return 0;
    std::memcpy(data, bytes_.data(), size * count);
    bytes_.remove_prefix(size * count);
    return count;
  }

 private:
  std::string_view bytes_;
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

std::unique_ptr<faiss::Index> read_faiss_index(std::string_view bytes) {
  check_faiss_bytes(bytes);
  const SingleThreaded single;
  try {
    Reader reader(bytes);
    return std::unique_ptr<faiss::Index>(faiss::read_index(&reader, faiss::IO_FLAG_SKIP_PRECOMPUTE_TABLE));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(ErrorCode::kDataLoss, std::string("FAISS cannot read its index: ") + e.what());
  }
}

int faiss_metric(Metric metric) noexcept { return metric == Metric::kL2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT; }

}  // namespace annulus
