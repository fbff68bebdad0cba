// libFuzzer's entry into the target that the build names.
#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  annulus::fuzz::ANNULUS_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
