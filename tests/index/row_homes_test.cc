// Two indexes that keep together what they have by id, as the groups of a shard do.
#include "index/row_homes.h"

#include <map>
#include <optional>
#include <random>
#include <set>

#include "tests/index/support.h"

namespace annulus {
namespace {

using testing::expect_error;
using testing::ids_from;
using testing::make_spec;
using testing::random_matrix;

constexpr std::size_t kD = 8;

class TwoIndexes : public ::testing::TestWithParam<const char*> {
 protected:
  TwoIndexes() : codec_(Codec::train(spec_, random_matrix(512, kD, 1))) {
    for (std::size_t number = 0; number < 2; ++number) indexes_.push_back(make(number));
  }

  VectorIndex make(std::size_t number) {
    VectorIndex index(spec_);
    index.attach_codec(codec_, homes_, number);
    return index;
  }

  void upsert(std::size_t to, VectorId id) {
    const Matrix vector = random_matrix(1, kD, ++seed_);
    indexes_[to].upsert(std::span(&id, 1), vector);
    indexes_[1 - to].erase(std::span(&id, 1));
    held_[id] = {to, vector};
  }
  // As codes, as a shard does.
  void move(std::size_t to, const std::vector<VectorId>& ids) {
    std::vector<std::uint8_t> codes(ids.size() * indexes_[to].code_bytes());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::size_t bytes = indexes_[to].code_bytes();
      ASSERT_TRUE(indexes_[1 - to].read_code(ids[i], std::span(codes).subspan(i * bytes, bytes)));
    }
    indexes_[to].upsert_codes(ids, codes);
    indexes_[1 - to].erase(ids);
    for (const VectorId id : ids) held_[id].index = to;
  }
  void erase(VectorId id) {
    indexes_[held_[id].index].erase(std::span(&id, 1));
    held_.erase(id);
  }

  // Each vector is where it should be, is found there by a search of all lists, and nowhere else.
  void check() const {
    for (std::size_t number = 0; number < 2; ++number) {
      const VectorIndex& index = indexes_[number];
      std::set<VectorId> expected;
      for (const auto& [id, held] : held_) {
        ASSERT_EQ(index.contains(id), held.index == number) << id;
        if (held.index != number) continue;
        expected.insert(id);
        std::vector<float> vector(kD);
        ASSERT_TRUE(index.reconstruct(id, vector));
        if (!index.lossless()) continue;
        ASSERT_TRUE(std::equal(vector.begin(), vector.end(), held.vector.data())) << id;
      }
      ASSERT_EQ(index.size(), expected.size());
      const std::size_t k = std::max<std::size_t>(held_.size(), 1);
      std::vector<Candidate> found(k);
      std::vector<std::size_t> counts(1);
      const SearchParams params = {.nprobe = 1000, .rerank = static_cast<int>(k)};
      index.search(random_matrix(1, kD, 7), k, params, nullptr, nullptr, found, counts);
      std::set<VectorId> ids;
      for (std::size_t i = 0; i < counts[0]; ++i) ASSERT_TRUE(ids.insert(found[i].id).second) << found[i].id << " twice";
      ASSERT_EQ(ids, expected);
    }
  }

  struct Held {
    std::size_t index;
    Matrix vector;
  };

  IndexSpec spec_ = make_spec(GetParam(), Metric::kL2, kD);
  std::shared_ptr<const Codec> codec_;
  std::shared_ptr<RowHomes> homes_ = homes_for_two(0);
  std::vector<VectorIndex> indexes_;
  std::map<VectorId, Held> held_;
  std::uint64_t seed_ = 10;
};

INSTANTIATE_TEST_SUITE_P(Families, TwoIndexes, ::testing::Values("IVF4,Flat", "IVF4,SQ8", "IVF4,PQ4"),
                         [](const auto& family) { return std::string(family.param).replace(4, 1, "_"); });

TEST_P(TwoIndexes, HoldEachVectorWhereItWasPutLast) {
  std::mt19937 random(1);
  for (int step = 0; step < 3000; ++step) {
    const VectorId id = random() % 700 * (step < 1500 ? 1 : 37);  // then with gaps
    const std::size_t what = random() % 8;
    const auto known = held_.find(id);
    if (known == held_.end() || what < 3) {
      upsert(random() % 8 == 0 ? 1 : 0, id);  // few in one of them
    } else if (what < 6) {
      ASSERT_NO_FATAL_FAILURE(move(1 - known->second.index, {id}));
    } else {
      erase(id);
    }
    if (step % 300 != 0) continue;
    ASSERT_NO_FATAL_FAILURE(check());
  }
  ASSERT_NO_FATAL_FAILURE(check());
  for (std::size_t number = 0; number < 2; ++number) {
    std::vector<VectorId> all;
    for (const auto& [id, held] : held_) {
      if (held.index != number) all.push_back(id);
    }
    ASSERT_NO_FATAL_FAILURE(move(number, all));
    ASSERT_NO_FATAL_FAILURE(check());
  }
}

// Both stage rows before either commits: there is room for all of them.
TEST_P(TwoIndexes, StageAtTheSameTime) {
  const auto alone = [](const std::function<void()>& step) { step(); };
  for (VectorId first = 0; first < 4000; first += 400) {
    const Matrix vectors = random_matrix(400, kD, ++seed_);
    const auto ids = ids_from(first, 400);
    StagedRows one = indexes_[0].stage(std::span(ids).first(300), vectors.topRows(300), alone);
    StagedRows other = indexes_[1].stage(std::span(ids).subspan(300), vectors.bottomRows(100), alone);
    if (first % 800 != 0) {
      indexes_[1].abandon(other);
    } else {
      indexes_[1].commit(other, other.left());
    }
    indexes_[0].commit(one, one.left());
    for (std::size_t i = 0; i < (first % 800 != 0 ? 300U : 400U); ++i) {
      held_[ids[i]] = {i < 300 ? 0U : 1U, vectors.row(static_cast<Eigen::Index>(i))};
    }
  }
  ASSERT_NO_FATAL_FAILURE(check());
}

// A second group that could not be built leaves nothing, and the next one begins anew.
TEST_P(TwoIndexes, LoseWhatASecondThatGoesAwayHeld) {
  for (VectorId id = 0; id < 500; ++id) upsert(id % 3 == 0 ? 1 : 0, id);
  indexes_.pop_back();
  std::erase_if(held_, [](const auto& entry) { return entry.second.index == 1; });
  indexes_.push_back(make(1));
  ASSERT_NO_FATAL_FAILURE(check());
  for (VectorId id = 0; id < 800; id += 2) upsert(id % 3 == 0 ? 0 : 1, id);
  ASSERT_NO_FATAL_FAILURE(check());
}

TEST_P(TwoIndexes, RefuseIdsThatHaveNoRow) {
  const VectorId id = VectorId{1} << 31;
  const Matrix vector = random_matrix(1, kD, 2);
  expect_error(ErrorCode::kResourceExhausted, {"2147483648"}, [&] { indexes_[0].upsert(std::span(&id, 1), vector); });
  upsert(0, 5);
  ASSERT_NO_FATAL_FAILURE(check());
}

}  // namespace
}  // namespace annulus
