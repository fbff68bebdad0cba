// `annulus artifact` and `annulus bench artifact`.
#pragma once

#include <CLI/CLI.hpp>

namespace annulus::cli {

/// Adds `artifact` with `init`, `put`, `get`, `ls`, `rm`, `verify` and `repair`. They run from parse(), print on stdout, and throw
/// annulus::Error when they fail and CLI::ParseError for wrong usage.
void add_artifact_commands(CLI::App& app);

/// Adds `artifact` to `bench`; as above.
void add_bench_artifact(CLI::App& bench);

}  // namespace annulus::cli
