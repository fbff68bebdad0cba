#include "cli/output.h"

#include <iostream>

namespace annulus::cli {

void print_json(const Json& document) { std::cout << document.dump(2, ' ', false, Json::error_handler_t::replace) << '\n'; }

void print(const std::string& text) { std::cout << text; }

}  // namespace annulus::cli
