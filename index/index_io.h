// Internal: the pieces that the formats of indexes and codecs share; docs/formats/index.md.
#pragma once

#include <string_view>

#include "core/error.h"
#include "index/byte_io.h"
#include "index/index_spec.h"

namespace annulus {

void put_spec(ByteWriter& writer, const IndexSpec& spec);

/// Version 1 of the formats of indexes and codecs knew no search codes: what it wrote is read as a spec with int8 ones.
inline constexpr std::uint32_t kSpecVersion = 2;

/// A spec, of a payload of format version `version`, that parse_spec accepts. Throws Error(kDataLoss).
IndexSpec get_spec(ByteReader& reader, std::uint32_t version);

/// Runs `parse`; its errors (a field out of place, a spec that cannot be, FAISS's refusal) are then of the named file.
template <class Parse>
decltype(auto) reading(std::string_view name, Parse&& parse) {
  try {
    return std::forward<Parse>(parse)();
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kDataLoss) throw;
    throw Error(ErrorCode::kDataLoss,
                std::string(name) + " contradicts itself although its checksum is right: " + e.what() + "; restore it from a copy");
  }
}

}  // namespace annulus
