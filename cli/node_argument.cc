#include "cli/node_argument.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>

namespace annulus::cli {

double parse_weight(const std::string& text, const std::string& of) {
  double weight = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
  if (error != std::errc() || end != text.data() + text.size() || !(weight > 0.0)) {
    throw CLI::ValidationError(fmt::format("'{}': the weight '{}' is not a number > 0", of, text));
  }
  return weight;
}

Node parse_node(const std::string& text) {
  Node node;
  const std::size_t first = text.find(':');
  node.id = text.substr(0, first);
  if (node.id.empty()) throw CLI::ValidationError(fmt::format("'{}': a node is ID[:WEIGHT[:ZONE]], with an id", text));
  if (first == std::string::npos) return node;
  const std::size_t second = text.find(':', first + 1);
  const std::string weight = text.substr(first + 1, second == std::string::npos ? second : second - first - 1);
  if (!weight.empty()) node.weight = parse_weight(weight, text);
  if (second != std::string::npos) node.zone = text.substr(second + 1);
  return node;
}

}  // namespace annulus::cli
