// `annulus artifact resize`.
#pragma once

#include <CLI/CLI.hpp>

namespace annulus::cli {

/// Adds `resize` to `artifact`. It runs from parse(), prints on stdout, and throws annulus::Error when it fails and CLI::ParseError
/// for wrong usage.
void add_artifact_resize(CLI::App& artifact);

}  // namespace annulus::cli
