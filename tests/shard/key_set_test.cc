// Sets of keys, and searches that allow or deny them, over shards, replicas and filters.
#include "shard/key_set.h"

#include <set>

#include "tests/shard/test_cluster.h"

namespace annulus::testing {
namespace {

KeySet set_of(const std::vector<std::string>& keys, KeyKind kind = KeyKind::kBytes) {
  const std::vector<KeyView> views(keys.begin(), keys.end());
  return KeySet(views, kind);
}

TEST(KeySet, HoldsWhatItWasGivenOnceAndNothingElse) {
  std::mt19937_64 random(3);
  std::set<std::string> model;
  std::vector<std::string> keys;
  for (int i = 0; i < 2000; ++i) {
    std::string key(1 + random() % 40, 'a');
    for (char& c : key) c = static_cast<char>(random() % 256);
    keys.push_back(key);
    if (i % 3 == 0) keys.push_back(key);
    model.insert(key);
  }
  const KeySet set = set_of(keys);
  EXPECT_EQ(set.size(), model.size());
  for (const std::string& key : model) {
    EXPECT_TRUE(set.contains(key));
    EXPECT_EQ(set.contains(key + "x"), model.contains(key + "x"));
  }
  std::set<std::string> visited;
  Token last = 0;
  set.for_each([&](Token token, KeyView key) {
    EXPECT_EQ(token, token_of_key(key));
    EXPECT_GE(token, last);
    last = token;
    EXPECT_TRUE(visited.insert(std::string(key)).second);
  });
  EXPECT_EQ(visited, model);
}

TEST(KeySet, ThatIsEmptyHoldsNothing) {
  const KeySet set;
  EXPECT_TRUE(set.empty());
  EXPECT_FALSE(set.contains("key"));
}

TEST(KeySet, RefusesKeysThatAreNone) {
  expect_error(ErrorCode::kInvalidArgument, {"empty"}, [] { set_of({"good", ""}); });
  expect_error(ErrorCode::kInvalidArgument, {"1025"}, [] { set_of({std::string(1025, 'x')}); });
  expect_error(ErrorCode::kInvalidArgument, {"8"}, [] { set_of({"abc"}, KeyKind::kId); });
}

class SearchWithSets : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr std::size_t kKeys = 600;

  SearchWithSets() : cluster_(4, router_options(2, spec_of(GetParam(), 8))) { cluster_.fill(kKeys); }

  std::vector<std::string> keys(std::size_t step) const {
    std::vector<std::string> some;
    for (std::size_t i = 0; i < kKeys; i += step) some.push_back(cluster_.key(i));
    return some;
  }

  /// Answers obey the restriction; they are the exact ones where the index is, and all of them where `all_of_few`.
  void expect_answers(const SearchOptions& options, const KeyFilter& allowed, bool all_of_few = false) {
    for (int i = 0; i < 8; ++i) {
      const Vector query = random_vector(8, cluster_.random);
      const SearchResult result = cluster_.router.search(query, 10, options);
      const std::vector<Hit> exact = cluster_.oracle.nearest(query, 10, allowed);
      for (const Hit& hit : hits_of(result)) EXPECT_TRUE(allowed(hit.key)) << hit.key;
      if (cluster_.exact() || all_of_few) {
        EXPECT_EQ(hits_of(result), exact);
      } else {
        EXPECT_EQ(hits_of(result).size(), exact.size());
      }
    }
  }

  TestCluster cluster_;
};

INSTANTIATE_TEST_SUITE_P(Factories, SearchWithSets, ::testing::Values("Flat", "HNSW8", "IVF4,Flat"), [](const auto& factory) {
  return std::string(factory.param).substr(0, 4);
});

TEST_P(SearchWithSets, ReturnsAllowedKeysAlone) {
  for (const std::size_t step : {2, 7, 60}) {
    const KeySet allow = set_of(keys(step));
    expect_answers({.params = {.ef = 100, .nprobe = 4}, .allow = &allow}, [&](KeyView key) { return allow.contains(key); }, step == 60);
  }
}

TEST_P(SearchWithSets, ReturnsNoDeniedKey) {
  for (const std::size_t step : {1, 2, 50}) {
    const KeySet deny = set_of(keys(step));
    expect_answers({.params = {.ef = 100, .nprobe = 4}, .deny = &deny}, [&](KeyView key) { return !deny.contains(key); });
  }
}

TEST_P(SearchWithSets, CombinesSetsAndFilter) {
  const KeySet allow = set_of(keys(3));
  const KeySet deny = set_of(keys(5));
  const KeyFilter filter = [](KeyView key) { return key.back() != '7'; };
  expect_answers({.params = {.ef = 100, .nprobe = 4}, .filter = &filter, .allow = &allow, .deny = &deny},
                 [&](KeyView key) { return allow.contains(key) && !deny.contains(key) && filter(key); });
}

TEST_P(SearchWithSets, FindsNothingInAnEmptySetAndIgnoresKeysThatAreNotThere) {
  const KeySet nothing;
  expect_answers({.allow = &nothing}, [](KeyView) { return false; }, true);
  const KeySet strangers = set_of({"nobody", "knows", "these", cluster_.key(5)});
  cluster_.erase(6);
  expect_answers({.params = {.nprobe = 4}, .allow = &strangers}, [&](KeyView key) { return strangers.contains(key); }, true);
}

TEST_P(SearchWithSets, GoesOnWhenAShardIsDown) {
  const KeySet allow = set_of(keys(60));
  cluster_.router.mark_down("s1");
  expect_answers({.params = {.ef = 100, .nprobe = 4}, .allow = &allow}, [&](KeyView key) { return allow.contains(key); }, true);
}

TEST(KeySet, OfAnotherKindIsRefusedBySearches) {
  VectorRouter router(router_options(1));
  router.attach_node(std::make_shared<VectorShard>("s", router.options().index));
  const KeySet ids = set_of({std::string(8, 'x')}, KeyKind::kId);
  expect_error(ErrorCode::kInvalidArgument, {"kind"}, [&] { (void)router.search(Vector::Zero(4), 1, {.allow = &ids}); });
}

}  // namespace
}  // namespace annulus::testing
