// Where figures come from: printed beside every result.
#pragma once

#include <nlohmann/json.hpp>

namespace annulus::bench {

/// Keeps the order in which fields were added.
using Json = nlohmann::ordered_json;

/// commit, compiler, flags, CPU, instruction set (the best that this CPU has), threads (the budget), FAISS version.
/// A benchmark on data adds `data_set`.
Json bench_context();

}  // namespace annulus::bench
