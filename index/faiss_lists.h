// Internal: our lists, as FAISS's inverted lists. Start at FaissLists.
#pragma once

#include <faiss/invlists/InvertedLists.h>

#include <cstddef>
#include <cstdint>

namespace annulus {

class IvfLists;

/// What FAISS reads of an IVF whose lists lie in pieces: codes and numbers of a list are gathered when it asks for them. FAISS's
/// writer writes the lists as its own (ArrayInvertedLists), one after the other: no copy of them all is made.
/// They are changed through IvfLists alone: what FAISS would add throws its exception.
/// Thread safety: as IvfLists.
class FaissLists final : public faiss::InvertedLists {
 public:
  /// `lists` outlives it.
  FaissLists(std::size_t count, std::size_t code_bytes, const IvfLists& lists);

  std::size_t list_size(std::size_t list) const override;
  const std::uint8_t* get_codes(std::size_t list) const override;
  const std::int64_t* get_ids(std::size_t list) const override;
  void release_codes(std::size_t list, const std::uint8_t* codes) const override;
  void release_ids(std::size_t list, const std::int64_t* ids) const override;

  std::size_t add_entries(std::size_t list, std::size_t n, const std::int64_t* ids, const std::uint8_t* codes) override;
  void update_entries(std::size_t list, std::size_t offset, std::size_t n, const std::int64_t* ids, const std::uint8_t* codes) override;
  void resize(std::size_t list, std::size_t size) override;

 private:
  const IvfLists& lists_;
};

}  // namespace annulus
