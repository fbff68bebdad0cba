#include "index/encoded_queries.h"

namespace annulus {

void EncodedQueries::encode(const Int8Scale& scale, const MatrixView& queries) {
  const auto n = static_cast<std::size_t>(queries.rows());
  const auto d = static_cast<std::size_t>(queries.cols());
  const std::size_t bytes = 4 * kernels::block_groups(d);
  codes_.assign(n * bytes, 0);
  forms_.clear();
  forms_.reserve(n);
  for (std::size_t i = 0; i < n; ++i) {
    std::int8_t* code = codes_.data() + i * bytes;
    const Int8Query form = scale.encode_query(row_data(queries, i), code, kernels::kQuerySteps);
    forms_.push_back({code, form.norm_factor, form.product_factor, form.constant});
  }
}

}  // namespace annulus
