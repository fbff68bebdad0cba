// Internal: our lists, as FAISS's inverted lists. Start at FaissLists.
#pragma once

#include <faiss/invlists/InvertedLists.h>

#include <cstddef>
#include <cstdint>

namespace annulus {

class IvfLists;

/// What FAISS reads of an IVF whose lists lie in pieces: codes and numbers of a list are gathered when it asks for them, and are
/// given back by release_codes and release_ids. FAISS's writer writes the lists as its own (ArrayInvertedLists, byte for byte), one
/// after the other: no copy of them all is made. Of how to, it is told once, when the first of these is made; FAISS's table of such
/// ways has no lock, so a program that has its own lists (not ArrayInvertedLists) read or written by FAISS does so before or after.
/// They are changed through IvfLists alone: what FAISS would add throws its exception.
/// Thread safety: as IvfLists.
class FaissLists final : public faiss::ReadOnlyInvertedLists {
 public:
  /// `lists` outlives it.
  FaissLists(std::size_t count, std::size_t code_bytes, const IvfLists& lists);

  std::size_t list_size(std::size_t list) const override;
  const std::uint8_t* get_codes(std::size_t list) const override;
  const std::int64_t* get_ids(std::size_t list) const override;
  const std::uint8_t* get_single_code(std::size_t list, std::size_t position) const override;
  std::int64_t get_single_id(std::size_t list, std::size_t position) const override;
  void release_codes(std::size_t list, const std::uint8_t* codes) const override;
  void release_ids(std::size_t list, const std::int64_t* ids) const override;

 private:
  const IvfLists& lists_;
};

}  // namespace annulus
