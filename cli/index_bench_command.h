// `annulus bench index`.
#pragma once

#include <CLI/CLI.hpp>

namespace annulus::cli {

/// Adds `index` to `bench`. It runs from parse(), prints on stdout, and throws annulus::Error when it fails.
void add_bench_index(CLI::App& bench);

}  // namespace annulus::cli
