// `annulus bench cache`.
#pragma once

#include <CLI/CLI.hpp>

namespace annulus::cli {

/// Adds `cache` to `bench`. It runs from parse(), prints on stdout, and throws annulus::Error when it fails and CLI::ParseError
/// for wrong usage.
void add_bench_cache(CLI::App& bench);

}  // namespace annulus::cli
