// Internal: what a FAISS index in bytes must be before FAISS is given it.
#pragma once

#include <string_view>

namespace annulus {

/// Walks over the bytes of a FAISS index as FAISS's reader would, allocating nothing. FAISS resizes its arrays by what the bytes
/// say before it reads their contents, and divides by some of their numbers: so each count must be no more than the bytes behind
/// it could fill. Throws Error(kDataLoss) otherwise, for bytes that are cut short or left over, and for kinds of index that this
/// library does not write: it writes flat indexes, graphs on flat or SQ storage, and inverted files of floats, SQ and PQ codes
/// whose centroids are in a flat index or in a graph. O(lists). Other contents are not looked at.
/// Format: as FAISS 1.7.3 to 1.15 write it (faiss/impl/index_write.cpp).
void check_faiss_bytes(std::string_view bytes);

}  // namespace annulus
