// Nodes as they are written on a command line.
#pragma once

#include <string>

#include "ring/hash_ring.h"

namespace annulus::cli {

/// A number > 0. `of` is the whole argument, for the message. Throws CLI::ValidationError.
double parse_weight(const std::string& text, const std::string& of);

/// ID[:WEIGHT[:ZONE]]; an empty weight is 1. Throws CLI::ValidationError.
Node parse_node(const std::string& text);

}  // namespace annulus::cli
