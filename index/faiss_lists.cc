#include "index/faiss_lists.h"

#include <faiss/impl/FaissAssert.h>
#include <faiss/impl/io.h>
#include <faiss/invlists/InvertedListsIOHook.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <typeinfo>

#include "index/ivf_lists.h"

namespace annulus {
namespace {

/// FAISS's writer asks for a class's own way to be written: ours is that of ArrayInvertedLists, which any reader knows.
class Writer final : public faiss::InvertedListsIOHook {
 public:
  Writer() : InvertedListsIOHook("anls", typeid(FaissLists).name()) {}

  void write(const faiss::InvertedLists* lists, faiss::IOWriter* out) const override {
    put_mark("ilar", *out);
    put(&lists->nlist, 1, *out);
    put(&lists->code_size, 1, *out);
    put_mark("full", *out);  // the size of each list
    put(&lists->nlist, 1, *out);
    for (std::size_t list = 0; list < lists->nlist; ++list) {
      const std::size_t size = lists->list_size(list);
      put(&size, 1, *out);
    }
    for (std::size_t list = 0; list < lists->nlist; ++list) {
      const std::size_t size = lists->list_size(list);
      if (size == 0) continue;
      put(faiss::InvertedLists::ScopedCodes(lists, list).get(), size * lists->code_size, *out);
      put(faiss::InvertedLists::ScopedIds(lists, list).get(), size, *out);
    }
  }

  faiss::InvertedLists* read(faiss::IOReader*, int) const override { FAISS_THROW_MSG("lists are written as ArrayInvertedLists"); }

 private:
  template <class T>
  static void put(const T* data, std::size_t count, faiss::IOWriter& out) {
    FAISS_THROW_IF_NOT_MSG(out(data, sizeof(T), count) == count, "the lists could not be written");
  }
  static void put_mark(std::string_view mark, faiss::IOWriter& out) { put(mark.data(), mark.size(), out); }
};

}  // namespace

FaissLists::FaissLists(std::size_t count, std::size_t code_bytes, const IvfLists& lists)
    : InvertedLists(count, code_bytes), lists_(lists) {
  static std::once_flag registered;
  std::call_once(registered, [] { faiss::InvertedListsIOHook::add_callback(std::make_unique<Writer>().release()); });
}

std::size_t FaissLists::list_size(std::size_t list) const { return lists_.size(list); }

const std::uint8_t* FaissLists::get_codes(std::size_t list) const {
  auto codes = std::make_unique_for_overwrite<std::uint8_t[]>(list_size(list) * code_size);
  for (std::size_t i = 0; i < list_size(list); ++i) std::memcpy(codes.get() + i * code_size, lists_.code(list, i), code_size);
  return codes.release();
}

const std::int64_t* FaissLists::get_ids(std::size_t list) const {
  auto ids = std::make_unique_for_overwrite<std::int64_t[]>(list_size(list));
  for (std::size_t i = 0; i < list_size(list); ++i) ids[i] = lists_.row(list, i);
  return ids.release();
}

void FaissLists::release_codes(std::size_t, const std::uint8_t* codes) const { delete[] codes; }
void FaissLists::release_ids(std::size_t, const std::int64_t* ids) const { delete[] ids; }

std::size_t FaissLists::add_entries(std::size_t, std::size_t, const std::int64_t*, const std::uint8_t*) {
  FAISS_THROW_MSG("these lists are read only");
}
void FaissLists::update_entries(std::size_t, std::size_t, std::size_t, const std::int64_t*, const std::uint8_t*) {
  FAISS_THROW_MSG("these lists are read only");
}
void FaissLists::resize(std::size_t, std::size_t) { FAISS_THROW_MSG("these lists are read only"); }

}  // namespace annulus
