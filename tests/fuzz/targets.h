// What is fuzzed: parsers behind their checksum, and what they return, put to use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace annulus::fuzz {

/// A parser under test. An input is one byte, the format version, and then the payload; the envelope around it is made here, so
/// that its checksum is right. Returns whether the payload was accepted. An Error is the one right way to refuse; what is wrong
/// otherwise ends the process.
using Target = bool (*)(std::string_view input);

bool index_target(std::string_view input);
bool codec_target(std::string_view input);
bool ring_target(std::string_view input);
bool manifest_target(std::string_view input);

}  // namespace annulus::fuzz
