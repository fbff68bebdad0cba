#include "shard/vector_shard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kDimension = 4;
const Arc kWhole{0, 0};

/// The model: what a shard remembers of a key.
struct Remembered {
  Version version;
  bool deleted = false;
  Vector vector;
};

class ShardOf : public ::testing::TestWithParam<const char*> {
 protected:
  ShardOf() { reset(spec_of(GetParam(), kDimension)); }

  void reset(const IndexSpec& spec, KeyKind kind = KeyKind::kBytes) {
    shard = std::make_unique<VectorShard>("s", spec, kind);
    if (needs_training(spec)) shard->attach_codec(Codec::train(spec, random_matrix(600, spec.dimension, 1)));
    model.clear();
  }
  bool exact_search() const { return shard->spec().factory == "Flat"; }

  RecordView live(KeyView key, std::uint64_t clock, const Vector& vector) const {
    return {.key = key, .version = {clock, 0}, .deleted = false, .vector_hash = hash_vector(vector.data(), kDimension), .vector = vector.data()};
  }
  static RecordView dead(KeyView key, std::uint64_t clock) { return {.key = key, .version = {clock, 0}, .deleted = true}; }

  WriteOutcome apply(const RecordView& record, WriteMode mode = WriteMode::kInsertOrUpdate) {
    WriteOutcome outcome = WriteOutcome::kAbsent;
    shard->upsert_if_newer(std::span(&record, 1), mode, std::span(&outcome, 1));
    return outcome;
  }
  WriteOutcome expected(const RecordView& record, WriteMode mode) {
    const auto known = model.find(std::string(record.key));
    if (known == model.end() && mode == WriteMode::kOnlyIfHeld) return WriteOutcome::kAbsent;
    if (known != model.end() && known->second.version >= record.version) return WriteOutcome::kSuperseded;
    Remembered& now = model[std::string(record.key)];
    now = {record.version, record.deleted, {}};
    if (!record.deleted) now.vector = map_rows(record.vector, 1, kDimension);
    return WriteOutcome::kApplied;
  }
  // Random batches of writes, old and new, with equal keys in one batch.
  void churn(std::mt19937_64& random, int batches, int keys) {
    for (int b = 0; b < batches; ++b) {
      const std::size_t n = 1 + random() % 30;
      std::vector<std::string> names;
      std::vector<Vector> vectors;
      for (std::size_t i = 0; i < n; ++i) {
        names.push_back("k" + std::to_string(random() % static_cast<std::uint64_t>(keys)));
        vectors.push_back(random_vector(kDimension, random));
      }
      std::vector<RecordView> records;
      for (std::size_t i = 0; i < n; ++i) {
        const std::uint64_t clock = 1 + random() % 50 + static_cast<std::uint64_t>(b);
        records.push_back(random() % 4 == 0 ? dead(names[i], clock) : live(names[i], clock, vectors[i]));
      }
      const WriteMode mode = random() % 3 == 0 ? WriteMode::kOnlyIfHeld : WriteMode::kInsertOrUpdate;
      std::vector<WriteOutcome> outcomes(n);
      shard->upsert_if_newer(records, mode, outcomes);
      for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(outcomes[i], expected(records[i], mode)) << "batch " << b << ", row " << i;
    }
  }
  RecordView view_of(const std::string& key, const Remembered& r) const {
    return r.deleted ? RecordView{.key = key, .version = r.version, .deleted = true} : live(key, r.version.clock, r.vector);
  }
  ArcDigest model_digest(const Arc& arc) const {
    ArcDigest digest;
    for (const auto& [key, r] : model) {
      if (arc.contains(token_of_key(key))) digest.add(view_of(key, r));
    }
    return digest;
  }
  void expect_model() {
    std::uint64_t alive = 0;
    Vector vector(static_cast<Eigen::Index>(kDimension));
    for (const auto& [key, r] : model) {
      const HeldRecord held = shard->get(key, std::span(vector.data(), kDimension));
      ASSERT_TRUE(held.found);
      ASSERT_EQ(held.deleted, r.deleted);
      ASSERT_EQ(held.version, r.version);
      ASSERT_EQ(shard->contains(key), !r.deleted);
      if (r.deleted) continue;
      ++alive;
      ASSERT_EQ(held.vector_hash, hash_vector(r.vector.data(), kDimension));
      if (shard->lossless()) {
        ASSERT_EQ(vector, r.vector);
      }
    }
    const ShardStats stats = shard->stats();
    ASSERT_EQ(stats.live, alive);
    ASSERT_EQ(stats.tombstones, model.size() - alive);
    ASSERT_EQ(shard->digest(std::span(&kWhole, 1)).front(), model_digest(kWhole));
  }
  std::vector<Hit> candidates(const Vector& query, std::size_t k, const SearchParams& params = {}, const KeyFilter* filter = nullptr) {
    CandidateLists lists;
    shard->candidates(query, k, params, filter, lists);
    EXPECT_EQ(lists.queries(), 1u);
    std::vector<Hit> hits;
    for (const auto& entry : lists.of(0)) {
      hits.push_back({std::string(lists.key(entry)), entry.distance});
      EXPECT_EQ(entry.version, model.at(hits.back().key).version);
    }
    return hits;
  }
  /// Both phases: the k nearest, by exact distances, of a few times as many candidates.
  std::vector<Hit> refined(const Vector& query, std::size_t k, const SearchParams& params = {}, const KeyFilter* filter = nullptr) {
    if (shard->candidates_are_exact()) return candidates(query, k, params, filter);
    std::vector<Hit> hits = candidates(query, default_rerank(k), params, filter);
    std::vector<RefineItem> items;
    for (const Hit& hit : hits) items.push_back({0, hit.key});
    std::vector<float> distances(items.size());
    shard->refine(query, items, distances);
    for (std::size_t i = 0; i < hits.size(); ++i) hits[i].distance = distances[i];
    std::sort(hits.begin(), hits.end(),
              [](const Hit& a, const Hit& b) { return a.distance != b.distance ? a.distance < b.distance : a.key < b.key; });
    hits.resize(std::min(hits.size(), k));
    return hits;
  }
  std::vector<Hit> brute_force(const Vector& query, std::size_t k) const {
    std::vector<Hit> hits;
    for (const auto& [key, r] : model) {
      if (!r.deleted) hits.push_back({key, distance(shard->spec().metric, query.data(), r.vector.data(), kDimension)});
    }
    std::sort(hits.begin(), hits.end(), [&](const Hit& a, const Hit& b) {
      return a.distance != b.distance ? a.distance < b.distance : compare_keys(a.key, b.key, shard->key_kind()) < 0;
    });
    hits.resize(std::min(k, hits.size()));
    return hits;
  }

  std::unique_ptr<VectorShard> shard;
  std::map<std::string, Remembered> model;
};

INSTANTIATE_TEST_SUITE_P(Indexes, ShardOf, ::testing::Values("Flat", "HNSW8", "IVF4,Flat", "IVF4,SQ8"), [](const auto& instance) {
  std::string name = instance.param;
  std::erase(name, ',');
  return name;
});

TEST_P(ShardOf, AgreesWithAMapThroughRandomWritesOldAndNew) {
  std::mt19937_64 random(9);
  for (int round = 0; round < 8; ++round) {
    churn(random, 40, 60);
    expect_model();
    // a second time it changes nothing
    std::vector<RecordView> again;
    for (const auto& [key, r] : model) again.push_back(view_of(key, r));
    std::vector<WriteOutcome> outcomes(again.size());
    shard->upsert_if_newer(again, WriteMode::kInsertOrUpdate, outcomes);
    EXPECT_TRUE(std::all_of(outcomes.begin(), outcomes.end(), [](WriteOutcome o) { return o == WriteOutcome::kSuperseded; }));
    expect_model();
  }
}

TEST_P(ShardOf, SettlesEqualKeysOfOneBatchByTheirVersions) {
  std::mt19937_64 random(2);
  const Vector a = random_vector(kDimension, random), b = random_vector(kDimension, random);
  // held before: the row of an earlier batch must go when the batch ends in an erase
  const std::vector<std::vector<RecordView>> batches = {{live("x", 1, a)},
                                                        {live("x", 2, b), dead("x", 3)},
                                                        {live("x", 5, a), live("x", 4, b)},
                                                        {dead("x", 6), live("x", 7, b), dead("x", 8), live("x", 9, a)},
                                                        {live("y", 1, a), dead("y", 2)},
                                                        {dead("x", 10), dead("x", 11)}};
  for (const auto& batch : batches) {
    std::vector<WriteOutcome> outcomes(batch.size());
    shard->upsert_if_newer(batch, WriteMode::kInsertOrUpdate, outcomes);
    for (std::size_t i = 0; i < batch.size(); ++i) EXPECT_EQ(outcomes[i], expected(batch[i], WriteMode::kInsertOrUpdate));
    expect_model();
    const std::vector<Hit> hits = candidates(a, 5, {.ef = {}, .nprobe = 4});
    EXPECT_EQ(hits.size(), shard->stats().live);
  }
}

TEST_P(ShardOf, KeepsAFormerOwnersRowsCurrentAndTakesNoNewOnes) {
  std::mt19937_64 random(2);
  const Vector v = random_vector(kDimension, random);
  EXPECT_EQ(apply(live("x", 1, v), WriteMode::kOnlyIfHeld), WriteOutcome::kAbsent);
  EXPECT_EQ(apply(dead("x", 1), WriteMode::kOnlyIfHeld), WriteOutcome::kAbsent);
  EXPECT_EQ(shard->stats().tombstones, 0u);
  EXPECT_EQ(apply(live("x", 1, v)), WriteOutcome::kApplied);
  EXPECT_EQ(apply(dead("x", 2), WriteMode::kOnlyIfHeld), WriteOutcome::kApplied);
  EXPECT_EQ(apply(live("x", 3, v), WriteMode::kOnlyIfHeld), WriteOutcome::kApplied);
  EXPECT_EQ(apply(live("x", 3, v), WriteMode::kOnlyIfHeld), WriteOutcome::kSuperseded);
  EXPECT_TRUE(shard->contains("x"));
}

TEST_P(ShardOf, ScansEveryRecordOnceAtEveryPageSize) {
  std::mt19937_64 random(4);
  churn(random, 30, 40);
  const Token middle = Token{1} << 63;
  const std::vector<std::vector<Arc>> arc_lists = {{kWhole}, {{middle, 5}, {5, middle}}, {{middle / 2, middle}}, {}};
  for (const auto& arcs : arc_lists) {
    std::vector<std::pair<std::size_t, std::pair<Token, std::string>>> order;
    for (const auto& [key, r] : model) {
      const Token token = token_of_key(key);
      for (std::size_t a = 0; a < arcs.size(); ++a) {
        if (arcs[a].contains(token)) order.push_back({a, {Token{token - arcs[a].lo - 1}, key}});
      }
    }
    std::sort(order.begin(), order.end());
    for (std::size_t most = 1; most <= model.size() + 1; ++most) {
      for (const ScanContents contents : {ScanContents::kVersions, ScanContents::kVectors, ScanContents::kCodes}) {
        const bool codes = contents == ScanContents::kCodes && shard->code_fingerprint() != 0;
        const bool vectors = contents != ScanContents::kVersions && !codes;
        ScanPosition position;
        std::vector<std::string> seen;
        RecordPage page(kDimension);
        for (bool more = true; more;) {
          page.clear();
          more = shard->scan(arcs, position, most, contents, page);
          ASSERT_LE(page.size(), most);
          ASSERT_TRUE(!more || page.size() == most) << "only the last page is short";
          for (const RecordView& record : page.views()) {
            seen.emplace_back(record.key);
            const Remembered& r = model.at(seen.back());
            ASSERT_EQ(record.version, r.version);
            ASSERT_EQ(record.deleted, r.deleted);
            ASSERT_EQ(record.vector != nullptr, vectors && !r.deleted);
            ASSERT_EQ(!record.code.empty(), codes && !r.deleted);
            if (record.vector != nullptr && shard->lossless()) {
              ASSERT_EQ(Vector(map_rows(record.vector, 1, kDimension)), r.vector);
            }
          }
        }
        ASSERT_EQ(seen.size(), order.size()) << "page size " << most;
        for (std::size_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i], order[i].second.second);
      }
    }
  }
}

TEST_P(ShardOf, DigestsEachArcAsTheSumOfItsRecords) {
  std::mt19937_64 random(5);
  churn(random, 20, 100);
  const std::vector<Arc> arcs = {{0, random()}, {random(), random()}, {random(), random()}, kWhole, {7, 7}};
  const std::vector<ArcDigest> digests = shard->digest(arcs);
  ASSERT_EQ(digests.size(), arcs.size());
  for (std::size_t i = 0; i < arcs.size(); ++i) EXPECT_EQ(digests[i], model_digest(arcs[i]));
  EXPECT_TRUE(shard->digest({}).empty());
}

TEST_P(ShardOf, DropsWhatLiesInTheArcsAndNothingElse) {
  std::mt19937_64 random(6);
  churn(random, 60, 900);  // more than one block of rows
  const std::vector<Arc> arcs = {{Token{1} << 62, Token{3} << 62}, {Token{7} << 61, 100}};
  std::uint64_t alive = 0;
  for (auto it = model.begin(); it != model.end();) {
    const Token token = token_of_key(it->first);
    const bool goes = arcs[0].contains(token) || arcs[1].contains(token);
    alive += goes && !it->second.deleted ? 1 : 0;
    it = goes ? model.erase(it) : std::next(it);
  }
  EXPECT_EQ(shard->drop(arcs), alive);
  expect_model();
  EXPECT_EQ(shard->drop(arcs), 0u);
  EXPECT_GT(shard->drop(std::span(&kWhole, 1)), 0u);
  model.clear();
  expect_model();
  churn(random, 10, 50);  // slots are reused
  expect_model();
}

TEST_P(ShardOf, CollectsTombstonesThatAreOldEnoughAndLeavesTheRest) {
  std::mt19937_64 random(7);
  churn(random, 60, 900);
  const Version newest{40, 0};
  std::uint64_t fall = 0;
  for (auto it = model.begin(); it != model.end();) {
    const bool falls = it->second.deleted && it->second.version <= newest;
    fall += falls ? 1 : 0;
    it = falls ? model.erase(it) : std::next(it);
  }
  ASSERT_GT(fall, 0u);
  EXPECT_EQ(shard->collect_tombstones(newest), fall);
  expect_model();
  EXPECT_GT(shard->stats().tombstones, 0u) << "younger ones stay";
  EXPECT_EQ(shard->collect_tombstones(newest), 0u);
}

TEST_P(ShardOf, LooksUpVersionsOfManyKeys) {
  std::mt19937_64 random(8);
  const Vector v = random_vector(kDimension, random);
  apply(live("a", 3, v));
  apply(dead("b", 4));
  const std::vector<KeyView> keys = {"b", "c", "a"};
  std::vector<HeldRecord> held(3);
  shard->lookup(keys, held);
  EXPECT_TRUE(held[0].found);
  EXPECT_TRUE(held[0].deleted);
  EXPECT_EQ(held[0].version.clock, 4u);
  EXPECT_FALSE(held[1].found);
  EXPECT_TRUE(held[2].found);
  EXPECT_FALSE(held[2].deleted);
  EXPECT_EQ(held[2].vector_hash, hash_vector(v.data(), kDimension));
  EXPECT_TRUE(shard->get("a", {}).found) << "the vector is not wanted";
  EXPECT_FALSE(shard->get("c", {}).found);
}

TEST_P(ShardOf, AnswersFromLiveRowsWhateverWasErasedOrOverwritten) {
  std::mt19937_64 random(10);
  churn(random, 60, 200);
  for (int i = 0; i < 10; ++i) {
    const Vector query = random_vector(kDimension, random);
    const std::vector<Hit> hits = refined(query, 10, {.ef = 200, .nprobe = 4});
    ASSERT_EQ(hits.size(), 10u);
    const std::vector<Hit> truth = brute_force(query, 10);
    if (exact_search() || GetParam() == std::string("IVF4,Flat")) {
      ASSERT_EQ(hits, truth);
    } else if (GetParam() == std::string("HNSW8")) {
      std::size_t same = 0;
      for (const Hit& hit : hits) same += static_cast<std::size_t>(std::count(truth.begin(), truth.end(), hit));
      ASSERT_GE(same, 8u);
    }
    const KeyFilter even = [](KeyView key) { return (key.back() - '0') % 2 == 0; };
    for (const Hit& hit : refined(query, 10, {.ef = 200, .nprobe = 4}, &even)) ASSERT_TRUE(even(hit.key));
  }
  EXPECT_EQ(shard->stats().searched_queries, 20u);
  EXPECT_GT(shard->stats().distances, 0u);
}

TEST_P(ShardOf, ReturnsEverythingForAnAbsurdK) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 20; ++i) {
    const Vector v = random_vector(kDimension, random);
    const std::string key = "k" + std::to_string(i);
    const RecordView record = live(key, 1, v);
    EXPECT_EQ(apply(record), expected(record, WriteMode::kInsertOrUpdate));
  }
  EXPECT_EQ(candidates(random_vector(kDimension, random), static_cast<std::size_t>(-1), {.ef = {}, .nprobe = 4}).size(), 20u);
}

TEST_P(ShardOf, AnswersNothingWhenItHoldsNothing) {
  std::mt19937_64 random(11);
  EXPECT_TRUE(candidates(random_vector(kDimension, random), 3).empty());
  apply(dead("x", 1));
  EXPECT_TRUE(candidates(random_vector(kDimension, random), 3).empty());
  CandidateLists lists;
  shard->candidates(random_matrix(7, kDimension, 1), 3, {}, nullptr, lists);
  EXPECT_EQ(lists.queries(), 7u);
  EXPECT_TRUE(lists.of(6).empty());
}

TEST_P(ShardOf, RefinesCandidatesToTheSameDistances) {
  std::mt19937_64 random(12);
  churn(random, 20, 60);
  const Matrix queries = random_matrix(3, kDimension, 99);
  CandidateLists lists;
  shard->candidates(queries, 5, {.ef = {}, .nprobe = 4}, nullptr, lists);
  std::vector<RefineItem> items;
  std::vector<float> expected_distances;
  for (std::size_t q = 0; q < 3; ++q) {
    for (const auto& entry : lists.of(q)) {
      items.push_back({q, lists.key(entry)});
      expected_distances.push_back(entry.distance);
    }
  }
  items.push_back({0, "nobody knows this key"});
  const auto tombstone = std::find_if(model.begin(), model.end(), [](const auto& entry) { return entry.second.deleted; });
  ASSERT_NE(tombstone, model.end());
  items.push_back({1, tombstone->first});
  std::vector<float> distances(items.size());
  shard->refine(queries, items, distances);
  for (std::size_t i = 0; i < expected_distances.size(); ++i) {
    if (shard->candidates_are_exact()) {
      EXPECT_EQ(distances[i], expected_distances[i]);
    } else {
      EXPECT_NEAR(distances[i], expected_distances[i], 0.3) << "the codes' distance is about the exact one";
    }
  }
  EXPECT_EQ(distances[expected_distances.size()], std::numeric_limits<float>::infinity());
  EXPECT_EQ(distances.back(), std::numeric_limits<float>::infinity());
}

TEST(VectorShard, OrdersTiesByKeyBytesOrIds) {
  const Vector v = Vector::Constant(4, 1.0f);
  for (const char* factory : {"Flat", "HNSW8"}) {
    VectorShard words("s", spec_of(factory)), ids("s", spec_of(factory), KeyKind::kId);
    std::vector<std::string> bytes = {"b", "a", "aa", "c"}, numbers;
    for (const std::uint64_t id : {256, 1, 65536, 3}) numbers.emplace_back(KeyView(IdKey(id)));
    for (std::size_t i = 0; i < 4; ++i) {
      WriteOutcome outcome;
      const RecordView word{.key = bytes[i], .version = {1, 0}, .vector = v.data()};
      words.upsert_if_newer(std::span(&word, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
      const RecordView number{.key = numbers[i], .version = {1, 0}, .vector = v.data()};
      ids.upsert_if_newer(std::span(&number, 1), WriteMode::kInsertOrUpdate, std::span(&outcome, 1));
    }
    CandidateLists lists;
    words.candidates(v, 3, {}, nullptr, lists);
    std::vector<std::string> found;
    for (const auto& entry : lists.of(0)) found.emplace_back(lists.key(entry));
    EXPECT_EQ(found, (std::vector<std::string>{"a", "aa", "b"})) << factory;
    ids.candidates(v, 3, {}, nullptr, lists);
    std::vector<std::uint64_t> found_ids;
    for (const auto& entry : lists.of(0)) found_ids.push_back(id_of_key(lists.key(entry)));
    EXPECT_EQ(found_ids, (std::vector<std::uint64_t>{1, 3, 256})) << factory;
  }
}

TEST(VectorShard, CompactsAGraphOfDeadRowsAndKeepsItsAnswers) {
  const IndexSpec spec = spec_of("HNSW8");
  VectorShard shard("s", spec);
  constexpr std::size_t kKeys = 700;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kKeys; ++i) names.push_back("k" + std::to_string(i));
  Matrix vectors;
  std::uint64_t most_dead = 0;
  bool compacted = false;
  for (std::uint64_t version = 1; version <= 4; ++version) {
    vectors = random_matrix(kKeys, 4, version);
    std::vector<RecordView> records;
    for (std::size_t i = 0; i < kKeys; ++i) {
      const float* row = vectors.row(static_cast<Eigen::Index>(i)).data();
      records.push_back({.key = names[i], .version = {version, 0}, .vector_hash = hash_vector(row, 4), .vector = row});
    }
    std::vector<WriteOutcome> outcomes(kKeys);
    shard.upsert_if_newer(records, WriteMode::kInsertOrUpdate, outcomes);
    const std::uint64_t dead = shard.stats().dead_rows;
    compacted |= dead < most_dead;
    most_dead = std::max(most_dead, dead);
  }
  EXPECT_TRUE(compacted) << "dead rows: " << most_dead;
  EXPECT_LT(shard.stats().dead_rows, 1024u);
  EXPECT_EQ(shard.stats().live, kKeys);
  std::size_t same = 0;
  for (Eigen::Index i = 0; i < 50; ++i) {
    CandidateLists lists;
    shard.candidates(vectors.row(i), 1, {.ef = 200, .nprobe = {}}, nullptr, lists);
    ASSERT_EQ(lists.of(0).size(), 1u);
    same += lists.key(lists.of(0).front()) == names[static_cast<std::size_t>(i)] ? 1 : 0;
    Vector held(4);
    ASSERT_TRUE(shard.get(names[static_cast<std::size_t>(i)], std::span(held.data(), 4)).found);
    ASSERT_EQ(held, vectors.row(i));
  }
  EXPECT_GE(same, 49u);
}

TEST(VectorShard, CompactsWhenADropLeavesDeadRows) {
  VectorShard shard("s", spec_of("HNSW8"));
  constexpr std::size_t kKeys = 1500;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kKeys; ++i) names.push_back("k" + std::to_string(i));
  const Matrix vectors = random_matrix(kKeys, 4, 3);
  std::vector<RecordView> records;
  for (std::size_t i = 0; i < kKeys; ++i) {
    records.push_back({.key = names[i], .version = {1, 0}, .vector = vectors.row(static_cast<Eigen::Index>(i)).data()});
  }
  std::vector<WriteOutcome> outcomes(kKeys);
  shard.upsert_if_newer(records, WriteMode::kInsertOrUpdate, outcomes);
  const Arc most{0, Token{15} << 60};
  EXPECT_GT(shard.drop(std::span(&most, 1)), 1300u);
  EXPECT_EQ(shard.stats().dead_rows, 0u);
  CandidateLists lists;
  shard.candidates(vectors.row(0), kKeys, {}, nullptr, lists);
  EXPECT_EQ(lists.of(0).size(), shard.stats().live);
}

}  // namespace
}  // namespace annulus::testing
