// What the commands of the program print with.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace annulus::cli {

/// Keeps the order in which fields were added.
using Json = nlohmann::ordered_json;

/// The document on stdout, indented by 2. Bytes that are no UTF-8 become U+FFFD: show keys through display_key before.
void print_json(const Json& document);

/// Plain text on stdout.
void print(const std::string& text);

}  // namespace annulus::cli
