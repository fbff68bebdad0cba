// Which of a shard's rows a search asks for.
#pragma once

#include <cstdint>

namespace annulus {

/// A shard keeps the rows of its primary arcs (Shard::set_primary_arcs) apart from the others, its secondary rows, where a search
/// costs what there are rows. There is no search of secondary rows alone: a row may become primary while such a search goes on,
/// and it would miss the row.
enum class RowGroups : std::uint8_t {
  kPrimary,  ///< at least the rows of the primary arcs
  kAll,      ///< every row
};

}  // namespace annulus
