#include "index/faiss_bytes.h"

#include <cstdint>
#include <string>

#include "index/byte_io.h"
#include "index/index_spec.h"

namespace annulus {
namespace {

constexpr std::uint32_t mark(const char (&name)[5]) noexcept {
  std::uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(name[i]);
  return value;
}

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorCode::kDataLoss, "its FAISS index " + what); }

class Walk {
 public:
  explicit Walk(std::string_view bytes) noexcept : bytes_(bytes) {}

  void whole_index() {
    const auto kind = bytes_.get<std::uint32_t>();
    switch (kind) {
      case mark("IHNf"):
      case mark("IHNs"): graph(kind); break;
      case mark("IwFl"):
      case mark("IwSq"):
      case mark("IwPQ"): inverted_file(kind); break;
      default: storage(kind); break;
    }
    if (bytes_.left() != 0) refuse("is followed by bytes that are none of its");
  }

 private:
  /// Returns how many elements of `size` bytes an array has, and passes over them.
  std::uint64_t array(std::size_t size) {
    const auto count = bytes_.get<std::uint64_t>();
    skip(count, size);
    return count;
  }

  void skip(std::uint64_t count, std::uint64_t size) {
    if (size != 0 && count > bytes_.left() / size) {
      refuse("speaks of " + std::to_string(count) + " elements of " + std::to_string(size) + " bytes, where " +
             std::to_string(bytes_.left()) + " bytes are left");
    }
    bytes_.skip(count * size);
  }

  struct Header {
    std::uint64_t d;
    std::uint64_t rows;
  };

  Header header() {
    const auto d = bytes_.get<std::uint32_t>();
    const auto rows = bytes_.get<std::uint64_t>();
    bytes_.skip(2 * sizeof(std::uint64_t) + 1);  // two constants; whether it is trained
    if (bytes_.get<std::uint32_t>() > 1) refuse("has a metric that is neither L2 nor the inner product");
    if (d == 0 || d > kMaxDimension) refuse("has " + std::to_string(d) + " dimensions");
    return {d, rows};
  }

  /// Vectors without a structure: what graphs and inverted files are built on. Returns their number.
  std::uint64_t storage(std::uint32_t kind) {
    const Header head = header();
    switch (kind) {
      case mark("IxFl"):
      case mark("IxFI"):
      case mark("IxF2"):
        if (array(sizeof(float)) / head.d != head.rows) refuse("has another number of rows than its vectors are");
        return head.rows;
      case mark("IxSQ"):
        scalar_quantizer();
        array(1);
        return head.rows;
      default: refuse("is of a kind that is not known, or holds such an index");
    }
  }

  std::uint64_t graph(std::uint32_t kind) {
    const Header head = header();
    array(sizeof(double));         // probabilities of levels
    array(sizeof(std::int32_t));   // links up to each level
    array(sizeof(std::int32_t));   // levels
    array(sizeof(std::uint64_t));  // where links begin
    array(sizeof(std::int32_t));   // links
    bytes_.skip(5 * sizeof(std::int32_t));
    const auto below = bytes_.get<std::uint32_t>();
    if ((below == mark("IxSQ")) != (kind == mark("IHNs"))) refuse("is a graph on vectors of another kind");
    storage(below);
    return head.rows;
  }

  void inverted_file(std::uint32_t kind) {
    header();
    const auto lists = bytes_.get<std::uint64_t>();
    bytes_.skip(sizeof(std::uint64_t));  // lists to visit
    const auto below = bytes_.get<std::uint32_t>();
    const std::uint64_t centroids = below == mark("IHNf") ? graph(below) : storage(below);
    if (lists != centroids) refuse("has " + std::to_string(lists) + " lists, and " + std::to_string(centroids) + " centroids");
    direct_map();
    if (kind == mark("IwSq")) {
      scalar_quantizer();
      bytes_.skip(sizeof(std::uint64_t) + 1);  // bytes of a code; whether it is of the residual
    } else if (kind == mark("IwPQ")) {
      bytes_.skip(1 + sizeof(std::uint64_t));
      product_quantizer();
    }
    inverted_lists(lists);
  }

  void direct_map() {
    const auto type = bytes_.get<std::uint8_t>();
    array(sizeof(std::int64_t));
    if (type == 2) array(2 * sizeof(std::int64_t));
  }

  void scalar_quantizer() {
    bytes_.skip(3 * sizeof(std::uint32_t) + 2 * sizeof(std::uint64_t));  // kind, range and its argument; d, bytes of a code
    array(sizeof(float));
  }

  void product_quantizer() {
    const auto d = bytes_.get<std::uint64_t>();
    const auto parts = bytes_.get<std::uint64_t>();
    const auto bits = bytes_.get<std::uint64_t>();
    if (parts == 0 || d == 0 || d > kMaxDimension || d % parts != 0 || bits == 0 || bits > 16) {
      refuse("has a product quantizer of " + std::to_string(d) + " dimensions in " + std::to_string(parts) + " parts of " +
             std::to_string(bits) + " bits");
    }
    if (array(sizeof(float)) != d << bits) refuse("has a product quantizer of another number of centroids than its bits name");
  }

  void inverted_lists(std::uint64_t expected) {
    const auto kind = bytes_.get<std::uint32_t>();
    if (kind == mark("il00")) return;
    if (kind != mark("ilar")) refuse("has inverted lists of a kind that is not known");
    const auto lists = bytes_.get<std::uint64_t>();
    if (lists != expected) refuse("has another number of lists than of inverted lists");
    const auto code_bytes = bytes_.get<std::uint64_t>();
    if (code_bytes > kMaxDimension * sizeof(float)) refuse("has codes of " + std::to_string(code_bytes) + " bytes");
    const auto form = bytes_.get<std::uint32_t>();
    const bool sparse = form == mark("sprs");  // pairs of a list and its size, instead of all sizes
    if (!sparse && form != mark("full")) refuse("has sizes of lists in a form that is not known");
    const auto numbers = bytes_.get<std::uint64_t>();
    if (sparse ? numbers % 2 != 0 : numbers != lists) refuse("has another number of lists than of sizes");
    ByteReader sizes = bytes_;
    skip(numbers, sizeof(std::uint64_t));
    for (std::uint64_t i = sparse ? 2 : 1; i <= numbers; i += sparse ? 2 : 1) {
      if (sparse) sizes.skip(sizeof(std::uint64_t));
      skip(sizes.get<std::uint64_t>(), code_bytes + sizeof(std::int64_t));
    }
  }

  ByteReader bytes_;
};

}  // namespace

void check_faiss_bytes(std::string_view bytes) { Walk(bytes).whole_index(); }

}  // namespace annulus
