// Internal: queries on the int8 scale of their rows, and by list, made once for all indexes of a codec.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "index/int8_block_kernels.h"
#include "index/int8_scale.h"

namespace annulus {

/// Int8 codes of queries, as the kernels want them. Stays where it is; encoding others reuses the memory.
class EncodedQueries {
 public:
  EncodedQueries() = default;
  EncodedQueries(const EncodedQueries&) = delete;
  EncodedQueries& operator=(const EncodedQueries&) = delete;

  void encode(const Int8Scale& scale, const MatrixView& queries);

  std::size_t size() const noexcept { return forms_.size(); }
  const kernels::BlockQuery& operator[](std::size_t i) const noexcept { return forms_[i]; }
  const kernels::BlockQuery* data() const noexcept { return forms_.data(); }

 private:
  std::vector<std::int8_t> codes_;
  std::vector<kernels::BlockQuery> forms_;
};

}  // namespace annulus
