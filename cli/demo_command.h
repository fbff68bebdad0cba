// `annulus demo`: a cluster filled, searched, resized under load, verified and reported.
#pragma once

#include <CLI/CLI.hpp>

namespace annulus::cli {

/// Adds `demo`. It runs from parse(), prints on stdout, and throws annulus::Error if anything was lost, doubled, wrong or
/// incomplete (after printing all it found), CLI::ParseError for wrong usage.
void add_demo_command(CLI::App& app);

}  // namespace annulus::cli
