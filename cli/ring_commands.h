// `annulus ring` and `annulus bench ring`.
#pragma once

#include <CLI/CLI.hpp>

namespace annulus::cli {

/// Adds `ring` with `stats`, `diff` and `lookup`. They run from parse(), print on stdout, and throw annulus::Error when they
/// fail and CLI::ParseError for wrong usage.
void add_ring_commands(CLI::App& app);

/// Adds `ring` to `bench`; as above.
void add_bench_ring(CLI::App& bench);

}  // namespace annulus::cli
