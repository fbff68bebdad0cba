#include "index/index_io.h"

#include "index/row_store.h"

namespace annulus {

void put_spec(ByteWriter& writer, const IndexSpec& spec) {
  writer.put(std::uint64_t{spec.dimension});
  writer.put(static_cast<std::uint8_t>(spec.metric));
  writer.put_string(spec.factory);
  writer.put(static_cast<std::uint32_t>(spec.ef_construction));
  writer.put(static_cast<std::uint32_t>(spec.ef));
  writer.put(static_cast<std::uint32_t>(spec.nprobe));
  writer.put(spec.seed);
  writer.put(static_cast<std::uint8_t>(spec.search_codes));
}

IndexSpec get_spec(ByteReader& reader, std::uint32_t version) {
  IndexSpec spec;
  spec.dimension = reader.get<std::uint64_t>();
  spec.metric = static_cast<Metric>(reader.get<std::uint8_t>());
  spec.factory = reader.get_string();
  spec.ef_construction = static_cast<int>(reader.get<std::uint32_t>());
  spec.ef = static_cast<int>(reader.get<std::uint32_t>());
  spec.nprobe = static_cast<int>(reader.get<std::uint32_t>());
  spec.seed = reader.get<std::uint64_t>();
  if (version >= kSpecVersion) {
    const auto codes = reader.get<std::uint8_t>();
    check_loaded(codes <= static_cast<std::uint8_t>(SearchCodes::kNone), "its search codes are of no kind that is known");
    spec.search_codes = static_cast<SearchCodes>(codes);
  }
  try {
    parse_spec(spec);
  } catch (const Error& e) {
    throw Error(ErrorCode::kDataLoss, e.what());
  }
  return spec;
}

void check_loaded(bool condition, const char* problem) {
  if (!condition) throw Error(ErrorCode::kDataLoss, problem);
}

}  // namespace annulus
