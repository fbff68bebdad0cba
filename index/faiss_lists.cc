#include "index/faiss_lists.h"

#include <faiss/impl/FaissAssert.h>
#include <faiss/impl/io.h>
#include <faiss/invlists/InvertedListsIOHook.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <typeinfo>
#include <vector>

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
    put_sizes(*lists, *out);
    for (std::size_t list = 0; list < lists->nlist; ++list) {
      const std::size_t size = lists->list_size(list);
      if (size == 0) continue;
      put(faiss::InvertedLists::ScopedCodes(lists, list).get(), size * lists->code_size, *out);
      put(faiss::InvertedLists::ScopedIds(lists, list).get(), size, *out);
    }
  }

  faiss::InvertedLists* read(faiss::IOReader*, int) const override { FAISS_THROW_MSG("lists are written as ArrayInvertedLists"); }

 private:
  /// Of all lists; or, where half of them or more are empty, those of the others, each behind its number.
  static void put_sizes(const faiss::InvertedLists& lists, faiss::IOWriter& out) {
    std::vector<std::size_t> all, some;
    for (std::size_t list = 0; list < lists.nlist; ++list) {
      const std::size_t size = lists.list_size(list);
      all.push_back(size);
      if (size != 0) some.insert(some.end(), {list, size});
    }
    const bool full = some.size() / 2 > lists.nlist / 2;
    put_mark(full ? "full" : "sprs", out);
    const std::vector<std::size_t>& sizes = full ? all : some;
    const std::size_t count = sizes.size();
    put(&count, 1, out);
    put(sizes.data(), count, out);
  }

  template <class T>
  static void put(const T* data, std::size_t count, faiss::IOWriter& out) {
    FAISS_THROW_IF_NOT_MSG(out(data, sizeof(T), count) == count, "the lists could not be written");
  }
  static void put_mark(std::string_view mark, faiss::IOWriter& out) { put(mark.data(), mark.size(), out); }
};

}  // namespace

FaissLists::FaissLists(std::size_t count, std::size_t code_bytes, const IvfLists& lists)
    : ReadOnlyInvertedLists(count, code_bytes), lists_(lists) {
  static std::once_flag registered;
  std::call_once(registered, [] { faiss::InvertedListsIOHook::add_callback(std::make_unique<Writer>().release()); });
}

std::size_t FaissLists::list_size(std::size_t list) const { return lists_.size(list); }

const std::uint8_t* FaissLists::get_codes(std::size_t list) const {
  auto codes = std::make_unique_for_overwrite<std::uint8_t[]>(list_size(list) * code_size);
  for (std::size_t i = 0, n = 0; i < list_size(list); i += n) {
    n = std::min(list_size(list) - i, lists_.run(i));
    std::memcpy(codes.get() + i * code_size, lists_.code(list, i), n * code_size);
  }
  return codes.release();
}

const std::int64_t* FaissLists::get_ids(std::size_t list) const {
  auto ids = std::make_unique_for_overwrite<std::int64_t[]>(list_size(list));
  for (std::size_t i = 0; i < list_size(list); ++i) ids[i] = lists_.row(list, i);
  return ids.release();
}

const std::uint8_t* FaissLists::get_single_code(std::size_t list, std::size_t position) const {
  auto code = std::make_unique_for_overwrite<std::uint8_t[]>(code_size);
  std::memcpy(code.get(), lists_.code(list, position), code_size);
  return code.release();
}

std::int64_t FaissLists::get_single_id(std::size_t list, std::size_t position) const { return lists_.row(list, position); }

void FaissLists::release_codes(std::size_t, const std::uint8_t* codes) const { delete[] codes; }
void FaissLists::release_ids(std::size_t, const std::int64_t* ids) const { delete[] ids; }

}  // namespace annulus
