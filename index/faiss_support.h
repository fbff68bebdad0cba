// Internal: calling FAISS so that it stays in one thread, throws our errors, and reads no more than it is given.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "index/index_spec.h"

namespace faiss {
struct Index;
}

namespace annulus {

/// While it lives, OpenMP regions opened by this thread have one thread; OpenBLAS, whose number is the process's, has one from then
/// on, until somebody sets another. Callers parallelise outside: FAISS's own threads below ours would oversubscribe the machine.
class SingleThreaded {
 public:
  SingleThreaded() noexcept;
  ~SingleThreaded();
  SingleThreaded(const SingleThreaded&) = delete;
  SingleThreaded& operator=(const SingleThreaded&) = delete;

 private:
  int threads_;
};

/// Runs `call` with FAISS in this thread; its exceptions become Error(kInternal). `doing` goes into the message.
template <class Call>
decltype(auto) with_faiss(const char* doing, Call&& call) {
  const SingleThreaded single;
  try {
    return std::forward<Call>(call)();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(ErrorCode::kInternal, std::string("FAISS failed while ") + doing + ": " + e.what());
  }
}

/// faiss::write_index into memory.
std::string write_faiss_index(const faiss::Index& index);

/// faiss::read_index from memory, of bytes that pass check_faiss_bytes. Throws Error(kDataLoss) if they do not, or if FAISS refuses
/// them: FAISS 1.7.3 then leaks what it has read.
std::unique_ptr<faiss::Index> read_faiss_index(std::string_view bytes);

/// Whether two values have the same bytes. For enums and bools that FAISS read from a file: any other look at a value that is
/// none of the type's is undefined.
template <class T>
bool same_bytes(const T& a, const T& b) noexcept {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

/// faiss::MetricType of a metric, as int.
int faiss_metric(Metric metric) noexcept;

}  // namespace annulus
