// Internal: a search of rows by the cheaper of two ways: the index, or all rows that the filter accepts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "index/filter_costs.h"
#include "index/filter_plan.h"
#include "index/row_store.h"

namespace annulus {

/// The index that is searched, by its parts.
struct SearchedIndex {
  const IndexSpec& spec;
  const ParsedSpec& parsed;
  const std::shared_ptr<const Codec>& codec;
  const RowTable& rows;
  const RowStore& store;
  FilterCosts& costs;  ///< that its searches teach
};

/// The whole search of a batch: chooses the way, searches, and completes answers that fell short (HNSW; IVF under a filter)
/// from a scan. `bounds`: as RowSearch. What the filter throws passes through.
void search_rows(const SearchedIndex& index, const RowSearch& search, Candidate* out, std::size_t* counts);

/// Appends the live rows that `filter` accepts (null: all); `by_list`: from the filter's list.
void gather_rows(const Filter* filter, const RowTable& rows, bool by_list, std::vector<Row>& out);

/// The exact answers of the `queries` of the batch among `allowed` rows, to the places that the batch's numbers give. What is
/// farther than a query's bound is left out, and k found lower it.
void scan_rows(const SearchedIndex& index, const RowSearch& search, std::span<const std::uint32_t> queries,
               std::span<const Row> allowed, Candidate* out, std::size_t* counts);

}  // namespace annulus
