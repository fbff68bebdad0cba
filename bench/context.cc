#include "bench/context.h"

#include <faiss/Index.h>

#include <fstream>
#include <string>

#include "core/thread_budget.h"

namespace annulus::bench {
namespace {

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string instruction_set() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return "avx512";
  if (__builtin_cpu_supports("avx2")) return "avx2";
  return "sse2";
#else
  return "unknown";
#endif
}

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

}  // namespace

Json bench_context() {
  return {{"commit", ANNULUS_COMMIT},
          {"compiler", compiler()},
          {"flags", ANNULUS_FLAGS},
          {"cpu", cpu_name()},
          {"instruction_set", instruction_set()},
          {"threads", thread_budget()},
          {"faiss_version", std::to_string(FAISS_VERSION_MAJOR) + "." + std::to_string(FAISS_VERSION_MINOR) + "." +
                                std::to_string(FAISS_VERSION_PATCH)}};
}

}  // namespace annulus::bench
