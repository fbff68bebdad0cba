// Lists of ours as FAISS sees them: what it reads, and what its writer writes.
#include "index/faiss_lists.h"

#include <faiss/IndexIVF.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>

#include <cstring>
#include <memory>

#include "index/codec_impl.h"
#include "index/ivf_lists.h"
#include "tests/index/support.h"

namespace annulus {
namespace {

using testing::make_spec;
using testing::random_matrix;

/// Rows with any code in lists of ours, and in an ArrayInvertedLists.
class FaissListsOf : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr std::size_t kD = 8;

  void SetUp() override {
    spec_ = make_spec(GetParam(), Metric::kL2, kD);
    codec_ = Codec::train(spec_, random_matrix(512, kD, 1));
    lists_ = std::make_unique<IvfLists>(spec_, codec_->impl().parsed, codec_->impl(), std::make_shared<RowHomes>(1, 0), 0);
    array_ = std::make_unique<faiss::ArrayInvertedLists>(codec_->impl().parsed.nlist, lists_->code_bytes());
  }

  void add(Row row, std::size_t list) {
    std::vector<std::uint8_t> code(lists_->code_bytes());
    for (std::size_t i = 0; i < code.size(); ++i) code[i] = static_cast<std::uint8_t>(row * 7 + i);
    const std::vector<std::uint8_t> int8_code(kD, 1);
    const auto number = static_cast<std::uint32_t>(list);
    IvfLists::Room room = lists_->make_room(row, std::span(&number, 1), [](const auto& step) { step(); });
    lists_->take_room(room);
    lists_->put(row, list, code.data(), int8_code.data(), 0);
    const std::int64_t id = row;
    array_->add_entries(list, 1, &id, code.data());
  }

  static std::vector<std::uint8_t> written(const faiss::InvertedLists& lists) {
    faiss::VectorIOWriter writer;
    faiss::write_InvertedLists(&lists, &writer);
    return writer.data;
  }

  IndexSpec spec_;
  std::shared_ptr<const Codec> codec_;
  std::unique_ptr<IvfLists> lists_;
  std::unique_ptr<faiss::ArrayInvertedLists> array_;
};

INSTANTIATE_TEST_SUITE_P(Factories, FaissListsOf, ::testing::Values("IVF16,Flat", "IVF16,SQ8", "IVF16,PQ2"),
                         [](const auto& factory) { return std::string(factory.param).substr(6); });

TEST_P(FaissListsOf, AreReadAsFaisssOwn) {
  for (Row row = 0; row < 300; ++row) add(row, row % 7 * 2);
  const faiss::InvertedLists& ours = *lists_->index().invlists;
  for (std::size_t list = 0; list < 16; ++list) {
    const std::size_t size = array_->list_size(list);
    ASSERT_EQ(ours.list_size(list), size);
    faiss::InvertedLists::ScopedCodes codes(&ours, list);
    faiss::InvertedLists::ScopedIds ids(&ours, list);
    if (size != 0) {
      EXPECT_EQ(std::memcmp(codes.get(), array_->get_codes(list), size * ours.code_size), 0) << "list " << list;
      EXPECT_EQ(std::memcmp(ids.get(), array_->get_ids(list), size * sizeof(std::int64_t)), 0) << "list " << list;
    }
    for (std::size_t i = 0; i < size; ++i) {
      faiss::InvertedLists::ScopedCodes code(&ours, list, i);
      EXPECT_EQ(std::memcmp(code.get(), array_->get_single_code(list, i), ours.code_size), 0) << "entry " << i << " of " << list;
      EXPECT_EQ(ours.get_single_id(list, i), array_->get_single_id(list, i));
    }
  }
}

TEST_P(FaissListsOf, AreWrittenAsFaisssOwn) {
  EXPECT_EQ(written(*lists_->index().invlists), written(*array_)) << "empty";
  for (Row row = 0; row < 16; ++row) {
    add(row, row);
    EXPECT_EQ(written(*lists_->index().invlists), written(*array_)) << row + 1 << " lists of 16 with rows";
  }
  for (Row row = 16; row < 400; ++row) add(row, row * row % 16);
  EXPECT_EQ(written(*lists_->index().invlists), written(*array_));
}

TEST_P(FaissListsOf, AreNotChangedByFaiss) {
  add(0, 3);
  faiss::InvertedLists& ours = *lists_->index().invlists;
  const std::int64_t id = 1;
  const std::vector<std::uint8_t> code(ours.code_size);
  EXPECT_ANY_THROW(ours.add_entries(3, 1, &id, code.data()));
  EXPECT_ANY_THROW(ours.update_entries(3, 0, 1, &id, code.data()));
  EXPECT_ANY_THROW(ours.resize(3, 0));
  EXPECT_EQ(ours.list_size(3), 1U);
}

}  // namespace
}  // namespace annulus
